"""What the windows of a run hold: its state as text, its curves, its pictures. Every text is escaped."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from coopcut.monitors.base import RunInfo, in_order
from coopcut.monitors.curves import GROUPS, Record, grouped, names_of, of_its_kind, smoothed, switches, values
from coopcut.monitors.visdom.client import Data, Plot

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#999933")  # told apart by all
AXIS: Data = {"automargin": True, "gridcolor": "#eee", "zerolinecolor": "#ccc"}
SMOOTHED_FROM = 20  # points: a shorter curve is drawn as it is
FONT = "font:13px/1.45 system-ui,sans-serif;color:#222"
LOGARITHMIC = "warm-up: sampler"  # the group whose figures differ by orders of magnitude
TITLES = [*(title for title, _ in GROUPS), "learning rate", "speed"]  # of all plots there can be, in their order


def plots(records: Sequence[Record]) -> dict[str, Plot]:
    """By title: each group of losses, the learning rate, and the speed, over epochs."""
    found = {title: _curves(records, title == LOGARITHMIC, names) for title, names in grouped(names_of(records))}
    rates = _line(records, [record["lr"] for record in records], "learning rate", COLORS[0])
    found["learning rate"] = [rates], _layout(records, rangemode="tozero", exponentformat="e")
    seconds = [max(record["seconds"], 1e-9) for record in records]
    speed = _line(records, [1 / time for time in seconds], "images/s", COLORS[0])
    shares = [100 * record["waiting"] / time for record, time in zip(records, seconds, strict=True)]
    waiting = _line(records, shares, "waiting for data [%]", COLORS[1]) | {"yaxis": "y2"}
    percent = {"side": "right", "overlaying": "y", "range": [0, 100], "showgrid": False, "ticksuffix": " %"}
    return found | {"speed": ([speed, waiting], _layout(records, rangemode="tozero") | {"yaxis2": AXIS | percent})}


def _curves(records: Sequence[Record], log: bool, names: Sequence[str]) -> Plot:
    """Losses, smoothed, with the raw values pale behind."""
    traces: list[Data] = []
    for name, color in zip(names, COLORS * len(names), strict=False):
        own = of_its_kind(records, name)
        raw = values(own, name)
        raw = np.where(raw > 0, raw, np.nan) if log else raw
        if len(raw) >= SMOOTHED_FROM:
            pale = {"showlegend": False, "hoverinfo": "skip", "line": {"color": f"{color}40", "width": 1}}
            traces.append(_line(own, raw, name, color) | pale)
            raw = smoothed(raw)
        traces.append(_line(own, raw, name, color))
    return traces, _layout(records, type="log" if log else "linear")


def _line(records: Sequence[Record], y: Sequence[float] | NDArray[np.float64], name: str, color: str) -> Data:
    return {
        "x": [round(record["epochs"], 5) for record in records],
        "y": [float(f"{value:.5g}") if math.isfinite(value) else None for value in y],  # a third of the text
        "name": escape(name),
        "type": "scatter",
        "mode": "lines" if len(records) > 1 else "markers",
        "line": {"color": color, "width": 2},
    }


def _layout(records: Sequence[Record], **yaxis: Any) -> Data:
    """Common to all plots; a dotted line and its name where a phase begins."""
    marks = switches(records)
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot", "width": 1, "color": "#666"}}
    note = {"yref": "paper", "y": 1, "xanchor": "left", "yanchor": "top", "showarrow": False, "font": {"size": 10}}
    return {
        "margin": {"l": 44, "r": 10, "t": 6, "b": 30},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}},
        "hovermode": "x unified",
        "uirevision": "same",  # a zoomed view stays when new points come
        "xaxis": AXIS | {"title": {"text": "epochs", "standoff": 4}, "rangemode": "tozero"},
        "yaxis": AXIS | yaxis,
        "shapes": [line | {"x0": at, "x1": at} for at, _ in marks],
        "annotations": [note | {"x": at, "text": escape(phase)} for at, phase in marks],
    }


def status(run: RunInfo, state: str, record: Record | None) -> str:
    """The state of the run: how far, how fast, how long still; then its options."""
    opt, done = run.opt, 0.0
    rows: list[tuple[str, object]] = [("state", state)]
    if record is not None:
        done = min(record["step"] / max(run.total_steps, 1), 1.0)
        seconds, left = max(record["seconds"], 1e-9), record.get("left")
        rows += [
            ("phase", record["phase"]),
            ("epoch", f"{record['epochs']:.2f} of {run.last_epoch}"),
            ("step", f"{record['step']} of {run.total_steps} ({record['images']} images)"),
            ("time left", tqdm.format_interval(int(left)) if left is not None and state == "running" else "\u2013"),
            ("speed", f"{1 / seconds:.2f} images/s, {100 * record['waiting'] / seconds:.0f} % of it waiting for data"),
            ("learning rate", f"{record['lr']:.3g}"),
        ]
    at = (record or {}).get("at", "\u2013")
    rows += [("model", f"{opt.model}, {opt.netG}"), ("data", opt.dataroot), ("last losses", at)]
    colors = f"linear-gradient(90deg,{COLORS[2]} {100 * done:.1f}%,#ddd 0)"
    bar = f'<div style="height:8px;border-radius:4px;background:{colors}"></div>'
    every = {f"--{name}": value for name, value in sorted(vars(opt).items()) if name not in ("given", "isTrain")}
    typed = [(f"--{name}", every[f"--{name}"]) for name in opt.given if f"--{name}" in every]
    return (
        f'<div style="{FONT};padding:4px 8px"><b style="font-size:15px">{escape(run.title)}</b>'
        f"{bar}{_table(rows)}<p><b>typed</b></p>{_table(typed)}"
        f"<details><summary>all options</summary>{_table(list(every.items()))}</details></div>"
    )


def pictures(images: Mapping[str, Image.Image], columns: int, width: int) -> tuple[str, tuple[int, int]]:
    """The pictures, each `width` pixels wide over its name, `columns` of them in a row; and the size of the window.

    It is as wide as a full row, and before the first ones as four would need, to keep its place.
    """
    cells = []
    for label, image in images.items():
        file = io.BytesIO()
        image.save(file, "PNG")
        source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        shown = f'<img src="{source}" width="{width}"><br>{escape(label)}'
        cells.append(f'<td align="center" style="{FONT};padding:2px 4px">{shown}</td>')
    rows = ["".join(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    shapes = [image.size for image in images.values()] or [(1, 1)] * 4
    height = max(math.ceil(width * rows / across) for across, rows in shapes)
    size = columns * (width + 10) + 24, math.ceil(len(shapes) / columns) * (height + 28) + 40
    return "<table><tr>" + "</tr><tr>".join(rows) + "</tr></table>", size


def saved_pictures(folder: Path) -> tuple[str, dict[str, Image.Image]] | None:
    """The newest pictures of the run's web page with their title, if there are any that can be read."""
    files = {path: path.stem.split("_", 1) for path in (folder / "web" / "images").glob("epoch*_*.png")}
    newest = max((int(epoch[5:]) for epoch, _ in files.values()), default=0)
    found = {label: path for path, (epoch, label) in files.items() if int(epoch[5:]) == newest}
    try:
        images = {label: Image.open(found[label]).convert("RGB") for label in in_order(found)}
    except OSError:
        return None
    return (f"epoch {newest}", images) if images else None


def _table(rows: Sequence[tuple[str, object]]) -> str:
    style = 'style="color:#777;padding-right:10px;vertical-align:top"'
    cells = (f"<tr><td {style}>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows)
    return f'<table style="word-break:break-word">{"".join(cells)}</table>'
