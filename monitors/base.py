"""Write-only sinks of a training run, and the one object that feeds them."""

import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from torch import Tensor

from coopcut.engine.position import Position
from coopcut.options.option import Options
from coopcut.util.registry import Registry

log = logging.getLogger(__name__)


LABELS = ("real_A", "fake_B", "revised_B", "real_B", "idt_B")  # the order of pictures; what else there is comes after


@dataclass(frozen=True)
class RunInfo:
    """What a sink may want to know of the run that it shows. `total_steps`: of the whole training."""

    opt: Options
    folder: Path
    start: Position
    total_steps: int
    samples_per_epoch: int

    @property
    def title(self) -> str:
        return str(self.opt.easy_label or self.opt.name)

    @property
    def last_epoch(self) -> int:
        return int(self.opt.n_epochs + self.opt.n_epochs_decay)


@dataclass(frozen=True)
class Record:
    """The figures of one moment. Times are seconds per image since the last record; `losses` are plain numbers.

    epochs: epochs done, with a fraction. left: estimated seconds to the end of the training.
    """

    position: Position
    phase: str
    losses: dict[str, float]
    lr: float
    seconds: float
    waiting: float  # the part of `seconds` spent waiting for data
    epochs: float = 0.0
    left: float = math.nan

    @property
    def images_per_second(self) -> float:
        return 1 / max(self.seconds, 1e-9)

    @property
    def waiting_share(self) -> float:
        return self.waiting / max(self.seconds, 1e-9)


class Monitor:
    """A sink. It says how many images apart it wants figures and pictures (0: never) and must not change them."""

    every_losses = 0
    every_images = 0

    @classmethod
    def create(cls, run: RunInfo) -> "Monitor | None":
        """The sink for a run; None if its options switch it off. `ImportError` if a package is missing."""
        return cls()

    def step(self, position: Position) -> None:
        """A training step is done. Called at every step: it must cost nothing."""
        return

    def log(self, record: Record) -> None:
        """Take figures."""
        return

    def show(self, position: Position, images: dict[str, Tensor]) -> None:
        """Take pictures [B, C, H, W] in [-1, 1], on any device; called at the end of every epoch too.

        Nobody writes into them afterwards: they may be kept and looked at later.
        """
        return

    def ended(self, how: str) -> None:
        """Training is about to end: "finished", "stopped", or "failed: " with the reason. Called before `close`."""
        return

    def close(self) -> None:
        """Training is over."""
        return


MONITORS: Registry[type[Monitor]] = Registry("monitor")


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels of pictures in the order in which they are shown."""
    labels = list(labels)
    return [label for label in LABELS if label in labels] + [label for label in labels if label not in LABELS]


@dataclass
class Clock:
    """Where the time of a training loop goes."""

    since: float = field(default_factory=time.perf_counter)
    waiting: float = 0.0
    images: int = 0
    steps: int = 0

    def reset(self) -> None:
        self.since, self.waiting, self.images, self.steps = time.perf_counter(), 0.0, 0, 0


class Monitors:
    """Feeds several sinks; one that fails is reported once and dropped; training and the others go on."""

    def __init__(self, sinks: Sequence[Monitor], run: RunInfo) -> None:
        self.sinks = list(sinks)
        self.run = run
        self.clock = Clock()
        self.pace = math.nan  # seconds a step, smoothed
        self.last = run.start.step
        self.seconds = self.waiting = 0.0  # per image, of the last figures
        self.log_every = sorted({sink.every_losses for sink in self.sinks})  # in all processes that of the first

    def __enter__(self) -> "Monitors":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        how = "finished" if self.last >= self.run.total_steps else "stopped"
        for sink in list(self.sinks):
            self._guarded(sink, "ended", f"failed: {error}" if error else how)
        for sink in list(self.sinks):
            self._guarded(sink, "close")

    def step(self, position: Position, samples: int, waited: float) -> None:
        """Count a step with so many samples, for which data was awaited for so many seconds."""
        self.clock.waiting += waited
        self.clock.images += samples
        self.clock.steps += 1
        self.last = position.step
        for sink in list(self.sinks):
            self._guarded(sink, "step", position)

    def due_losses(self, position: Position, samples: int) -> bool:
        """Whether a sink wants figures after this step; a function of the position, the same in every process."""
        return any(self._due(every, position, samples) for every in self.log_every)

    def log(self, position: Position, samples: int, phase: str, losses: dict[str, float], lr: float) -> None:
        """Hand figures to the sinks whose turn it is."""
        elapsed, images = time.perf_counter() - self.clock.since, max(self.clock.images, 1)
        pace = elapsed / max(self.clock.steps, 1)
        self.pace = pace if math.isnan(self.pace) else 0.7 * self.pace + 0.3 * pace
        self.seconds, self.waiting = elapsed / images, self.clock.waiting / images
        record = Record(
            Position(**position.state_dict()),
            phase,
            losses,
            lr,
            self.seconds,
            self.waiting,
            epochs=position.epoch - 1 + position.samples / max(self.run.samples_per_epoch, 1),
            left=max(self.run.total_steps - position.step, 0) * self.pace,
        )
        self.clock.reset()
        for sink in list(self.sinks):
            if self._due(sink.every_losses, position, samples):
                self._guarded(sink, "log", record)

    def evaluated(self, position: Position, ended: int, phase: str, figures: dict[str, float], lr: float) -> None:
        """Hand the figures of held-out images, measured at the end of epoch `ended`, to all sinks."""
        at = Position(ended, self.run.samples_per_epoch, position.step, position.images)
        left = max(self.run.total_steps - position.step, 0) * self.pace
        record = Record(at, phase, figures, lr, self.seconds, self.waiting, float(ended), left)
        for sink in list(self.sinks):
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
            log.warning("monitor %s failed and is now off: %s: %s", type(sink).__name__, type(error).__name__, error)
            if sink in self.sinks:
                self.sinks.remove(sink)
