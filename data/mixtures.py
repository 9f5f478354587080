"""Mixtures of Gaussians in the plane, and how many of their modes samples cover.

Data and metrics are those of VEEGAN (Srivastava et al., NeurIPS 2017) and PacGAN (Lin et al., NeurIPS 2018).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """Equally likely Gaussians: means [K, 2], and the standard deviation of each in both directions."""

    means: Tensor
    std: float

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """[count, 2]"""
        modes = torch.randint(len(self.means), (count,), generator=generator)
        return self.means[modes] + self.std * torch.randn(count, 2, generator=generator)

    def measure(self, x: Tensor) -> dict[str, float]:
        """Figures of samples [N, 2].

        A sample is of high quality within 3 std of the nearest mean (98.9 % of the mixture's own are); a mode is
        covered with at least one such sample. `reverse_kl` is KL(shares of the modes among these samples || uniform)
        in nats: 0 for equal shares, log K if all are of one mode, and log K if there is none.
        """
        distance, mode = torch.cdist(x, self.means).min(1)
        count = torch.bincount(mode[distance <= 3 * self.std], minlength=len(self.means)).double()
        total = float(count.sum())
        entropy = float(torch.special.entr(count / total).sum()) if total else 0.0
        return {
            "modes": float((count > 0).sum()),
            "high_quality": total / len(x),
            "reverse_kl": math.log(len(self.means)) - entropy,
        }


def ring(modes: int = 8, std: float = 0.01) -> Mixture:
    """Means on the unit circle."""
    angle = torch.arange(modes) * (2 * math.pi / modes)
    return Mixture(torch.stack([angle.cos(), angle.sin()], 1), std)


def grid(side: int = 5, std: float = 0.05) -> Mixture:
    """Means on a square grid, 2 apart, centered: -4 to 4 for side 5."""
    place = torch.arange(side) * 2.0 - (side - 1)
    return Mixture(torch.cartesian_prod(place, place), std)


DATA = {"ring": ring, "grid": grid}
