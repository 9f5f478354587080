"""Draw the curves of one or several runs into a picture: python -m coopcut.monitors.plot_run NAME [NAME ...]

A run is the name of a folder under --checkpoints_dir, or a path. The curves come from its losses.jsonl, so that a run
in progress can be drawn too. The picture of one run lies in its folder as losses.png, unless --out says otherwise.
The time of an image in the first and the last epoch of each phase is told.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopcut.monitors.curves import (
    RECORDS,
    Record,
    grouped,
    names_of,
    of_its_kind,
    paces,
    read_records,
    smoothed,
    switches,
    values,
)
from coopcut.util.arguments import Parser
from coopcut.util.errors import DataError, OptionError
from coopcut.util.launch import refuse_several
from coopcut.util.plots import save_figure

log = logging.getLogger("plot_run")
COLUMNS = 3
SIZE = (5.0, 3.1)  # inches of a plot
DASHES = ("-", "--", ":", "-.")  # one for each run


def main(argv: Sequence[str]) -> int:
    """Read, draw and log the path. Returns the exit code."""
    refuse_several()
    parser = Parser(__doc__, "coopcut.monitors.plot_run")
    parser.add_argument("runs", nargs="+", metavar="NAME", help="name or folder of a run")
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("./checkpoints"), help="folder with the runs")
    parser.add_argument("--out", type=Path, help="file to write: .png, .pdf or .svg")
    opt = parser.parse_args(list(argv))
    runs = {name: read_run(opt.checkpoints_dir, name) for name in opt.runs}
    first = _folder(opt.checkpoints_dir, opt.runs[0])
    out = opt.out or (first / "losses.png" if len(runs) == 1 else Path("losses.png"))
    if out.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise OptionError(f"--out {out}: the name must end in .png, .pdf or .svg")
    draw(runs, out)
    for name, records in runs.items():
        for pace in paces(records):
            log.info("%s, %s", name, pace)
    print(out)
    return 0


def read_run(checkpoints_dir: Path, name: str) -> list[Record]:
    """The records of a run. Raises `DataError` if there is none of that name, or nothing in it yet."""
    folder = _folder(checkpoints_dir, name)
    if not folder.is_dir():
        there = sorted(path.parent.name for path in checkpoints_dir.glob(f"*/{RECORDS}"))
        raise DataError(f"{folder}: no such run; found in {checkpoints_dir}: {', '.join(there) or 'none'}")
    records = read_records(folder / RECORDS)
    if not records:
        raise DataError(f"{folder / RECORDS} holds no losses yet: see --monitor files and --print_freq")
    return records


def draw(runs: dict[str, list[Record]], path: Path) -> None:
    """A plot for each group of losses, for learning rate and speed; written whole or not at all.

    With several runs a color is a loss and a dash is a run. Dotted lines mark where a phase of the run begins.
    """
    try:
        import matplotlib
    except ImportError:
        raise OptionError("plots need the package matplotlib: pip install matplotlib") from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    names = [name for records in runs.values() for name in names_of(records)]
    plots = [*grouped(names), ("learning rate", ["lr"]), ("images per second", ["images/s"])]
    rows = -(-len(plots) // COLUMNS)
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(SIZE[0] * COLUMNS, SIZE[1] * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(plots) :]:
        axis.remove()
    for axis, (title, losses) in zip(axes.flat, plots, strict=False):
        if title == "warm-up: sampler":
            axis.set_yscale("log", nonpositive="mask")
        for number, (run, records) in enumerate(runs.items()):
            _draw_run(axis, run if len(runs) > 1 else "", records, losses, DASHES[number % len(DASHES)])
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epochs", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(color="#eeeeee")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, framealpha=0.6)
    figure.suptitle(_plain(", ".join(runs)), fontsize=12)
    save_figure(figure, path, "--out")


def _draw_run(axis: Any, run: str, records: list[Record], losses: Sequence[str], dash: str) -> None:
    for number, name in enumerate(losses):
        own = records if name in ("lr", "images/s") else of_its_kind(records, name)
        x, raw = np.array([record["epochs"] for record in own]), _values(own, name)
        if not np.isfinite(raw).any():
            continue
        color = f"C{number % 10}"
        if name not in ("lr", "images/s"):
            axis.plot(x, raw, color=color, alpha=0.25, linewidth=0.7)
            raw = smoothed(raw)
        label = f"{run}: {name}" if run else name
        if axis.get_yscale() == "log" and not (raw > 0).any():
            label += " (always 0)"
        axis.plot(x, raw, dash, color=color, linewidth=1.5, label=_plain(label), marker="." if len(x) == 1 else None)
    for at, phase in switches(records):
        axis.axvline(at, color="#666666", linestyle=":", linewidth=1)
        if at < records[-1]["epochs"]:
            axis.annotate(phase, (at, 1), (2, -8), ("data", "axes fraction"), textcoords="offset points", fontsize=7)


def _values(records: list[Record], name: str) -> NDArray[np.float64]:
    if name == "lr":
        return np.array([record["lr"] for record in records])
    if name == "images/s":
        return np.array([1 / max(record["seconds"], 1e-9) for record in records])
    return values(records, name)


def _folder(checkpoints_dir: Path, name: str) -> Path:
    """A run by name, else by path."""
    named = checkpoints_dir / name
    return named if named.is_dir() or not Path(name).is_dir() else Path(name)


def _plain(text: str) -> str:
    """For matplotlib, which takes what is between two dollars for a formula."""
    return text.replace("$", r"\$")
