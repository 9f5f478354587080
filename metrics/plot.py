"""An evaluation as a picture: the sets in the plane, the shares as bars, the looks as a matrix."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopcut.metrics.distribution import FIGURES
from coopcut.metrics.looks import LookFigures
from coopcut.metrics.report import Report
from coopcut.util.errors import OptionError
from coopcut.util.plots import save_figure

FORMATS = (".png", ".pdf", ".svg")
SHARES = FIGURES[2:]
SIDE = 4.6  # inches of a plot


def draw(report: Report, sets: dict[str, NDArray[np.float64]], path: Path) -> None:
    """Write the picture, whole or not at all. sets: feature vectors by name, the real ones first.

    Raises `OptionError` without matplotlib or for another format, `DataError` if the file cannot be written.
    """
    check_format(path)
    try:
        import matplotlib
    except ImportError:
        raise OptionError("--plot needs the package matplotlib: pip install matplotlib") from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    panels = 3 if report.looks is not None else 2
    figure, axes = pyplot.subplots(1, panels, figsize=(SIDE * panels, SIDE), layout="constrained")
    _draw_sets(axes[0], sets)
    _draw_shares(axes[1], report)
    if report.looks is not None:
        _draw_looks(axes[2], report.looks)
    figures = next(iter(report.distribution.values()))
    title = f"FID {figures['FID']:.3f}, KID {figures['KID']:.5f} ({report.details['features']} features)"
    figure.suptitle(title.replace("$", r"\$"), fontsize=11)
    save_figure(figure, path, "--plot")


def check_format(path: Path) -> None:
    """Raise `OptionError` unless the picture can be written under this name."""
    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"--plot {path}: the name must end in {', '.join(FORMATS)}")


def _draw_sets(axis: Any, sets: dict[str, NDArray[np.float64]]) -> None:
    """Every image a point: the first two principal components of the real features."""
    real = next(iter(sets.values()))
    mean = real.mean(axis=0)
    directions = np.linalg.svd(real - mean, full_matrices=False)[2][:2]  # [2, d], or fewer for tiny sets
    for number, (name, vectors) in enumerate(sets.items()):
        points = np.zeros((len(vectors), 2))
        points[:, : len(directions)] = (vectors - mean) @ directions.T
        axis.scatter(points[:, 0], points[:, 1], s=10, alpha=0.6, color=f"C{number}", label=name, linewidths=0)
    axis.set_title("features: principal components of the real set", fontsize=9)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=8)


def _draw_shares(axis: Any, report: Report) -> None:
    rows = report.distribution
    width = 0.8 / len(rows)
    for number, (name, figures) in enumerate(rows.items()):
        x = np.arange(len(SHARES)) + (number - (len(rows) - 1) / 2) * width
        values = [np.nan_to_num(figures[share]) for share in SHARES]
        axis.bar(x, values, width, label=name, color=f"C{number + 1}")
    axis.set_xticks(np.arange(len(SHARES)), SHARES, fontsize=8)
    axis.axhline(1, color="#888888", linewidth=0.8, linestyle=":")
    axis.set_title("1: as good as real images", fontsize=9)
    axis.tick_params(axis="y", labelsize=7)
    axis.legend(fontsize=8)


def _draw_looks(axis: Any, looks: LookFigures) -> None:
    axis.imshow(looks.confusion, cmap="Blues")
    for row, numbers in enumerate(looks.confusion):
        for column, number in enumerate(numbers):
            if number:
                dark = number > looks.confusion.max() / 2
                axis.text(column, row, number, ha="center", va="center", fontsize=7, color="w" if dark else "k")
    axis.set_xticks(range(len(looks.names)), looks.names, rotation=60, ha="right", fontsize=7)
    axis.set_yticks(range(len(looks.names)), looks.names, fontsize=7)
    axis.set_xlabel("shown", fontsize=8)
    axis.set_ylabel("true", fontsize=8)
    axis.set_title(f"looks covered: {looks.covered} of {len(looks.names)}", fontsize=9)
