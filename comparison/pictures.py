"""Pictures of a comparison: the course of each figure, and translations of the same inputs side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from coopcut.comparison.judge import FIGURES
from coopcut.comparison.plan import Job
from coopcut.comparison.tables import Found
from coopcut.images.io import read_image, to_image
from coopcut.util.plots import save_figure

CAPTION, HEIGHT = 330, 64  # pixels: width of the captions, least height of a row


def plot(found: Found, methods: Sequence[str], path: Path) -> None:
    """Each figure over the share of the budget that is spent: mean of the seeds, band of one standard error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    some = next(iter(next(iter(found.values())).values()))
    shown = [figure for figure in FIGURES if figure in some["rows"][-1]["figures"]]
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    drawn, axes = plt.subplots(lines, columns, figsize=(4.2 * columns, 3.2 * lines), squeeze=False)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, figure in zip(axes.flat, shown, strict=False):
        for name in (name for name in methods if name in found):
            runs = list(found[name].values())
            places = np.array([row["step"] / runs[0]["steps"] for row in runs[0]["rows"]])
            curves = np.array([[row["figures"].get(figure, np.nan) for row in run["rows"]] for run in runs])
            mean, error = curves.mean(axis=0), curves.std(axis=0) / max(1, len(runs)) ** 0.5
            axis.plot(places, mean, label=name)
            axis.fill_between(places, mean - error, mean + error, alpha=0.15)
        axis.set_title(FIGURES[figure][0], fontsize=10)
        axis.set_xlabel("share of the budget")
        axis.grid(alpha=0.3)
    names = [name for name in methods if name in found]
    drawn.tight_layout(rect=(0, 0.05 * (1 + len(names)) / lines, 1, 1))
    drawn.legend(*axes.flat[0].get_legend_handles_labels(), loc="lower left", fontsize=8, frameon=False)
    save_figure(drawn, path, "--out")


def contact_sheet(references: Mapping[str, Tensor], jobs: Sequence[Job], path: Path) -> None:
    """A row of pictures [3, H, W] for each reference and for each method, with its least seed."""
    rows = {name: to_image(strip) for name, strip in references.items()}
    for job in sorted(jobs, key=lambda job: -job.seed):
        if (strip := job.path.with_suffix(".png")).is_file():
            rows[f"{job.candidate.text}"] = read_image(strip, 3)
    first = next(iter(rows.values()))
    scale = max(1, HEIGHT // first.height)
    height = first.height * scale
    page = Image.new("RGB", (CAPTION + first.width * scale, height * len(rows)), "white")
    draw = ImageDraw.Draw(page)
    order = [*references, *dict.fromkeys(job.candidate.text for job in jobs)]
    for y, name in enumerate(name for name in order if name in rows):
        for line, text in enumerate(_wrapped(name)):
            draw.text((4, y * height + 4 + 12 * line), text, fill="black")
        page.paste(rows[name].resize((first.width * scale, height), Image.Resampling.NEAREST), (CAPTION, y * height))
    page.save(path)


def _wrapped(text: str, width: int = 52) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:5]
