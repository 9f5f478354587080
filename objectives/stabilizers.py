"""What keeps a discriminator from winning: penalties on its slope and on its scores, beside its own loss."""

import math
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from coopcut.engine.precision import Given, Network
from coopcut.engine.step import StepContext, Together
from coopcut.losses.gan import lecam, squared_slope
from coopcut.options.option import Option, Options

Called = Network[Any] | Given[Any]
LECAM_DECAY = 0.99  # of the running means
ANNEALED = 0.1  # what remains of R1 and R2, as in R3GAN


class Stabilizers:
    """R1, R2 and LeCam of a discriminator D; its methods take D as it is to be called in the step."""

    options = (
        Option("lambda_R1", 0.0, "gamma of R1: gamma / 2 times D's squared slope at real images", low=0),
        Option("lambda_R2", 0.0, "gamma of R2: the same at those that D is shown as fake", low=0),
        Option("R_anneal", 0, "R1 and R2 fall to a tenth within so many steps, along a cosine; 0: constant", low=0),
        Option("lambda_lecam", 0.0, "weight of LeCam: D's scores stay near the running means of the other kind", low=0),
        Option("lecam_start", 1000, "step from which LeCam counts", low=0),
    )  # fmt: skip

    def __init__(self, opt: Options, device: torch.device) -> None:
        self.opt, self.device = opt, device
        self.anchors = torch.zeros(2, device=device)  # running means of the scores of real and fake images
        self.followed = 0

    def follow(self, D: Called, fake: Tensor, real: Tensor) -> Generator[Together, Any, None]:
        """Let the running means follow D's scores of a step."""
        if self.opt.lambda_lecam > 0:
            with torch.no_grad():
                means = [D(images).float().flatten(1).mean(dim=1) for images in (real, fake)]
            yield Together(self._update, tuple(means))

    def _update(self, real: Tensor, fake: Tensor) -> None:
        found = torch.stack([real.mean(), fake.mean()])
        decay = LECAM_DECAY if self.followed else 0.0
        self.anchors, self.followed = decay * self.anchors + (1 - decay) * found, self.followed + 1

    def loss(
        self, D: Called, images: tuple[Tensor, Tensor], scores: tuple[Tensor, Tensor], ctx: StepContext
    ) -> dict[str, Tensor]:
        """The weighted penalties by the names of the log, on the scale of half the sum of D's losses.

        images, scores: of what D is shown as fake, and of real images.
        """
        shown, real = images
        opt, step = self.opt, ctx.position.step
        found: dict[str, Tensor] = {}
        kept = self.kept(step)
        for name, gamma, of in (("R1", opt.lambda_R1, real), ("R2", opt.lambda_R2, shown)):
            if gamma > 0:
                with D.exact():
                    found[f"D_{name}"] = 0.25 * gamma * kept * squared_slope(D, of)
        if opt.lambda_lecam > 0 and step >= opt.lecam_start:
            found["D_lecam"] = 0.5 * opt.lambda_lecam * lecam(scores[1], scores[0], *self.anchors)
        return found

    def kept(self, step: int) -> float:
        """What --R_anneal leaves of R1 and R2 in a step: from 1 to `ANNEALED` along a cosine."""
        if self.opt.R_anneal == 0:
            return 1.0
        done = min(1.0, step / self.opt.R_anneal)
        return ANNEALED + (1 - ANNEALED) * (1 + math.cos(math.pi * done)) / 2

    def state_dict(self) -> dict[str, Any]:
        """The running means."""
        return {"anchors": self.anchors.cpu(), "followed": self.followed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self.anchors, self.followed = state["anchors"].to(self.device), int(state["followed"])
