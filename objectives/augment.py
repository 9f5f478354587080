"""What is done to all images before D, so that it cannot learn few ones by heart.

DiffAugment (Zhao et al., NeurIPS 2020): color, translation and cutout, the same kinds for real and made images, with
gradients through them. With a target the probability adapts as in ADA (Karras et al., NeurIPS 2020), so that D does not
become too sure of real images; ADA's own, larger set of transforms is not here.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from coopcut.engine.step import StepContext, Together
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError

SHIFT, HOLE = 0.125, 0.5  # of the size: largest translation, side of the cutout
PACE = 500_000  # images in which the probability can go from 0 to 1, as published


class Augment:
    """Random changes of images for D: each kind, and each image, with probability p.

    Randomness comes from the step, so that micro-batches and processes change nothing.
    """

    options = (
        Option("augment", "", "what D sees of all images is changed at random: color, translation, cutout, joined by "
               "commas; empty: nothing"),
        Option("augment_p", 1.0, "probability of each of these changes; with --ada_target at the beginning", low=0,
               high=1),
        Option("ada_target", 0.0, "adapt the probability so that the mean sign of D's scores of real images is this "
               "(ADA: 0.6); 0: it is constant", low=0, below=1),
    )  # fmt: skip

    def __init__(self, opt: Options) -> None:
        self.kinds = [KINDS[name] for name in opt.augment.split(",") if name]
        self.target, self.p = float(opt.ada_target), float(opt.augment_p)

    @staticmethod
    def check(opt: Options) -> None:
        """Raise `OptionError` for kinds that are unknown."""
        for name in opt.augment.split(",") if opt.augment else []:
            if name not in KINDS:
                raise OptionError(f"--augment: '{name}' is not one of {', '.join(KINDS)}")
        if opt.ada_target > 0 and not opt.augment:
            raise OptionError("--ada_target adapts how often images are changed: add --augment")

    def __call__(self, images: Tensor, ctx: StepContext) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        for kind in self.kinds:
            where = ctx.rand((len(images), 1, 1, 1)).to(images) < self.p
            images = torch.where(where, kind(images, lambda n: ctx.rand((n, 3)).to(images)), images)  # noqa: B023
        return images

    def adapt(self, real_scores: Tensor) -> Generator[Together, Any, None]:
        """Let the probability follow D's scores of real images, less the offset, [b, 1, h, w]."""
        yield Together(self._adapt, (real_scores.flatten(1).sign().mean(dim=1),))

    def _adapt(self, signs: Tensor) -> None:
        change = len(signs) / PACE
        self.p = min(1.0, max(0.0, self.p + (change if float(signs.mean()) > self.target else -change)))

    def state_dict(self) -> dict[str, Any]:
        """The probability, which adapts."""
        return {"p": self.p}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        if self.target > 0:
            self.p = float(state["p"])


Draw = Callable[[int], Tensor]  # uniform numbers [n, 3] in [0, 1)


def color(images: Tensor, draw: Draw) -> Tensor:
    """Brightness moved by up to 0.5 (of a range of 1), saturation times up to 2, contrast times 0.5 to 1.5."""
    brightness, saturation, contrast = draw(len(images)).view(-1, 3, 1, 1, 1).unbind(dim=1)
    images = images + (brightness - 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = (images - gray) * (2 * saturation) + gray
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def translation(images: Tensor, draw: Draw) -> Tensor:
    """Moved by up to an eighth of the size in both directions; what comes in is gray (0)."""
    b, _, h, w = images.shape
    moves = draw(b)
    dy, dx = (_whole(moves[:, i], round(side * SHIFT)) for i, side in enumerate((h, w)))
    rows = torch.arange(h, device=images.device)[None] + dy[:, None]
    columns = torch.arange(w, device=images.device)[None] + dx[:, None]
    inside = ((rows >= 0) & (rows < h))[:, None, :, None] & ((columns >= 0) & (columns < w))[:, None, None]
    number = torch.arange(b, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[number, rows.clamp(0, h - 1)[:, :, None], columns.clamp(0, w - 1)[:, None]]
    return moved.permute(0, 3, 1, 2) * inside.to(images)


def cutout(images: Tensor, draw: Draw) -> Tensor:
    """A square of half the size, anywhere, becomes gray (0)."""
    b, _, h, w = images.shape
    places = draw(b)
    masks = []
    for i, side in enumerate((h, w)):
        middle = (places[:, i] * (side + 1 - round(side * HOLE) % 2)).floor()[:, None]
        at = torch.arange(side, device=images.device)[None]
        half = round(side * HOLE) / 2
        masks.append((at >= middle - half) & (at < middle + half))
    hole = masks[0][:, None, :, None] & masks[1][:, None, None]
    return images * (~hole).to(images)


def _whole(uniform: Tensor, most: int) -> Tensor:
    """Uniform numbers in [0, 1) as whole numbers from -most to most."""
    return (uniform * (2 * most + 1)).floor().long() - most


KINDS: Mapping[str, Callable[[Tensor, Draw], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}
