"""Losses and pictures in a Visdom server. Training leaves them in bounded queues; a thread of its own draws them."""

import base64
import html
import io
import json
import logging
import re
import threading
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from options.option import Options
from util.images import to_image
from util.monitors.base import Monitor, Record
from util.monitors.text import as_dict
from util.position import Position

log = logging.getLogger(__name__)

POINTS = 1000  # records in a window, and the most that wait in the queue
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two drawings; doubled by each failure
WINDOWS = (  # title, and pattern of the losses; the first that fits takes a loss
    ("adversarial losses", r"[DG](_|$)"),
    ("contrastive losses", r"NCE"),
    ("scores of the warm-up", r"f_|gap$"),
    ("diagnostics", r""),
)


class VisdomWindows(Monitor):
    """Windows from number --display_id on: one for each of `WINDOWS`, then one with all pictures or one for each.

    What earlier sessions logged comes from losses.jsonl in `folder`. `samples_per_epoch` scales the axis.
    Raises `ImportError` if visdom is not installed. However long a server is away, it costs one warning.
    """

    def __init__(self, opt: Options, folder: Path, samples_per_epoch: int) -> None:
        import requests
        import visdom

        self.every_losses, self.every_images = opt.print_freq, opt.display_freq
        self.title, self.columns, self.width = opt.easy_label or opt.name, opt.display_ncols, opt.display_winsize
        self.first = 1 if opt.display_id is None else opt.display_id
        self.samples_per_epoch = samples_per_epoch
        self.http = requests.Session()
        self.http.trust_env = False  # a proxy for the internet does not know localhost
        address = {"server": opt.display_server, "port": opt.display_port}
        address["env"] = re.sub(r"[^A-Za-z0-9_-]", "_", opt.display_env) or "main"
        # Made with send=False it neither connects nor complains; then its requests go through `_post`.
        self.client: Any = visdom.Visdom(**address, send=False, use_incoming_socket=False)
        vars(self.client).update(send=True, raise_exceptions=True, _handle_post=self._post)
        self.records: deque[dict[str, Any]] = deque(maxlen=POINTS)
        self.pictures: deque[tuple[str, dict[str, Tensor]]] = deque(maxlen=1)  # subtitle; [C, H, W] by label
        # What follows belongs to the thread.
        self.curve: list[dict[str, Any]] = []  # every `stride`-th of `count` records, and the newest
        self.count, self.stride, self.stale = 0, 1, True  # stale: the server may lack what was drawn
        self.cells, self.subtitle = list[str](), ""  # the newest pictures as table cells
        if (folder / "losses.jsonl").is_file():
            for line in (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines():
                self._add(json.loads(line))
        self.wake, self.ending = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, name="visdom", daemon=True)
        self.thread.start()

    def log(self, record: Record) -> None:
        self.records.append(as_dict(record))
        self.wake.set()

    def show(self, position: Position, images: dict[str, Tensor]) -> None:
        # Copies on their device: training neither waits until they are computed, nor can change them.
        copies = {label: batch[0].detach().clone() for label, batch in images.items()}
        self.pictures.append((f"epoch {position.epoch}, {position.images} images", copies))
        self.wake.set()

    def close(self) -> None:
        self.ending.set()
        self.wake.set()
        self.thread.join(2.0)  # seconds: what is not drawn by then never will be

    def _run(self) -> None:
        address, pause, tell, ended = f"{self.client.server}:{self.client.port}", PAUSE, log.warning, False
        while not ended:
            self.wake.wait()
            self.wake.clear()
            ended = self.ending.is_set()
            try:
                self._draw()
                pause = PAUSE
            except Exception as error:
                reason = type(error.__context__ or error).__name__  # the client hides what requests raised
                tell("no Visdom at %s (%s), trying again; off: --display_id 0", address, reason)
                tell, pause = log.debug, min(2 * pause, LONGEST_PAUSE)
                self.wake.set()
            self.ending.wait(pause)

    def _draw(self) -> None:
        """Draw what is new; after a failure everything, because the server may have been restarted."""
        losses = pictures = self.stale
        self.stale = True
        while self.records:
            self._add(self.records.popleft())
            losses = True
        if self.pictures:
            subtitle, images = self.pictures.popleft()
            self.cells = [_cell(label, image, self.width) for label, image in images.items()]
            self.subtitle, pictures = subtitle, True
        if losses and self.curve:
            self._draw_losses()
        if pictures and self.cells:
            self._draw_pictures()
        self.stale = False

    def _add(self, record: dict[str, Any]) -> None:
        if self.curve and (self.count - 1) % self.stride:
            self.curve.pop()  # it was there only for being the newest
        self.curve.append(record)
        self.count += 1
        if len(self.curve) > POINTS:
            del self.curve[1:-1:2]
            self.stride *= 2

    def _draw_losses(self) -> None:
        """Whole windows, over the epochs done; a dotted line where the phase changes, the newest is in the title."""
        size = max(self.samples_per_epoch, *(record["samples"] for record in self.curve), 1)
        x = np.array([record["epoch"] - 1 + record["samples"] / size for record in self.curve])
        marks = [
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": {"dash": "dot"}}
            for at, (before, after) in zip(x.tolist(), pairwise(self.curve), strict=False)
            if before["phase"] != after["phase"]
        ]
        names = list(dict.fromkeys(name for record in self.curve for name in record["losses"]))
        for window, (title, pattern) in enumerate(WINDOWS, self.first):
            legend = [name for name in names if re.match(pattern, name)]
            names = [name for name in names if name not in legend]
            if legend:
                y = np.array([[record["losses"].get(name) for name in legend] for record in self.curve], dtype=float)
                text = {"title": f"{self.title}: {title} ({self.curve[-1]['phase']})", "xlabel": "epochs"}
                opts = text | {"legend": legend, "layoutopts": {"plotly": {"shapes": marks}}}
                self.client.line(y, x, win=str(window), opts=opts)

    def _draw_pictures(self) -> None:
        """All in one window with --display_ncols in a row, or each in its own."""
        columns = self.columns or 1
        groups = [self.cells] if self.columns else [[cell] for cell in self.cells]
        for window, cells in enumerate(groups, self.first + len(WINDOWS)):
            rows = ["".join(cells[i : i + columns]) for i in range(0, len(cells), columns)]
            table = "<table><tr>" + "</tr><tr>".join(rows) + "</tr></table>"
            width, height = min(columns, len(cells)) * (self.width + 8) + 40, len(rows) * (self.width + 30) + 40
            opts = {"title": f"{self.title}: {self.subtitle}", "width": width, "height": height}
            self.client.text(table, win=str(window), opts=opts)

    def _post(self, url: str, data: str) -> str:
        """In place of the client's own, which waits for ever and takes any answer for success."""
        answer = self.http.post(url, data=data, timeout=(2, 5))  # seconds to connect, and for each silence
        answer.raise_for_status()
        return answer.text


def _cell(label: str, image: Tensor, width: int) -> str:
    """A table cell: the picture [C, H, W] in [-1, 1], `width` pixels wide on the page, over its name."""
    file = io.BytesIO()
    to_image(image).save(file, "PNG")
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return f'<td align="center"><img src="{source}" width="{width}"><br>{html.escape(label)}</td>'
