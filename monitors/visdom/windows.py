"""What the windows of a run hold: its state as text, its curves, its pictures. Every text is escaped."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from coopcut.images.io import to_image
from coopcut.monitors.curves import Record, of_its_kind, smoothed, switches, values
from coopcut.options.option import Options

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#999933")  # told apart by all
SMOOTHED_FROM = 20  # points: a shorter curve is drawn as it is
FONT = "font:13px/1.45 system-ui,sans-serif;color:#222"
LOGARITHMIC = ("warm-up: sampler",)  # groups whose figures differ by orders of magnitude


def curves(records: Sequence[Record], title: str, names: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Traces and layout of losses over epochs: smoothed, with the raw values pale behind."""
    log = title in LOGARITHMIC
    traces: list[dict[str, Any]] = []
    for name, colour in zip(names, COLOURS * len(names), strict=False):
        own = of_its_kind(records, name)
        raw = values(own, name)
        raw = np.where(raw > 0, raw, np.nan) if log else raw
        if len(raw) >= SMOOTHED_FROM:
            hidden = {"showlegend": False, "hoverinfo": "skip"}
            traces.append(_line(own, raw, name, _pale(colour), 1) | hidden)
        traces.append(_line(own, smoothed(raw) if len(raw) >= SMOOTHED_FROM else raw, name, colour, 2))
    return traces, _layout(records) | {"yaxis": _axis(type="log" if log else "linear")}


def speed(records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Images per second, and on an axis of its own the share of time spent waiting for data."""
    seconds = np.array([max(record["seconds"], 1e-9) for record in records])
    waiting = np.array([record["waiting"] for record in records]) / seconds
    traces = [
        _line(records, 1 / seconds, "images/s", COLOURS[0], 2),
        _line(records, 100 * waiting, "waiting for data [%]", COLOURS[1], 2) | {"yaxis": "y2"},
    ]
    right = _axis(side="right", overlaying="y", range=[0, 100], showgrid=False, ticksuffix=" %")
    return traces, _layout(records, right=40) | {"yaxis": _axis(rangemode="tozero"), "yaxis2": right}


def learning_rate(records: Sequence[Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The learning rate over epochs."""
    rates = np.array([record["lr"] for record in records])
    layout = _layout(records) | {"yaxis": _axis(rangemode="tozero", exponentformat="e")}
    return [_line(records, rates, "learning rate", COLOURS[0], 2)], layout


def status(title: str, state: str, opt: Options, total_steps: int, last_epoch: int, record: Record | None) -> str:
    """The state of the run: how far, how fast, how long still; then its options."""
    rows: list[tuple[str, str]] = [("state", state)]
    done = 0.0
    if record is not None:
        done = min(record["step"] / max(total_steps, 1), 1.0)
        share = record["waiting"] / max(record["seconds"], 1e-9)
        left = record.get("left")
        rows += [
            ("phase", record["phase"]),
            ("epoch", f"{record['epochs']:.2f} of {last_epoch}"),
            ("step", f"{record['step']} of {total_steps} ({record['images']} images)"),
            ("time left", tqdm.format_interval(int(left)) if left is not None and state == "running" else "\u2013"),
            ("speed", f"{1 / max(record['seconds'], 1e-9):.2f} images/s, {100 * share:.0f} % of it waiting for data"),
            ("learning rate", f"{record['lr']:.3g}"),
        ]
    rows += [
        ("model", f"{opt.model}, {opt.netG}"),
        ("data", opt.dataroot),
        ("last figures", record.get("at", "\u2013") if record else "\u2013"),
    ]
    bar = (
        '<div style="height:8px;background:#ddd;border-radius:4px"><div style="height:8px;border-radius:4px;'
        f'background:{COLOURS[2]};width:{100 * done:.1f}%"></div></div>'
    )
    typed = {f"--{name}": getattr(opt, name) for name in opt.given if hasattr(opt, name)}
    every = {f"--{name}": value for name, value in sorted(vars(opt).items()) if name not in ("given", "isTrain")}
    return (
        f'<div style="{FONT};padding:4px 8px"><b style="font-size:15px">{_text(title)}</b>'
        f"{bar}{_table(rows)}<p><b>typed</b></p>{_table(typed.items())}"
        f"<details><summary>all options</summary>{_table(every.items())}</details></div>"
    )


def no_pictures_yet(every: int) -> str:
    """In place of the first pictures."""
    return f'<div style="{FONT};padding:8px">pictures come every {every} images</div>'


def picture(label: str, image: Tensor, width: int) -> str:
    """A table cell: the picture [C, H, W] in [-1, 1], `width` pixels wide on the page, over its name."""
    file = io.BytesIO()
    to_image(image).save(file, "PNG")
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    style = f'style="{FONT};padding:2px 4px"'
    return f'<td align="center" {style}><img src="{source}" width="{width}"><br>{_text(label)}</td>'


def table_of_pictures(cells: Sequence[str], columns: int) -> str:
    """Cells of `picture` in rows."""
    rows = ["".join(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return "<table><tr>" + "</tr><tr>".join(rows) + "</tr></table>"


def size_of_pictures(images: Mapping[str, Tensor], columns: int, width: int) -> tuple[int, int]:
    """Width and height [pixels] of the window for pictures in rows; as wide as a full row, to keep its place."""
    heights = [math.ceil(width * image.shape[-2] / image.shape[-1]) for image in images.values()]
    rows = math.ceil(len(heights) / columns)
    return columns * (width + 10) + 24, rows * (max(heights, default=0) + 28) + 40


def _line(records: Sequence[Record], y: NDArray[np.float64], name: str, colour: str, width: int) -> dict[str, Any]:
    return {
        "x": [round(record["epochs"], 5) for record in records],
        "y": [value if math.isfinite(value) else None for value in _rounded(y).tolist()],
        "name": _text(name),
        "type": "scatter",
        "mode": "lines" if len(records) > 1 else "markers",
        "line": {"color": colour, "width": width},
    }


def _pale(colour: str) -> str:
    """A colour like "#0072B2", mixed with three parts of white."""
    return "#" + "".join(f"{(3 * 255 + int(colour[i : i + 2], 16)) // 4:02X}" for i in (1, 3, 5))


def _rounded(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """To five digits: a third of the text."""
    with np.errstate(all="ignore"):
        scale = 10.0 ** (4 - np.floor(np.log10(np.abs(y))))
        return np.where(np.isfinite(scale) & np.isfinite(y), np.round(y * scale) / scale, y)


def _axis(**more: Any) -> dict[str, Any]:
    return {"automargin": True, "gridcolor": "#eee", "zerolinecolor": "#ccc", **more}


def _layout(records: Sequence[Record], right: int = 10) -> dict[str, Any]:
    """Common to all plots; a dotted line and its name where a phase begins."""
    marks = switches(records)
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dot", "width": 1, "color": "#666"}}
    note = {"yref": "paper", "y": 1, "xanchor": "left", "yanchor": "top", "showarrow": False, "font": {"size": 10}}
    return {
        "margin": {"l": 44, "r": right, "t": 6, "b": 30},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}},
        "hovermode": "x unified",
        "uirevision": "same",  # a zoomed view stays when new points come
        "xaxis": _axis(title={"text": "epochs", "standoff": 4}, rangemode="tozero"),
        "shapes": [line | {"x0": at, "x1": at} for at, _ in marks],
        "annotations": [note | {"x": at, "text": _text(phase)} for at, phase in marks],
    }


def _table(rows: Any) -> str:
    style = 'style="color:#777;padding-right:10px;vertical-align:top"'
    cells = (f"<tr><td {style}>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in rows)
    return f'<table style="word-break:break-word">{"".join(cells)}</table>'


def _text(value: object) -> str:
    return html.escape(str(value))
