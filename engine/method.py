"""What a method is: networks, the objectives that train them, and the order in which a step uses them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from coopcut.data.batch import Batch
from coopcut.engine.position import Position
from coopcut.engine.precision import Network
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Step, StepContext
from coopcut.networks import create_D, create_G
from coopcut.networks.contract import Discriminator
from coopcut.objectives.base import Objective
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError

O = TypeVar("O", bound=Objective)  # noqa: E741


NOISE = "noise"


@dataclass(frozen=True)
class Export:
    """What `test.py` can run: the network that makes images of domain `target` of those of `source`, or of `NOISE`."""

    network: str
    source: str
    target: str

    @property
    def samples(self) -> bool:
        """Whether it makes images from noise."""
        return self.source == NOISE


def channels(opt: Options, domain: str) -> int:
    """The channels of the images of domain A (--input_nc) or B (--output_nc)."""
    return int({"A": opt.input_nc, "B": opt.output_nc}[domain])


class Method(ABC):
    """A method: subclass it, register it with `@MODELS.register(name)`, and `train.py --model name` runs it.

    A subclass makes its networks and objectives in `__init__` and says in `step` what happens to a batch. The engine
    does the rest for every method alike: accumulation, precision, processes, optimizers, averages, saving.

    purpose: translation (of images of A to B), or generation (of images B from noise); that of its data sets, too.
    components: the classes of its objectives, whose options become options of the method.
    exports: what can be run after training, by name, the default first. Each network is averaged with --ema.
    steered_by: the logged loss whose mean over an epoch steers --lr_policy plateau.
    """

    purpose: ClassVar[str] = "translation"
    options: ClassVar[Sequence[Option]] = ()
    components: ClassVar[Sequence[type[Objective]]] = ()
    exports: ClassVar[Mapping[str, Export]] = MappingProxyType({"A2B": Export("G", "A", "B")})
    steered_by: ClassVar[str] = "G"

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        """Defaults of any options that differ for this method."""
        return {}

    @classmethod
    def check(cls, opt: Options) -> None:
        """Raise `OptionError` if the values of the options do not fit together."""
        for component in cls.components:
            component.check(opt)

    @classmethod
    def export(cls, name: str) -> Export:
        """The export called `name`, or the first for an empty one. Raises `OptionError`."""
        if name and name not in cls.exports:
            raise OptionError(f"--export {name} is unknown: this --model offers {', '.join(cls.exports)}")
        return cls.exports[name or next(iter(cls.exports))]

    @classmethod
    def suffix(cls, name: str) -> str:
        """What the results of an export are marked with: nothing for the first."""
        return "" if name in ("", next(iter(cls.exports))) else f"_{name}"

    @classmethod
    def build(cls, opt: Options, export: Export) -> Any:
        """The network of `export` as `opt` describes it, with initial weights: a `Generator`, or a `NoiseGenerator`."""
        return create_G(opt, channels(opt, export.source), channels(opt, export.target))

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        self.opt, self.runtime = opt, runtime
        self.networks: dict[str, Network] = {}
        self.objectives: dict[str, Objective] = {}

    @abstractmethod
    def step(self, batch: Batch, ctx: StepContext) -> Step:
        """One training step on a micro-batch, as a generator function (see `engine.step`); returns its images."""

    def add_generator(self, export: str = "") -> Network[Any]:
        """The network of an export (of the first for an empty name), ready to be called and known to the engine."""
        chosen = self.export(export)
        network = self.runtime.prepare(self.build(self.opt, chosen))
        self.networks[chosen.network] = network
        return network

    def discriminator(self, domain: str) -> Network[Discriminator]:
        """A discriminator of images of a domain, ready to be called."""
        return self.runtime.prepare(create_D(self.opt, channels(self.opt, domain)))

    def add(self, name: str, objective: O) -> O:
        """`objective`, with its networks known to the engine and its state saved under `name`."""
        self.objectives[name] = objective
        self.networks |= objective.networks
        return objective

    def adam(self, name: str) -> dict[str, Any]:
        """The arguments of the Adam optimizer of the network `name`."""
        return {"lr": self.opt.lr, "betas": (self.opt.beta1, self.opt.beta2)}

    def stage(self, position: Position) -> str:
        """What the log calls the step after `position`."""
        stages = (objective.stage(position) for objective in self.objectives.values())
        return next(filter(None, stages), "train")

    def rate(self, network: str, position: Position) -> float:
        """The factor on the learning rate of a network in the step after `position`."""
        return math.prod(objective.rate(network, position) for objective in self.objectives.values())

    def restarting(self, position: Position | None = None) -> set[str]:
        """The networks that get their initial weights again: before the step after `position`, or ever."""
        objectives = [o for o in self.objectives.values() if position is None or o.restarts(position)]
        return {name for objective in objectives for name in objective.restarting(list(self.networks))}

    def advice(self, losses: Mapping[str, float], position: Position) -> list[str]:
        """Warnings in view of logged losses, each naming the option to change."""
        return [line for objective in self.objectives.values() for line in objective.advice(losses, position)]
