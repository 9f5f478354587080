"""Tables of a comparison: mean and standard deviation over seeds, paired tests, area under the curve."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from coopcut.comparison.judge import FIGURES
from coopcut.comparison.plan import Job

Run = Mapping[str, Any]
Found = dict[str, dict[int, Run]]  # runs by method and seed
AREA = "area under the curve"


def read(jobs: Sequence[Job]) -> Found:
    """The finished runs of a data set."""
    found: Found = {}
    for job in jobs:
        if job.path.is_file():
            found.setdefault(job.candidate.text, {})[job.seed] = json.loads(job.path.read_text(encoding="utf-8"))
    return found


def value(run: Run, figure: str) -> float:
    """A figure at the end of a run."""
    return float(run["rows"][-1]["figures"].get(figure, np.nan))


def area(run: Run, figure: str) -> float:
    """The mean height of a figure's curve over the course of a run: less is better where a lower figure is."""
    heights = [row["figures"].get(figure, np.nan) for row in run["rows"]]
    places = [row["step"] / run["steps"] for row in run["rows"]]
    return float(np.trapezoid(heights, places) / (places[-1] - places[0])) if len(places) > 1 else float(heights[0])


def paired(ours: Mapping[int, Run], base: Mapping[int, Run], figure: str) -> tuple[float, int, int]:
    """(two-sided p of a paired t-test over the seeds of both, seeds in which ours is better, seeds)."""
    from scipy.stats import ttest_rel

    seeds = sorted(set(ours) & set(base))
    a, b = (np.array([value(runs[seed], figure) for seed in seeds]) for runs in (ours, base))
    better = (a > b) if FIGURES[figure][1] else (a < b)
    p = float(ttest_rel(a, b).pvalue) if len(seeds) > 1 and (a != b).any() else float("nan")
    return p, int(better.sum()), len(seeds)


def rows(
    found: Found, references: Mapping[str, Mapping[str, float]], methods: Sequence[str], primary: str
) -> list[dict[str, Any]]:
    """A row of numbers for each reference and method; tests are against the first method."""
    result: list[dict[str, Any]] = []
    for name, figures in references.items():
        result.append({"method": name, "seeds": 0} | {f: figures[f] for f in FIGURES if f in figures})
    present = [name for name in methods if name in found]
    for name in present:
        runs, base = found[name], found[present[0]]
        row: dict[str, Any] = {"method": name, "seeds": len(runs), "steps": next(iter(runs.values()))["steps"]}
        row["seconds"] = float(np.median([run["rows"][-1]["seconds"] for run in runs.values()]))
        for figure in FIGURES:
            values = np.array([value(run, figure) for run in runs.values()])
            if np.isfinite(values).any():
                row[figure], row[f"{figure} sd"] = values.mean(), values.std(ddof=1) if len(values) > 1 else np.nan
                if name != present[0]:
                    row[f"{figure} p"], row[f"{figure} better"], row[f"{figure} pairs"] = paired(runs, base, figure)
        row[AREA] = float(np.mean([area(run, primary) for run in runs.values()]))
        result.append(row)
    return result


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """mean ± sd (p, better of pairs)."""
    figures = [figure for figure in FIGURES if any(figure in row for row in table)]
    head = ["", "seeds", "steps", *(FIGURES[figure][0] for figure in figures), AREA]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in table:
        name = f"`{row['method']}`" if row["seeds"] else str(row["method"])
        cells = [name, str(row["seeds"] or ""), str(row.get("steps", "")), *(cell(row, f) for f in figures)]
        lines.append("| " + " | ".join([*cells, f"{row[AREA]:.3g}" if AREA in row else ""]) + " |")
    return "\n".join(lines) + "\n"


def cell(row: Mapping[str, Any], figure: str) -> str:
    """A figure of a row as text."""
    if figure not in row:
        return ""
    text = f"{row[figure]:.3g}"
    if np.isfinite(row.get(f"{figure} sd", np.nan)):
        text += f" ± {row[f'{figure} sd']:.2g}"
    if np.isfinite(row.get(f"{figure} p", np.nan)):
        text += f" (p {row[f'{figure} p']:.2g}, {row[f'{figure} better']}/{row[f'{figure} pairs']})"
    return text


def latex(table: Sequence[Mapping[str, Any]]) -> str:
    """A tabular of booktabs."""
    figures = [figure for figure in FIGURES if any(figure in row for row in table)]
    lines = [r"\begin{tabular}{l" + "r" * len(figures) + "}", r"\toprule"]
    lines += [" & ".join(["method", *(FIGURES[figure][0] for figure in figures)]) + r" \\", r"\midrule"]
    for row in table:
        name = r"\texttt{" + str(row["method"]).replace("_", r"\_").replace("--", "{-}{-}") + "}"
        numbers = [
            f"${row[f]:.3g}" + (rf" \pm {row[f'{f} sd']:.2g}$" if np.isfinite(row.get(f"{f} sd", np.nan)) else "$")
            if f in row
            else ""
            for f in figures
        ]
        lines.append(" & ".join([name if row["seeds"] else str(row["method"]), *numbers]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def comma_separated(found: Found) -> str:
    """Every figure at every place of every run, as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["method", "seed", "step", "seconds", *FIGURES])
    for name, runs in found.items():
        for seed, run in sorted(runs.items()):
            for row in run["rows"]:
                figures = [row["figures"].get(figure, "") for figure in FIGURES]
                writer.writerow([name, seed, row["step"], round(row["seconds"], 3), *figures])
    return out.getvalue()
