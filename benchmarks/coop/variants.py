"""Variants of coopcut for the study: what happens at the switch, and how the losses are reduced."""

from collections.abc import Mapping
from typing import Any

from coopcut.engine.base_model import StepOutput
from torch import Tensor, nn

from coopcut.engine.position import Position
from coopcut.losses.cooperative import likelihood_loss, teaching_loss
from coopcut.models.coopcut import CoopCUT


class Unshifted(CoopCUT):
    """f = D, and the bias of D starts as in CUT: at the switch lsgan finds the scores of real images half too low."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.offset = 0.0
        nn.init.zeros_(self.networks["D"].last.bias)  # type: ignore[union-attr, arg-type]


class _Forgetting(CoopCUT):
    """Optimizers that forget their moments at the switch, as new ones would."""

    forgetting: tuple[str, ...] = ()

    def step(self, batch: Any, position: Position) -> StepOutput:
        before = Position(step=max(position.step - 1, 0), epoch=position.epoch)
        if self.in_warmup(before) and not self.in_warmup(position):
            for name in self.forgetting:
                self.optimizers[name].state.clear()
        return super().step(batch, position)


class NewD(_Forgetting):
    """The optimizer of D starts anew."""

    forgetting = ("D",)


class NewAll(_Forgetting):
    """All optimizers start anew."""

    forgetting = ("G", "D", "F")


class TeachingSums(CoopCUT):
    """The teaching loss is summed over the values of an image, so it weighs as many times more."""

    def teaching(self, x0: Tensor, x_T: Tensor) -> Tensor:
        return teaching_loss(x0, x_T) * x0[0].numel()


class EnergySums(CoopCUT):
    """The likelihood loss and its penalty are summed over the patches of an image."""

    patches = 1

    def likelihood(self, f_revised: Tensor, f_real: Tensor) -> Tensor:
        self.patches = f_real[0].numel()
        return super().likelihood(f_revised, f_real) * self.patches

    def advice(self, losses: Mapping[str, float], position: Position) -> list[str]:
        if "D" in losses:  # the loss is judged on the scale of means
            losses = {**losses, "D": losses["D"] / self.patches}
        return super().advice(losses, position)


class ImageEnergy(CoopCUT):
    """The energy is that of an image, the sum over its patches, and the square of that is penalised."""

    def likelihood(self, f_revised: Tensor, f_real: Tensor) -> Tensor:
        return likelihood_loss(f_revised.flatten(1).sum(1), f_real.flatten(1).sum(1), self.opt.lambda_energy)
