"""What an evaluation found, as a table for the console and as JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coopcut.metrics.detectors import Finding
from coopcut.metrics.distribution import FIGURES
from coopcut.metrics.looks import LookFigures
from coopcut.metrics.paired import PairedErrors, header
from coopcut.util.errors import DataError
from coopcut.util.files import write_text

WIDTHS = (10, 11, 11, 9, 9, 10)  # of the columns of FIGURES
DIGITS = (3, 5, 3, 3, 3, 3)


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
        names = "".join(f"{name:>{width}}" for name, width in zip(FIGURES, WIDTHS, strict=True))
        lines = [self.setting, f"{'':<22}{'images':>7}{names}"]
        for name, row in self.distribution.items():
            cells = "".join(_cell(row[f], w, d) for f, w, d in zip(FIGURES, WIDTHS, DIGITS, strict=True))
            lines.append(f"{name:<22}{self.counts[name]:>7}{cells}")
        if self.paired:
            lines += ["", header(any(errors.lpips is not None for errors in self.paired.values()))]
            lines += [errors.line(name) for name, errors in self.paired.items()]
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


def _cell(value: float, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if math.isnan(value) else f"{value:>{width}.{digits}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
