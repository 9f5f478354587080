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

    adaptive: `displacement` is the most that an image is moved. A step is as long as the slope needs in order to cover
    its part of the way to `ceiling`: (ceiling - f) / (steps left), divided by the slope (Polyak's step).

    backtrack: a step after which the mean score of an image is lower is undone, and the image goes on from the point
    before with half the step. So no image ends lower than it began, whatever the other settings.
    """

    steps: int
    step_size: float = 0.0
    noise: float = 0.0
    clip: float = 0.0
    displacement: float = 0.0
    bounds: tuple[float, float] | None = (-1.0, 1.0)
    adaptive: bool = False
    backtrack: bool = False

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
        x, kept = x0.detach(), None
        f_start, gradients = None, []
        for step in range(self.steps):
            at = self._look(f, x)
            f_start = at.scores.mean() if f_start is None else f_start
            gradients.append(at.gradient.abs().mean())
            if self.backtrack:
                at = at if kept is None else at.or_back_to(kept)
                kept = at
            x = self._step(at, self.steps - step, ceiling, randn)
        if kept is not None:
            x = self._end(f, x, kept)
        return Revision(
            x=x,
            f_start=f_start if f_start is not None else f(x).detach().mean(),
            gradient=torch.stack(gradients).mean() if gradients else x.new_zeros(()),
            displacement=(x - x0.detach()).abs().mean(),
            saturated=saturated(x),
        )

    @staticmethod
    def _look(f: Callable[[Tensor], Tensor], x: Tensor) -> "_Point":
        x.requires_grad_(True)
        with torch.enable_grad():
            scores = f(x)
            (gradient,) = torch.autograd.grad(scores.sum(), x)
        return _Point(x.detach(), scores.detach(), gradient)

    @staticmethod
    def _end(f: Callable[[Tensor], Tensor], x: Tensor, kept: "_Point") -> Tensor:
        """The last step is judged, too; this needs no gradient."""
        with torch.no_grad():
            return _Point(x, f(x), kept.gradient).or_back_to(kept).x

    def _step(
        self, at: "_Point", left: int, ceiling: Tensor | None, randn: Callable[[Sequence[int]], Tensor]
    ) -> Tensor:
        """The images after a step; those that have reached their ceiling stay."""
        change = self._change(at, left, ceiling)
        x = at.x + (change if at.factor is None else change * at.factor)
        if self.noise > 0:
            x += self.noise * randn(x.shape)
        if self.bounds is not None:
            x.clamp_(*self.bounds)
        if ceiling is not None:
            x = torch.where(_by_image(at.means < ceiling, x), x, at.x)
        return x

    def _change(self, at: "_Point", left: int, ceiling: Tensor | None) -> Tensor:
        """What the gradient adds to x in a step, of which `left` are still to do."""
        gradient = at.gradient
        if self.displacement > 0:
            size = gradient.abs().mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)  # of each image
            factor = self.displacement / self.steps / size.clamp_min(torch.finfo(size.dtype).tiny)
            if self.adaptive and ceiling is not None:
                factor = torch.minimum(factor, at.needed(ceiling) / left)
            change = gradient * factor
        else:
            change = gradient * self.step_size
        return change.clamp_(-self.clip, self.clip) if self.clip > 0 else change


@dataclass(frozen=True)
class _Point:
    """Where a revision stands: images [B, C, H, W], their scores, d sum f / dx, and [B, 1, 1, 1] factors on steps."""

    x: Tensor
    scores: Tensor
    gradient: Tensor
    factor: Tensor | None = None

    @property
    def means(self) -> Tensor:
        """The mean score of each image, [B]."""
        return self.scores.reshape(len(self.x), -1).mean(dim=1)

    def needed(self, ceiling: Tensor) -> Tensor:
        """The factor on the gradient that would lift the mean scores to `ceiling` [B] if f were linear."""
        patches = self.scores[0].numel()  # the gradient is that of their sum
        slope = self.gradient.flatten(1).square().sum(1) / patches
        return _by_image((ceiling - self.means).clamp_min(0) / slope.clamp_min(torch.finfo(slope.dtype).tiny), self.x)

    def or_back_to(self, kept: "_Point") -> "_Point":
        """This point; for each image whose score is lower here the earlier one, with half its step."""
        worse = _by_image(self.means < kept.means, self.x)
        factor = self.x.new_ones(worse.shape) if kept.factor is None else kept.factor
        return _Point(
            torch.where(worse, kept.x, self.x),
            torch.where(worse.view(-1, *[1] * (self.scores.ndim - 1)), kept.scores, self.scores),
            torch.where(worse, kept.gradient, self.gradient),
            torch.where(worse, factor / 2, factor),
        )


def _by_image(values: Tensor, images: Tensor) -> Tensor:
    """[B] -> [B, 1, ...], to go with images [B, ...]."""
    return values.view(-1, *[1] * (images.ndim - 1))


def saturated(images: Tensor) -> Tensor:
    """Share of the values with a magnitude above 0.99, of images in [-1, 1]."""
    return (images.abs() > 0.99).float().mean()
