"""What a step is made of: the context it gets, the requests it makes of the engine, and what it reports.

A method's `step` is a generator function over one micro-batch. It yields a `Minimize` for each update of weights and a
`Together` for what is computed on the whole batch; what its parts share lives in its local variables. The engine runs
it for every micro-batch of every process, from one request to the next.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coopcut.engine.position import Position
from coopcut.engine.processes.collectives import gather
from coopcut.engine.processes.shard import Shard
from coopcut.engine.rng import RandomState


@dataclass(frozen=True)
class StepOutput:
    """What a step reports: scalars for the log (detached, on the device) and images [B, C, H, W] in [-1, 1]."""

    losses: dict[str, Tensor]
    images: dict[str, Tensor]


@dataclass(frozen=True)
class Losses:
    """A loss to minimize, the mean over a micro-batch, and what the log shows of it: detached scalars by name."""

    total: Tensor
    logged: dict[str, Tensor]

    def __add__(self, other: "Losses") -> "Losses":
        return Losses(self.total + other.total, self.logged | other.logged)

    def labeled(self, name: str, instead_of: str = "") -> "Losses":
        """The same, with the total logged as `name` first."""
        others = {key: value for key, value in self.logged.items() if key != instead_of}
        return Losses(self.total, {name: self.total.detach()} | others)


@dataclass(frozen=True)
class Minimize:
    """Asks for one step of the optimizers of `networks` (those that have one) on the gradient of a loss."""

    losses: Losses
    networks: tuple[str, ...]


@dataclass(frozen=True)
class Together:
    """Asks for `function` of the whole batch: of `tensors` [b, ...] joined over all micro-batches and processes.

    It is called once. The answer is what it returns, of a tensor [B, ...] the rows of this micro-batch.
    """

    function: Callable[..., Any]
    tensors: tuple[Tensor, ...]


Step = Generator[Minimize | Together, Any, dict[str, Tensor]]


@dataclass(frozen=True)
class StepContext:
    """Where training stands before a step, which samples of the batch are meant, and the step's random numbers.

    alone: whether this micro-batch is all that this process has of the batch. Then a graph may be kept from one update
    to the next; with several it would be kept for all of them, so they compute it again.
    """

    position: Position
    shard: Shard
    alone: bool
    rng: RandomState

    @property
    def generator(self) -> torch.Generator:
        """The generator of tensors, on the device."""
        return self.rng.device

    def coin(self) -> bool:
        """Heads with probability 1/2, the same for the whole batch."""
        return self.rng.coin()

    def randn(self, shape: Sequence[int], generator: torch.Generator | None = None, device: Any = None) -> Tensor:
        """Normal numbers [b, ...] for the samples of this micro-batch: the same however the batch is divided."""
        generator = generator or self.generator
        return self.shard.randn(shape, generator, generator.device)

    def rand(self, shape: Sequence[int]) -> Tensor:
        """Uniform numbers in [0, 1), else as `randn`."""
        return self.shard.rand(shape, self.generator, self.generator.device)

    def gather(self, part: Tensor) -> Tensor:
        """[b, ...] of a micro-batch that is alone -> [B, ...] of all processes, without gradient."""
        return gather(part, self.shard)


def minimize(losses: Losses, *networks: str) -> Minimize:
    """What a step yields to have the weights of `networks` updated."""
    return Minimize(losses, networks)
