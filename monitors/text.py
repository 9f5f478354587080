"""Figures in files: CUT's loss_log.txt for people and tools that know it, and losses.jsonl and .csv with everything."""

import csv
import io
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coopcut.engine.position import Position
from coopcut.monitors.base import MONITORS, Monitor, Record, RunInfo
from coopcut.monitors.curves import RECORDS, read_records
from coopcut.util.files import write_text


def loss_line(record: Record) -> str:
    """A line as CUT writes it: (epoch, iterations in the epoch, seconds an image, of them for data) losses."""
    p = record.position
    head = f"(epoch: {p.epoch}, iters: {p.samples}, time: {record.seconds:.3f}, data: {record.waiting:.3f}) "
    return head + "".join(f"{name}: {value:.3f} " for name, value in record.losses.items())


def as_dict(record: Record) -> dict[str, Any]:
    """A record for JSON; what is not a finite number becomes null."""
    losses = {name: value if math.isfinite(value) else None for name, value in record.losses.items()}
    p = record.position
    head: dict[str, Any] = {
        "epoch": p.epoch,
        "samples": p.samples,
        "step": p.step,
        "images": p.images,
        "epochs": record.epochs,
    }
    return head | {
        "phase": record.phase,
        "lr": record.lr,
        "seconds": record.seconds,
        "waiting": record.waiting,
        "losses": losses,
    }


@MONITORS.register("files")
class LossFiles(Monitor):
    """Appends to loss_log.txt, losses.jsonl and losses.csv; from `start` on, it drops records of steps that are redone.

    losses.jsonl is what all else is drawn from; losses.csv is the same as a table, written anew when it gets a column.
    """

    def __init__(self, folder: Path, start: Position, every: int) -> None:
        self.every_losses = every
        self.lines, self.records, self.table = (folder / name for name in ("loss_log.txt", RECORDS, "losses.csv"))
        if self.records.is_file():  # a run that was killed had gone on after its last checkpoint
            kept = [record for record in read_records(self.records) if record["step"] <= start.step]
            write_text(self.records, "".join(json.dumps(record) + "\n" for record in kept))
        self.columns: list[str] = []
        self._write_table()
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(f"================ Training Loss ({time.strftime('%c')}) ================\n")

    @classmethod
    def create(cls, run: RunInfo) -> "LossFiles":
        return cls(run.folder, run.start, run.opt.print_freq)

    def log(self, record: Record) -> None:
        entry = as_dict(record)
        for path, text in ((self.lines, loss_line(record)), (self.records, json.dumps(entry))):
            with path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        row = _row(entry)
        if row.keys() <= set(self.columns):
            with self.table.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        else:
            self._write_table()

    def _write_table(self) -> None:
        """The whole table, with a column for every figure that a record has."""
        rows = [_row(entry) for entry in read_records(self.records)]
        self.columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns)
        if rows:
            writer.writeheader()
        writer.writerows(rows)
        write_text(self.table, text.getvalue())


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in entry.items() if name != "losses"}, **entry["losses"]}
