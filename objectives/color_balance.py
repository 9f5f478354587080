"""The mean color of translations, which a discriminator with instance norm does not see: it may drift unseen."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

RATES = 0.01, 0.002  # of the translations, which change with the generator, and of the target images, which do not


class ColorBalance:
    """Running means F and R of the colors of translations and of target images, [C] each, values in [-1, 1].

    A mean over the first steps, later over about the last 1 / rate of them. Not a term for each image: a dark
    translation is right where another is light.
    """

    def __init__(self, channels: int, device: torch.device, rates: tuple[float, float] = RATES) -> None:
        self.rates = rates
        self.steps = 0
        self.fake, self.real = torch.zeros(channels, device=device), torch.zeros(channels, device=device)

    def update(self, fake_B: Tensor, real_B: Tensor) -> None:
        """Add the mean colors of a step's images, [B, C] each."""
        self.steps += 1
        of_fake, of_real = (max(rate, 1 / self.steps) for rate in self.rates)
        self.fake = self.fake + of_fake * (fake_B.mean(dim=0) - self.fake)
        self.real = self.real + of_real * (real_B.mean(dim=0) - self.real)

    def distance(self) -> Tensor:
        """|F - R|^2, summed over the channels."""
        return (self.fake - self.real).square().sum()

    def loss(self, fake_B: Tensor) -> Tensor:
        """Translations [B, C, H, W] -> |F - R|^2, with the gradient that it would have were F their mean."""
        linear = 2 * ((self.fake - self.real) * mean_colors(fake_B).mean(dim=0)).sum()
        return linear + (self.distance() - linear).detach()

    def state_dict(self) -> dict[str, object]:
        """The means, and over how many steps."""
        return {"steps": self.steps, "fake": self.fake.cpu(), "real": self.real.cpu()}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on with the means of `state`."""
        fake, real = (torch.as_tensor(state[name], dtype=torch.float32) for name in ("fake", "real"))
        if {fake.shape, real.shape} != {self.fake.shape}:
            raise ValueError(f"mean colors of {len(fake)} and {len(real)} channels instead of {len(self.fake)}")
        self.steps, self.fake, self.real = int(state["steps"]), fake.to(device), real.to(device)


def mean_colors(images: Tensor) -> Tensor:
    """The mean color of each image: [B, C, H, W] -> [B, C]."""
    return images.mean(dim=(2, 3))
