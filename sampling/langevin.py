"""Short-run Langevin dynamics on the scores of images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Revision:
    """What the sampler made of its start: x [B, C, H, W], no gradient, and scalars on its device for the log."""

    x: Tensor
    f_start: Tensor  # mean score at the start
    gradient: Tensor  # mean |d sum f / dx| over pixels and steps
    displacement: Tensor  # mean |x_T - x_0|
    saturated: Tensor  # share of values with |x_T| > 0.99


@dataclass(frozen=True)
class Langevin:
    """x <- clamp(x + clip(step_size * d/dx sum f(x)) + noise * z), `steps` times; z is standard normal.

    The SUM of the scores is ascended, so that the step of a pixel depends neither on the size of the image nor on the
    batch. Langevin dynamics proper, with stationary density exp(sum f), has step_size = delta^2 / 2 and noise = delta;
    noise 0 is gradient ascent. clip bounds the change that the gradient makes to a value in one step (0: unbounded),
    bounds the values (None: unbounded).

    displacement > 0: in place of step_size, the gradient of each image is rescaled in every step so that it moves the
    values by displacement / steps on average, before clip. A step then is as long for a flat f as for a steep one;
    the stationary density is lost, the direction and the order of the scores are not. A gradient of 0 moves nothing.
    """

    steps: int
    step_size: float = 0.0
    noise: float = 0.0
    clip: float = 0.0
    displacement: float = 0.0
    bounds: tuple[float, float] | None = (-1.0, 1.0)

    def revise(
        self,
        f: Callable[[Tensor], Tensor],
        x0: Tensor,
        ceiling: Tensor | None = None,
        randn: Callable[[Sequence[int]], Tensor] = torch.randn,
    ) -> Revision:
        """Images x0 [B, C, H, W] moved up the scores f(x), of any shape.

        ceiling [B]: an image whose mean score has reached its value stays where it is (f then gives scores [B, ...]).
        With the scores of data the samples are not pushed beyond those, where the likelihood would flatten f again.
        randn(shape) draws z, on the device of x0. Gradients are taken with respect to x alone: parameters of f and
        their gradients are left as they are.
        """
        x = x0.detach()
        f_start, gradients = None, []
        for _ in range(self.steps):
            x.requires_grad_(True)
            with torch.enable_grad():
                scores = f(x)
                (gradient,) = torch.autograd.grad(scores.sum(), x)
            f_start = scores.detach().mean() if f_start is None else f_start
            gradients.append(gradient.abs().mean())
            before, x = x.detach(), x.detach() + self._change(gradient)
            if self.noise > 0:
                x += self.noise * randn(x.shape)
            if self.bounds is not None:
                x.clamp_(*self.bounds)
            if ceiling is not None:
                below = scores.detach().reshape(len(x), -1).mean(dim=1) < ceiling
                x = torch.where(below.view(-1, *[1] * (x.ndim - 1)), x, before)
        return Revision(
            x=x,
            f_start=f_start if f_start is not None else f(x).detach().mean(),
            gradient=torch.stack(gradients).mean() if gradients else x.new_zeros(()),
            displacement=(x - x0.detach()).abs().mean(),
            saturated=saturated(x),
        )

    def _change(self, gradient: Tensor) -> Tensor:
        """What the gradient adds to x in a step."""
        if self.displacement > 0:
            size = gradient.abs().mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)  # of each image
            change = gradient * (self.displacement / self.steps / size.clamp_min(torch.finfo(size.dtype).tiny))
        else:
            change = gradient * self.step_size
        return change.clamp_(-self.clip, self.clip) if self.clip > 0 else change


def saturated(images: Tensor) -> Tensor:
    """Share of the values with a magnitude above 0.99, of images in [-1, 1]."""
    return (images.abs() > 0.99).float().mean()
