"""Which of K known looks do translations show? Figures of counts; the looks themselves are told by the data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class LookFigures:
    """names: of the K looks. confusion: [K, K], translations by true look (row) and shown look (column).

    target: [K], images of the target domain by look.
    """

    names: Sequence[str]
    confusion: Counts
    target: Counts

    @property
    def shown(self) -> Counts:
        """Translations by the look that they show: [K]."""
        return self.confusion.sum(axis=0)

    @property
    def covered(self) -> int:
        """Looks that at least one translation shows."""
        return int((self.shown > 0).sum())

    @property
    def hit_share(self) -> float:
        """Share of the translations that show their true look, 0 to 1."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))

    @property
    def kl(self) -> float:
        """The reverse KL divergence of the shown looks to those of the target, in nats."""
        return reverse_kl(self.shown, self.target)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "looks": list(self.names),
            "looks_covered": self.covered,
            "reverse_KL": self.kl,
            "true_look_share": self.hit_share,
            "shown": self.shown.tolist(),
            "target": self.target.tolist(),
            "confusion": self.confusion.tolist(),
        }

    def lines(self) -> list[str]:
        """The table for the console."""
        width = max(len(name) for name in self.names)
        columns = "".join(f"{k:>5}" for k in range(len(self.names)))
        rows = [
            f"{k} {name:<{width}}{''.join(f'{number:>5}' for number in row)}"
            for k, (name, row) in enumerate(zip(self.names, self.confusion, strict=True))
        ]
        return [
            f"looks covered {self.covered} of {len(self.names)}; reverse KL to the target {self.kl:.3f} nats; "
            f"true look {100 * self.hit_share:.1f} %",
            f"{'true, shown:':<{width + 2}}{columns}",
            *rows,
        ]


def confusion_matrix(true: Sequence[int], shown: Sequence[int], number: int) -> Counts:
    """Counts [K, K] of (true look, shown look)."""
    matrix = np.zeros((number, number), np.int64)
    np.add.at(matrix, (np.asarray(true, np.int64), np.asarray(shown, np.int64)), 1)
    return matrix


def reverse_kl(shown: Counts, target: Counts) -> float:
    """KL(q | p) = sum_k q_k log(q_k / p_k) in nats, q: `shown` as shares, p: `target` as shares.

    Reverse, because it is q, the translator's, that is averaged over (Zhao et al.'s measure of mode coverage). It is
    log(K / k) for k looks in equal shares out of K equal ones, and infinite if a look is shown that the target lacks.
    """
    if not shown.sum() or not target.sum():
        return float("nan")
    q, p = shown / shown.sum(), target / target.sum()
    there = q > 0
    if (p[there] == 0).any():
        return float("inf")
    return float((q[there] * np.log(q[there] / p[there])).sum())


def effective_number(counts: NDArray[Any]) -> float:
    """exp of the entropy of the shares: K for K equal counts, 1 for a single one. Counts below 0 are left out."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum()))
