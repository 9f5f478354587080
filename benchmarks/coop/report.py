"""Tables and plots of the study, from the JSON of its runs."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.coop.arms import ARMS
from benchmarks.coop.run import LAST
from benchmarks.coop.sweeps import label_of

Run = Mapping[str, Any]
FIGURES = {"covered": "looks covered", "reverse_KL": "reverse KL", "KID": "KID", "coverage": "coverage",
           "true_look": "true look", "RMSE": "RMSE"}  # fmt: skip


def read_runs(folder: Path) -> dict[str, dict[int, Run]]:
    """The finished runs by arm and seed."""
    runs: dict[str, dict[int, Run]] = {}
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_text())
        runs.setdefault(run["arm"], {})[int(run["seed"])] = run
    return runs


# What is looked at of a run: the last generator, the mean over the last measurements, the averaged generator.
VIEWS: dict[str, Callable[[Run, str], float]] = {
    "raw": lambda run, name: float(run["rows"][-1]["raw"][name]),
    "raw, mean of last 3": lambda run, name: float(np.mean([row["raw"][name] for row in run["rows"][-LAST:]])),
    "EMA": lambda run, name: float(run["rows"][-1]["ema"][name]),
    "EMA, mean of last 3": lambda run, name: float(np.mean([row["ema"][name] for row in run["rows"][-LAST:]])),
}


def values(runs: Mapping[int, Run], view: str, name: str, seeds: Sequence[int]) -> NDArray[np.float64]:
    """A figure by seed: [S]."""
    return np.array([VIEWS[view](runs[seed], name) for seed in seeds])


def arms_table(runs: Mapping[str, Mapping[int, Run]], arms: Sequence[str], view: str) -> list[str]:
    """Markdown: mean and standard deviation over the seeds, two-sided p of a paired t-test against the arm's base."""
    from scipy.stats import ttest_rel

    present = [arm for arm in arms if arm in runs]
    lines = ["| " + " | ".join(["", "seeds", *FIGURES.values()]) + " |", "|---|" + "---:|" * (len(FIGURES) + 1)]
    for arm in present:
        own, base = sorted(runs[arm]), ARMS[arm].base
        cells = [str(len(own))]
        for name in FIGURES:
            found = values(runs[arm], view, name, own)
            spread = f" ± {found.std(ddof=1):.3g}" if len(own) > 1 else ""
            cell = f"{found.mean():.3g}{spread}"
            both = [seed for seed in own if seed in runs.get(base, {})]
            if arm != base and len(both) > 1:
                other = values(runs[base], view, name, both)
                p = ttest_rel(values(runs[arm], view, name, both), other).pvalue
                cell += f" (p {p:.2g})" if np.isfinite(p) else " (equal)"
            cells.append(cell)
        lines.append("| " + " | ".join([f"`{arm}`", *cells]) + " |")
    return lines


def sweep_tables(runs: Mapping[str, Mapping[int, Run]], sweeps: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Markdown: the values of each sweep, the state of the warm-up at its end, the figures at the end of the run."""
    lines = ["| | seeds | gap | displacement | gain | warnings | " + " | ".join(FIGURES.values()) + " |",
             "|---|---:|---:|---:|---:|---|" + "---:|" * len(FIGURES)]  # fmt: skip
    tried = [(label_of(swept, value), arm) for swept, values in sweeps.items() for value, arm in values.items()]
    for label, arm in tried:
        found = runs.get(arm, {})
        if not found:
            continue
        ends = [warmup_end(run) for run in found.values()]
        state = [
            f"{np.mean([end[name] for end in ends if name in end]):.3g}" if any(name in end for end in ends) else ""
            for name in ("gap", "displacement", "gain")
        ]
        warned = sorted({word for run in found.values() for word in warned_of(run)})
        cells = [f"{values(found, 'EMA', name, sorted(found)).mean():.3g}" for name in FIGURES]
        lines.append("| " + " | ".join([f"`{label}`", str(len(found)), *state, ", ".join(warned), *cells]) + " |")
    return lines


def warned_of(run: Run) -> list[str]:
    """What the model warned of, and from which step on."""
    first: dict[str, int] = {}
    for row in run["rows"]:
        for text in row["advice"]:
            first.setdefault(text.split(";")[0].split(":")[0], row["step"])
    return [f"{text} ({step})" for text, step in first.items()]


def warmup_end(run: Run) -> dict[str, float]:
    """The losses logged in the last measured part of the warm-up, with `gain`, what the revision adds to the score."""
    parts = [row["losses"] for row in run["rows"] if "gap" in row["losses"]]
    if not parts:
        return {}
    return parts[-1] | {"gain": parts[-1]["f_revised"] - parts[-1]["f_fake"]}


def plot_arms(runs: Mapping[str, Mapping[int, Run]], arms: Sequence[str], path: Path) -> None:
    """Looks covered, reverse KL, KID and RMSE over the steps: mean of the seeds, band of one standard deviation."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = ("covered", "reverse_KL", "true_look", "RMSE")
    figure, axes = plt.subplots(2, len(shown), figsize=(15, 6.4), sharex=True)
    for row, kind in enumerate(("raw", "ema")):
        for axis, name in zip(axes[row], shown, strict=True):
            for arm in arms:
                if arm in runs:
                    steps = [part["step"] for part in next(iter(runs[arm].values()))["rows"]]
                    lines = np.array([[part[kind][name] for part in run["rows"]] for run in runs[arm].values()])
                    mean, sd = lines.mean(axis=0), lines.std(axis=0)
                    axis.plot(steps, mean, label=arm)
                    axis.fill_between(steps, mean - sd, mean + sd, alpha=0.15)
            axis.set_title(f"{FIGURES[name]} ({'last weights' if kind == 'raw' else 'EMA'})", fontsize=10)
            axis.grid(alpha=0.3)
            if name == "reverse_KL":
                axis.set_ylim(bottom=0)
    for axis in axes[1]:
        axis.set_xlabel("steps")
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=75)
    plt.close(figure)


def plot_sweeps(runs: Mapping[str, Mapping[int, Run]], sweeps: Mapping[str, Mapping[str, str]], path: Path) -> None:
    """For each sweep: gap and displacement of the warm-up, reverse KL, RMSE and KID of the end, by value."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    present = {swept: {v: arm for v, arm in values.items() if arm in runs} for swept, values in sweeps.items()}
    present = {swept: values for swept, values in present.items() if len(values) > 1}
    if not present:
        return
    rows = ("gap", "displacement", "reverse_KL", "RMSE", "KID")
    figure, axes = plt.subplots(len(rows), len(present), figsize=(2.2 * len(present), 9.5), squeeze=False,
                                sharex="col", sharey="row")  # fmt: skip
    for column, (swept, arms) in enumerate(present.items()):
        axes[0][column].set_title(swept.replace("langevin_", "").replace("_", " "), fontsize=9)
        axes[-1][column].set_xticks(range(len(arms)), arms, fontsize=8, rotation=40, ha="right")
        for axis, name in zip(axes[:, column], rows, strict=True):
            for place, arm in enumerate(arms.values()):
                ends = [warmup_end(run) if name in rows[:2] else figures_of(run) for run in runs[arm].values()]
                color = "C0" if "=" in arm else "C3"  # the default
                axis.plot([place] * len(ends), [end.get(name, np.nan) for end in ends], "o", color=color, alpha=0.6)
            axis.grid(alpha=0.3)
    for axis, name in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(FIGURES.get(name, name))
    figure.tight_layout()
    figure.savefig(path, dpi=75)
    plt.close(figure)


def figures_of(run: Run) -> dict[str, float]:
    """The figures of the averaged generator at the end of a run."""
    return {name: VIEWS["EMA"](run, name) for name in FIGURES}
