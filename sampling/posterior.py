"""The noise that a generator made an image of: Langevin dynamics on its posterior."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coopcut.sampling.langevin import Langevin


@dataclass(frozen=True)
class Posterior:
    """p(z | x) of z ~ N(0, 1), x = G(z) + N(0, sigma^2) (Han et al. 2017; Xie et al. 2018, eq. 12).

    Its logarithm, up to a constant: -|x - G(z)|^2 / (2 sigma^2) - |z|^2 / 2, the first sum over the pixels that are
    known. A step is z <- z + delta^2 / 2 * its slope + noise * standard normal.

    delta: step of the dynamics. noise: delta for Langevin dynamics, 0 for the most likely z.
    """

    sigma: float = 0.3
    steps: int = 10
    delta: float = 0.1
    noise: float = 0.1

    def log_density(self, z: Tensor, made: Tensor, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Of z [B, nz] and G(z) = `made` [B, C, H, W] for images x, [B]; known: 1 for pixels that count, else 0."""
        error = (x - made).square()
        if known is not None:
            error = error * known
        return -error.flatten(1).sum(1) / (2 * self.sigma**2) - z.square().flatten(1).sum(1) / 2

    def infer(
        self,
        G: Callable[[Tensor], Tensor],
        x: Tensor,
        z: Tensor,
        known: Tensor | None = None,
        randn: Callable[[Sequence[int]], Tensor] = torch.randn,
    ) -> Tensor:
        """z [B, nz] moved toward what made x [B, C, H, W]. Without noise a step that makes it less likely is undone."""
        sampler = Langevin(self.steps, self.delta**2 / 2, noise=self.noise, bounds=None, backtrack=self.noise == 0)
        return sampler.revise(lambda z: self.log_density(z, G(z), x, known), z, randn=randn).x
