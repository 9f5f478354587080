"""The mean color of translations, which a discriminator with instance norm does not see: it may drift unseen."""

from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from coopcut.engine.step import Losses, Together
from coopcut.objectives.base import Objective
from coopcut.options.option import Option, Options

RATES = 0.01, 0.002  # of the translations, which change with the generator, and of the target images, which do not


class ColorBalance(Objective):
    """Running means F and R of the colors of translations and of target images, [C] each, values in [-1, 1].

    A mean over the first steps, later over about the last 1 / rate of them. Not a term for each image: a dark
    translation is right where another is light.
    """

    options = (
        Option("lambda_color", 0.0, "weight of the squared distance between mean colors of translations and targets",
               low=0),
    )  # fmt: skip

    def __init__(self, opt: Options, channels: int, device: torch.device, rates: tuple[float, float] = RATES) -> None:
        super().__init__()
        self.weight, self.device, self.rates = float(opt.lambda_color), device, rates
        self.steps = 0
        self.fake, self.real = torch.zeros(channels, device=device), torch.zeros(channels, device=device)

    def follow(self, fake: Tensor, real: Tensor) -> Generator[Together, Any, None]:
        """Let the means follow those of a step's images [b, C, H, W]."""
        if self.weight > 0:
            yield Together(self.update, (mean_colors(fake), mean_colors(real)))

    def update(self, fake: Tensor, real: Tensor) -> None:
        """Add the mean colors of a whole batch, [B, C] each."""
        self.steps += 1
        of_fake, of_real = (max(rate, 1 / self.steps) for rate in self.rates)
        self.fake = self.fake + of_fake * (fake.mean(dim=0) - self.fake)
        self.real = self.real + of_real * (real.mean(dim=0) - self.real)

    def distance(self) -> Tensor:
        """|F - R|^2, summed over the channels."""
        return (self.fake - self.real).square().sum()

    def loss(self, fake: Tensor) -> Losses:
        """Translations [b, C, H, W] -> |F - R|^2, weighted, with the gradient that it would have were F their mean."""
        if self.weight == 0:
            return Losses(fake.new_zeros(()), {})
        linear = 2 * ((self.fake - self.real) * mean_colors(fake).mean(dim=0)).sum()
        total = linear + (self.distance() - linear).detach()
        return Losses(total * self.weight, {"color": self.distance()})

    def state_dict(self) -> dict[str, object]:
        """The means, and over how many steps."""
        return {"steps": self.steps, "fake": self.fake.cpu(), "real": self.real.cpu()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the means of `state`, unless they would be old ones when the term comes back."""
        if self.weight == 0:
            return
        fake, real = (torch.as_tensor(state[name], dtype=torch.float32) for name in ("fake", "real"))
        if {fake.shape, real.shape} != {self.fake.shape}:
            raise ValueError(f"mean colors of {len(fake)} and {len(real)} channels instead of {len(self.fake)}")
        self.steps, self.fake, self.real = int(state["steps"]), fake.to(self.device), real.to(self.device)


def mean_colors(images: Tensor) -> Tensor:
    """The mean color of each image: [B, C, H, W] -> [B, C]."""
    return images.mean(dim=(2, 3))
