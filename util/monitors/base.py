"""Write-only sinks of a training run, and the one object that feeds them."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from torch import Tensor

from util.position import Position

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """The figures of one moment. Times are seconds per image since the last record; `losses` are plain numbers."""

    position: Position
    phase: str
    losses: dict[str, float]
    lr: float
    seconds: float
    waiting: float  # the part of `seconds` spent waiting for data


class Monitor:
    """A sink. It says how many images apart it wants figures and pictures (0: never) and must not change them."""

    every_losses = 0
    every_images = 0

    def step(self, position: Position) -> None:
        """A training step is done. Called at every step: it must cost nothing."""
        return

    def log(self, record: Record) -> None:
        """Take figures."""
        return

    def show(self, position: Position, images: dict[str, Tensor]) -> None:
        """Take pictures [B, C, H, W] in [-1, 1], on any device; called at the end of every epoch too."""
        return

    def close(self) -> None:
        """Training is over."""
        return


@dataclass
class Clock:
    """Where the time of a training loop goes."""

    since: float = field(default_factory=time.perf_counter)
    waiting: float = 0.0
    images: int = 0

    def reset(self) -> None:
        self.since, self.waiting, self.images = time.perf_counter(), 0.0, 0


class Monitors:
    """Feeds several sinks; one that fails is reported once and dropped, training and the others go on."""

    def __init__(self, sinks: Sequence[Monitor]) -> None:
        self.sinks = list(sinks)
        self.clock = Clock()

    def __enter__(self) -> "Monitors":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in list(self.sinks):
            self._guarded(sink, "close")

    def step(self, position: Position, samples: int, waited: float) -> None:
        """Count a step with so many samples, for which data was awaited for so many seconds."""
        self.clock.waiting += waited
        self.clock.images += samples
        for sink in list(self.sinks):
            self._guarded(sink, "step", position)

    def due_losses(self, position: Position, samples: int) -> bool:
        """Whether a sink wants figures after this step."""
        return any(self._due(sink.every_losses, position, samples) for sink in self.sinks)

    def log(self, position: Position, samples: int, phase: str, losses: dict[str, float], lr: float) -> None:
        """Hand figures to the sinks whose turn it is."""
        elapsed, images = time.perf_counter() - self.clock.since, max(self.clock.images, 1)
        record = Record(
            Position(**position.state_dict()), phase, losses, lr, elapsed / images, self.clock.waiting / images
        )
        self.clock.reset()
        for sink in list(self.sinks):
            if self._due(sink.every_losses, position, samples):
                self._guarded(sink, "log", record)

    def show(self, position: Position, samples: int, images: dict[str, Tensor], epoch_ended: bool = False) -> None:
        """Hand pictures to the sinks whose turn it is; at the end of an epoch to all that take some."""
        for sink in list(self.sinks):
            if sink.every_images and (epoch_ended or self._due(sink.every_images, position, samples)):
                self._guarded(sink, "show", position, images)

    @staticmethod
    def _due(every: int, position: Position, samples: int) -> bool:
        return every > 0 and position.crossed(every, samples)

    def _guarded(self, sink: Monitor, method: str, *arguments: object) -> None:
        try:
            getattr(sink, method)(*arguments)
        except Exception as error:
            log.warning("monitor %s dropped: %s: %s", type(sink).__name__, type(error).__name__, error)
            if sink in self.sinks:
                self.sinks.remove(sink)
