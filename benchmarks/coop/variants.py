"""Variants of coopcut for the study: what happens at the switch, and how the losses are reduced."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from coopcut.engine.position import Position
from coopcut.engine.runtime import Runtime
from coopcut.losses.cooperative import likelihood_loss, teaching_loss
from coopcut.models.coopcut import CoopCUT
from coopcut.objectives.adversarial import Adversarial
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.option import Options


class Variant(CoopCUT):
    """coopcut with another objective; `forgetting`: networks whose optimizers forget their moments at the switch."""

    cooperative: ClassVar[type[Cooperative]] = Cooperative
    forgetting: ClassVar[tuple[str, ...]] = ()

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.adversarial = self.add("adversarial", self.cooperative(opt, self.adversarial.adversarial))


class NewD(Variant):
    """The optimizer of D starts anew."""

    forgetting = ("D",)


class NewAll(Variant):
    """All optimizers start anew."""

    forgetting = ("G", "D", "F")


class _Unshifted(Cooperative):
    def __init__(self, opt: Options, adversarial: Adversarial) -> None:
        super().__init__(opt, adversarial)
        self.offset = 0.0
        if self.D.net.score_bias is not None:
            nn.init.zeros_(self.D.net.score_bias)


class Unshifted(Variant):
    """f = D, and the bias of D starts as in CUT: at the switch lsgan finds the scores of real images half too low."""

    cooperative = _Unshifted


class _TeachingSums(Cooperative):
    def teaching(self, x0: Tensor, x_T: Tensor) -> Tensor:
        return teaching_loss(x0, x_T) * x0[0].numel()


class TeachingSums(Variant):
    """The teaching loss is summed over the values of an image, so it weighs as many times more."""

    cooperative = _TeachingSums


class _EnergySums(Cooperative):
    patches = 1

    def likelihood(self, f_revised: Tensor, f_real: Tensor) -> Tensor:
        self.patches = f_real[0].numel()
        return super().likelihood(f_revised, f_real) * self.patches

    def advice(self, losses: Mapping[str, float], position: Position) -> list[str]:
        if "D" in losses:  # the loss is judged on the scale of means
            losses = {**losses, "D": losses["D"] / self.patches}
        return super().advice(losses, position)


class EnergySums(Variant):
    """The likelihood loss and its penalty are summed over the patches of an image."""

    cooperative = _EnergySums


class _ImageEnergy(Cooperative):
    def likelihood(self, f_revised: Tensor, f_real: Tensor) -> Tensor:
        return likelihood_loss(f_revised.flatten(1).sum(1), f_real.flatten(1).sum(1), self.opt.lambda_energy)


class ImageEnergy(Variant):
    """The energy is that of an image, the sum over its patches, and the square of that is penalized."""

    cooperative = _ImageEnergy
