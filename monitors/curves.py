"""The curves of a run, read from its losses.jsonl: for the live view and for plots afterwards."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORDS = "losses.jsonl"
SMOOTHING = 0.9  # weight of the past in a smoothed curve
Record = dict[str, Any]  # a line of losses.jsonl
_NUMBERS = ("epoch", "step", "epochs", "lr", "seconds", "waiting")  # that each of them has

_DISTANCES, _SHARES = r"FID|KID", r"precision|recall|density|coverage"  # of evaluations, in records of their own

GROUPS = (  # title, and pattern of the losses that belong there; the first that fits takes a loss
    ("adversarial losses", r"D$|D_(real|fake|adv).*|G_(GAN|adv).*|.*_gp$"),
    ("generator: total and contrastive", r"G$|.*NCE.*|.*idt.*"),
    ("warm-up: scores f = \u2212energy", r"f_.*|gap$"),
    ("warm-up: sampler", r"displacement$|grad$|saturated.*|teach$"),
    ("held-out images: distances", _DISTANCES),
    ("held-out images: shares", _SHARES),
    ("other losses", r".*"),
)


def read_records(path: Path) -> list[Record]:
    """The records of a losses.jsonl, without lines that are damaged; none if there is no such file."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if _is_sound(record):
            found.append(record)
    return found


def _is_sound(record: Any) -> bool:
    """Whether it is a whole record: a crash may have truncated it, or someone may have edited it."""
    if not isinstance(record, dict) or not isinstance(record.get("phase"), str):
        return False
    losses = record.get("losses")
    figures = [record.get(name) for name in _NUMBERS]
    return (
        isinstance(losses, dict)
        and all(isinstance(value, int | float) for value in figures)
        and all(value is None or isinstance(value, int | float) for value in losses.values())
    )


def grouped(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """`names` of losses by the groups of `GROUPS`, without groups that are empty."""
    left = list(dict.fromkeys(names))
    groups = []
    for title, pattern in GROUPS:
        members = [name for name in left if re.fullmatch(pattern, name)]
        left = [name for name in left if name not in members]
        if members:
            groups.append((title, members))
    return groups


def of_its_kind(records: Iterable[Record], name: str) -> list[Record]:
    """The records that a loss may be in: those of training steps, or those of evaluations."""
    return [record for record in records if evaluates(record["losses"] or ("",)) == evaluates([name])]


def evaluates(names: Iterable[str]) -> bool:
    """Whether all figures of these names are those of an evaluation."""
    return all(re.fullmatch(f"{_DISTANCES}|{_SHARES}", each) for each in names)


def names_of(records: Iterable[Record]) -> list[str]:
    """The losses that occur, in the order of their first appearance."""
    return list(dict.fromkeys(name for record in records for name in record["losses"]))


def values(records: Sequence[Record], name: str) -> NDArray[np.float64]:
    """A loss over the records; NaN where it is missing or was not finite."""
    return np.array([record["losses"].get(name) for record in records], dtype=np.float64)


def switches(records: Sequence[Record]) -> list[tuple[float, str]]:
    """Where the phase changes: epochs done, and the phase that begins there."""
    return [(a["epochs"], b["phase"]) for a, b in pairwise(records) if a["phase"] != b["phase"]]


def paces(records: Sequence[Record]) -> list[str]:
    """For each phase the time of an image in its first and its last epoch, medians over what was logged, as text.

    Equal times mean that training does not slow down as it goes on.
    """
    lines = []
    for phase in dict.fromkeys(record["phase"] for record in records):
        steps = [r for r in records if r["phase"] == phase and "seconds" in r and not evaluates(r["losses"])]
        if not steps:
            continue
        first, last = steps[0]["epoch"], steps[-1]["epoch"]
        begin, end = ([r["seconds"] for r in steps if r["epoch"] == epoch] for epoch in (first, last))
        line = f"{phase}: {np.median(begin):.3g} s per image in epoch {first}"
        if last > first:
            line += f", {np.median(end):.3g} in epoch {last}"
        waited = sum(r["waiting"] for r in steps) / max(sum(r["seconds"] for r in steps), 1e-9)
        lines.append(f"{line}; {100 * waited:.1f} % of it waiting for images")
    return lines


def smoothed(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponential mean of the values so far, without bias at the start; NaN stays NaN and is passed over."""
    out = np.full_like(curve, np.nan)
    total = weight = 0.0
    for i, value in enumerate(curve):
        if np.isfinite(value):
            total, weight = SMOOTHING * total + value, SMOOTHING * weight + 1
            out[i] = total / weight
    return out


class Thinned:
    """At most `limit` of the records added: every n-th, evenly, and the newest. `records` holds them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.records: list[Record] = []
        self._count, self._stride = 0, 1

    def add(self, record: Record) -> None:
        if self.records and (self._count - 1) % self._stride:
            self.records.pop()  # it was there only for being the newest
        self.records.append(record)
        self._count += 1
        if len(self.records) > self.limit:
            del self.records[1:-1:2]
            self._stride *= 2
