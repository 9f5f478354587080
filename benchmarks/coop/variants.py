"""Variants of coopcut for the study: what happens at the switch."""

from typing import Any

from torch import nn

from models.base_model import StepOutput
from models.coopcut import CoopCUT
from util.position import Position


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
