"""What an evaluation found, as a table for the console and as JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from coopcut.metrics.detectors import Finding
from coopcut.metrics.looks import LookFigures
from coopcut.metrics.paired import PairedErrors
from coopcut.util.errors import DataError
from coopcut.util.files import write_text

FORMATS = {  # of the figures in the tables; of all others three digits
    "images": "d", "KID": ".5f",
    "RMSE": ".2f", "within_5": ".1%", "within_10": ".1%", "PSNR": ".2f", "SSIM": ".4f", "LPIPS": ".4f",
}  # fmt: skip


@dataclass
class Report:
    """setting: how it was measured, in a line. details: the same for programs. Rows are by name, in their order."""

    setting: str
    details: dict[str, Any]
    distribution: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # images of a row of `distribution`
    paired: dict[str, PairedErrors] = field(default_factory=dict)
    looks: LookFigures | None = None
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The tables, and what the detectors say."""
        of_sets = {name: {"images": self.counts[name], **row} for name, row in self.distribution.items()}
        lines = [self.setting, *table(of_sets)]
        if self.paired:
            lines += ["", *table({name: errors.as_dict() for name, errors in self.paired.items()})]
        if self.looks is not None:
            lines += ["", *self.looks.lines()]
        if self.findings:
            lines.append("")
        for finding in self.findings:
            state = "WRONG" if finding.fires else "ok"
            lines.append(f"{state:<6}{finding.name}: {finding.words}; wrong below {finding.threshold:g}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN and infinity become null."""
        return _plain(
            {
                "setting": self.details,
                "figures": self.distribution,
                "images": self.counts,
                "paired": {name: errors.as_dict() for name, errors in self.paired.items()},
                "looks": None if self.looks is None else self.looks.as_dict(),
                "findings": [finding.as_dict() for finding in self.findings],
                "skipped": self.skipped,
            }
        )

    def write_json(self, path: Path) -> None:
        """Write it, whole or not at all. Raises `DataError`."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(self.as_dict(), indent=1) + "\n")
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error.strerror}): choose another --json") from None


def table(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A line with the names of the figures, and one for each row; "-" stands for NaN and for what a row lacks."""
    columns = list(dict.fromkeys(chain.from_iterable(rows.values())))
    lines = [["", *(column.replace("_", " ") for column in columns)]]
    for name, row in rows.items():
        lines.append([name, *(_cell(row.get(column, math.nan), column) for column in columns)])
    return [f"{first:<22}" + "".join(f"{cell:>11}" for cell in cells) for first, *cells in lines]


def _cell(value: float, column: str) -> str:
    return "-" if math.isnan(value) else f"{value:{FORMATS.get(column, '.3f')}}".replace("%", " %")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
