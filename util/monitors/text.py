"""Figures in files: CUT's loss_log.txt for people and tools that know it, and losses.jsonl with everything."""

import json
import math
import time
from pathlib import Path
from typing import Any

from util.files import write_text
from util.monitors.base import Monitor, Record
from util.position import Position


def loss_line(record: Record) -> str:
    """A line as CUT writes it: (epoch, iterations in the epoch, seconds an image, of them for data) losses."""
    p = record.position
    head = f"(epoch: {p.epoch}, iters: {p.samples}, time: {record.seconds:.3f}, data: {record.waiting:.3f}) "
    return head + "".join(f"{name}: {value:.3f} " for name, value in record.losses.items())


def as_dict(record: Record) -> dict[str, Any]:
    """A record for JSON; what is not a finite number becomes null."""
    losses = {name: value if math.isfinite(value) else None for name, value in record.losses.items()}
    p = record.position
    head = {"epoch": p.epoch, "samples": p.samples, "step": p.step, "images": p.images, "phase": record.phase}
    return head | {"lr": record.lr, "seconds": record.seconds, "waiting": record.waiting, "losses": losses}


class LossFiles(Monitor):
    """Appends to loss_log.txt and losses.jsonl; continued from `start`, it drops records of steps that are redone."""

    def __init__(self, folder: Path, start: Position, every: int) -> None:
        self.every_losses = every
        self.lines = folder / "loss_log.txt"
        self.records = folder / "losses.jsonl"
        self._forget_after(start.step)
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(f"================ Training Loss ({time.strftime('%c')}) ================\n")

    def log(self, record: Record) -> None:
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(loss_line(record) + "\n")
        with self.records.open("a", encoding="utf-8") as file:
            file.write(json.dumps(as_dict(record)) + "\n")

    def _forget_after(self, step: int) -> None:
        """A run that was killed had gone on after its last checkpoint; those steps come again."""
        if not self.records.is_file():
            return
        kept = [
            line
            for line in self.records.read_text(encoding="utf-8", errors="replace").splitlines()
            if _step(line) <= step
        ]
        write_text(self.records, "".join(line + "\n" for line in kept))


def _step(line: str) -> float:
    """The step of a record; a line cut short by a crash counts as beyond any step."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
