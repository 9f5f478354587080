"""What every objective has: options, networks, and state beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from coopcut.engine.position import Position
from coopcut.engine.precision import Network
from coopcut.options.option import Option, Options


class Objective:
    """Owns the networks, options and state of one purpose; knows no other objective's names.

    networks: by the name that their files have, `<epoch>_net_<name>.pth`; each has an optimizer of its own.
    """

    options: ClassVar[Sequence[Option]] = ()

    @classmethod
    def check(cls, opt: Options) -> None:
        """Raise `OptionError` if the values of the options do not fit together."""
        return

    def __init__(self) -> None:
        self.networks: dict[str, Network] = {}

    def stage(self, position: Position) -> str:
        """What the log calls the step after `position`; empty: the objective has no stages."""
        return ""

    def rate(self, network: str, position: Position) -> float:
        """A factor on the learning rate of any network of the method in the step after `position`."""
        return 1.0

    def restarting(self, networks: Sequence[str]) -> Sequence[str]:
        """Those of the method's `networks` that get their initial weights again at some time."""
        return ()

    def restarts(self, position: Position) -> bool:
        """Whether they get them before the step after `position`."""
        return False

    def advice(self, losses: Mapping[str, float], position: Position) -> list[str]:
        """Warnings in view of logged losses, each naming the option to change."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What is stateful beside the networks, on the CPU."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        return
