"""The terminal: a progress bar with losses, rate and time left, and in a log file lines instead."""

import logging
import math
import sys

from tqdm import tqdm

from coopcut.engine.position import Position
from coopcut.monitors.base import MONITORS, Monitor, Record, RunInfo
from coopcut.monitors.text import loss_line

log = logging.getLogger(__name__)


@MONITORS.register("console")
class Console(Monitor):
    """`total`: steps of the whole training, for the time left."""

    def __init__(self, start: Position, total: int, last_epoch: int, every: int) -> None:
        self.every_losses = every
        self.last_epoch = last_epoch
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=start.step, disable=not self.terminal, dynamic_ncols=True, unit="step")

    @classmethod
    def create(cls, run: RunInfo) -> "Console":
        return cls(run.start, run.total_steps, run.last_epoch, run.opt.print_freq)

    def step(self, position: Position) -> None:
        if position.step > self.bar.n or not self.terminal:
            self.bar.set_description_str(f"epoch {position.epoch}/{self.last_epoch}", refresh=False)
            self.bar.update(position.step - self.bar.n)

    def log(self, record: Record) -> None:
        if self.terminal:
            figures = " ".join(f"{name} {value:.3g}" for name, value in record.losses.items())
            self.bar.set_postfix_str(f"{figures} | {record.images_per_second:.2f} images/s", refresh=False)
            return
        left = "" if math.isnan(record.left) else f"left: {tqdm.format_interval(int(record.left))} "
        log.info("%s%s", loss_line(record), left)

    def close(self) -> None:
        self.bar.close()
