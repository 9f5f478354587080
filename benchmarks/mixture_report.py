"""Tables and picture of the 2-D mixture benchmark. See benchmarks/mixture.py."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.mixture_settings import ARMS, Settings
from coopcut.data.mixtures import DATA
from coopcut.util.errors import DataError, OptionError
from coopcut.util.files import write_bytes

Results = dict[tuple[str, str, str, int], dict[str, Any]]  # of (data, gan_mode, arm, seed)
FIGURES = {"modes": "modes", "high_quality": "high quality", "reverse_kl": "reverse KL"}
COLORS = {"gan": "#c44e30", "coopinit": "#2a62a8"}


def at(result: dict[str, Any], step: int, figure: str) -> float:
    """The figure after `step` steps, which must have been measured."""
    return next(float(point[figure]) for point in result["curve"] if point["step"] == step)


def late(result: dict[str, Any], figure: str) -> float:
    """Mean over the measurements in the last quarter of the steps."""
    first = 0.75 * result["settings"]["steps"]
    return float(np.mean([point[figure] for point in result["curve"] if point["step"] >= first]))


def whole(result: dict[str, Any], figure: str) -> float:
    """Mean over all measurements: the area under the curve, which tells how early a level is reached."""
    return float(np.mean([point[figure] for point in result["curve"]]))


def same_cost(result: dict[str, Any], figure: str) -> float:
    """The figure after as many passes through networks as `gan` makes in all its steps."""
    return at(result, Settings(**result["settings"]).steps_of_equal_cost(), figure)


def switch(result: dict[str, Any], figure: str) -> float:
    return at(result, result["settings"]["coop_steps"], figure)


def after_switch(result: dict[str, Any], figure: str) -> float:
    """400 steps after the switch, or at the last measured step before that."""
    until = result["settings"]["coop_steps"] + 400
    return float([point[figure] for point in result["curve"] if point["step"] <= until][-1])


def end(result: dict[str, Any], figure: str) -> float:
    return at(result, result["settings"]["steps"], figure)


MOMENTS: dict[str, Callable[[dict[str, Any], str], float]] = {
    "at the switch": switch,
    "400 steps later": after_switch,
    "end, equal steps": end,
    "end, equal passes": same_cost,
    "mean of the last quarter": late,
    "mean of all steps": whole,
}


def compare(gan: Sequence[float], coopinit: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of the pairs; 1 where all pairs are equal, NaN for a single pair."""
    from scipy.stats import wilcoxon

    difference = np.asarray(coopinit) - np.asarray(gan)
    if not difference.any():
        return 1.0
    return float(wilcoxon(difference).pvalue) if len(difference) > 1 else float("nan")


def tables(results: Results) -> str:
    """Markdown: for each data set and loss the figures of both arms over the seeds, mean +- sd. Needs scipy."""
    try:
        import scipy  # noqa: F401
    except ImportError:
        raise OptionError("the tests of the tables need the package scipy: pip install scipy") from None
    head = "".join(f" {name}: gan | coopinit | p |" for name in FIGURES.values())
    text = []
    for data, gan_mode in dict.fromkeys(key[:2] for key in results):
        gan, coopinit = (of_arm(results, data, gan_mode, arm) for arm in ARMS)
        settings = Settings(**coopinit[0]["settings"])
        seconds = [np.mean([result["seconds"] for result in arm]) for arm in (gan, coopinit)]
        text.append(
            f"**{data}, {gan_mode}**: {len(gan)} seeds, {settings.steps} steps, {settings.coop_steps} of them "
            f"cooperative in coopinit; equal passes: after {settings.steps_of_equal_cost()} steps of coopinit; "
            f"processor seconds of a run: gan {seconds[0]:.1f}, coopinit {seconds[1]:.1f}\n"
        )
        text.append(f"| |{head}\n|---|{'---:|' * 3 * len(FIGURES)}")
        for moment, read in MOMENTS.items():
            cells = []
            for name in FIGURES:
                a, b = ([read(result, name) for result in arm] for arm in (gan, coopinit))
                cells += [spread(a), spread(b), f"{compare(a, b):.3f}"]
            text.append(f"| {moment} | {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)


def spread(values: Sequence[float]) -> str:
    """mean +- standard deviation of a sample."""
    return f"{np.mean(values):.2f} +- {np.std(values, ddof=1) if len(values) > 1 else 0:.2f}"


def of_arm(results: Results, data: str, gan_mode: str, arm: str) -> list[dict[str, Any]]:
    """Its runs, in the order of the seeds."""
    return [results[key] for key in sorted(results) if key[:3] == (data, gan_mode, arm)]


def picture(results: Results, path: Path) -> None:
    """A row for each data set and loss: samples of one seed, and the curves over cost (mean and range of the seeds)."""
    try:
        import matplotlib
    except ImportError:
        raise OptionError("plots need the package matplotlib: pip install matplotlib") from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = list(dict.fromkeys(key[:2] for key in results))
    figure, axes = pyplot.subplots(
        len(rows),
        5,
        figsize=(13.5, 2.6 * len(rows)),
        squeeze=False,
        layout="constrained",
        width_ratios=[1, 1, 1, 1.5, 1.5],
    )
    for row, (data, gan_mode) in zip(axes, rows, strict=True):
        arms = {arm: of_arm(results, data, gan_mode, arm) for arm in ARMS}
        first = arms["coopinit"][0]
        seed = first["settings"]["seed"]
        scatter(row[0], data, arms["gan"][0]["samples"], "gan", f"gan, end (seed {seed})")
        scatter(row[1], data, first["samples_at_switch"], "coopinit", "coopinit, at the switch")
        scatter(row[2], data, first["samples"], "coopinit", "coopinit, end, equal steps")
        row[0].set_ylabel(f"{data}, {gan_mode}", fontsize=10)
        for axis, name in zip(row[3:], ("modes", "high_quality"), strict=True):
            curves(axis, arms, name)
        row[3].set_ylim(0, len(DATA[data]().means) * 1.04)
        row[4].set_ylim(0, 1.04)
        row[3].set_title("modes", fontsize=9)
        row[4].set_title("share of high-quality samples", fontsize=9)
        row[4].legend(fontsize=8, loc="upper left")
    for axis in axes[-1, 3:]:
        axis.set_xlabel("cost [adversarial steps]", fontsize=8)
    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    pyplot.close(figure)
    Image.open(buffer).convert("RGB").quantize(48).save(small, format="png", optimize=True)  # a third of the size
    try:
        write_bytes(path, small.getvalue())
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): choose another --out") from None


def scatter(axis: Any, data: str, samples: Sequence[Sequence[float]], arm: str, title: str) -> None:
    """Samples over circles of 3 standard deviations, the ring's drawn larger."""
    mixture, x = DATA[data](), np.asarray(samples)
    extent = float(mixture.means.abs().max()) * 1.35
    axis.scatter(*mixture.means.numpy().T, s=70, facecolors="none", edgecolors="#999999", linewidths=0.8)
    axis.scatter(x[:, 0], x[:, 1], s=2, color=COLORS[arm], alpha=0.6, linewidths=0)
    axis.set(xlim=(-extent, extent), ylim=(-extent, extent), xticks=[], yticks=[], aspect="equal")
    axis.set_title(title, fontsize=9)


def curves(axis: Any, arms: dict[str, list[dict[str, Any]]], figure: str) -> None:
    """Mean (line), and mean +- one standard deviation (band) over the seeds; dotted: the switch; thin: equal cost."""
    for arm, results in arms.items():
        points = results[0]["curve"]
        cost: NDArray[np.float64] = np.array([point["passes"] for point in points]) / 4
        values = np.array([[point[figure] for point in result["curve"]] for result in results])
        mean, sd = values.mean(0), values.std(0)
        axis.plot(cost, mean, color=COLORS[arm], label=arm, linewidth=1.4)
        axis.fill_between(cost, mean - sd, mean + sd, color=COLORS[arm], alpha=0.15, linewidth=0)
        if arm == "coopinit":
            settings = Settings(**results[0]["settings"])
            axis.axvline(settings.passes(settings.warmup) / 4, color="#666666", linestyle=":", linewidth=1)
            axis.axvline(settings.steps, color="#666666", linewidth=0.6)
    axis.grid(color="#eeeeee")
    axis.tick_params(labelsize=8)
