"""Figures and pictures in a Visdom server. Training leaves them in bounded queues; a thread of its own draws them."""

import logging
import subprocess
import sys
import threading
import time
import zlib
from collections import deque
from pathlib import Path
from typing import Any

from torch import Tensor

from coopcut.engine.position import Position
from coopcut.images.io import to_image
from coopcut.monitors.base import MONITORS, Monitor, Record, RunInfo, in_order
from coopcut.monitors.curves import RECORDS, Thinned, read_records
from coopcut.monitors.text import as_dict
from coopcut.monitors.visdom import windows
from coopcut.monitors.visdom.client import Client, Plot

log = logging.getLogger(__name__)

POINTS = 1000  # records in a window, and the most that wait in the queue
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two drawings; doubled by each failure
STILL_HERE = 300.0  # seconds without figures after which the server is told that the run goes on
FAREWELL = 2.0  # seconds at the end for what is not drawn yet
# Sizes in pixels. On a laptop's page of 1366: state and four pictures in the first row, then three plots in a row.
STATUS, PLOT, PICTURE = (440, 270), (440, 270), 205
WINDOWS = 100  # numbers of a run
ALONE = 20  # from this window of the run on, pictures that have a window each
COMMAND = [sys.executable, "-m", "coopcut.monitors.visdom"]


def start_server(port: int) -> subprocess.Popen[bytes]:
    """Start a server that may outlive the training: until 30 minutes without figures, requests or an open page."""
    command, quiet = [*COMMAND, "--port", str(port), "--exit_when_idle", "30"], subprocess.DEVNULL
    root = Path(__file__).resolve().parents[2]
    # In a session of its own: Ctrl-C ends the training, not the page.
    return subprocess.Popen(command, cwd=root, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)


@MONITORS.register("visdom")
class VisdomWindows(Monitor):
    """Windows from number --display_id on: state, pictures, curves. What the run logged earlier comes from its folder.

    However long a server is away, it costs one warning; where nobody listens on this machine, one is started. Training
    calls only what a `Monitor` has, which waits for nothing. A run whose state is not "running" is drawn once.
    """

    def __init__(self, run: RunInfo, state: str = "running") -> None:
        opt = run.opt
        self.every_losses, self.every_images = opt.print_freq, opt.display_freq
        self.client = Client(opt.display_server, opt.display_port, opt.display_env)
        own = zlib.crc32(str(run.folder.absolute()).encode(errors="replace")) % 100_000 * WINDOWS
        self.first = opt.display_id if (opt.display_id or 0) > 0 else own  # by default no run draws over another
        self.run, self.state = run, state
        # Before training forks its workers: a process that is forked while another is started would hold its pipes.
        self.server = start_server(self.client.port) if self.client.is_local and self.client.is_refused() else None
        self.width = opt.display_winsize if "display_winsize" in opt.given else min(opt.display_winsize, PICTURE)
        self.records: deque[dict[str, Any]] = deque(maxlen=POINTS)
        self.pictures: deque[tuple[str, dict[str, Tensor]]] = deque(maxlen=1)  # title; [C, H, W] by label
        # What follows belongs to the thread.
        self.curve = Thinned(POINTS)
        for record in read_records(run.folder / RECORDS):
            if record["step"] <= run.start.step:  # else it is about to come again
                self.curve.add(record)
        self.shown = windows.saved_pictures(run.folder) if run.start.step else None
        self.stale = True  # the server may lack what was drawn
        self.warned = self.reached = False
        # A process that ends while a daemon thread is in torch is aborted: once `left`, the thread stays out.
        self.in_torch, self.left = threading.Lock(), False
        self.wake, self.ending = threading.Event(), threading.Event()
        self.wake.set()  # the state is there to be shown
        if state != "running":
            self.ending.set()
        self.thread = threading.Thread(target=self._work, name="visdom", daemon=True)
        self.thread.start()

    @classmethod
    def create(cls, run: RunInfo) -> "VisdomWindows | None":
        return None if run.opt.display_id is not None and run.opt.display_id <= 0 else cls(run)

    def log(self, record: Record) -> None:
        self.records.append(as_dict(record) | {"left": record.left, "at": time.strftime("%H:%M:%S")})
        self.wake.set()

    def show(self, position: Position, images: dict[str, Tensor]) -> None:
        # On a GPU a copy, which costs training nothing there and does not keep the whole batch in its memory.
        first = {label: images[label][0].detach() for label in in_order(images)}
        kept = {label: image.clone() if image.is_cuda else image for label, image in first.items()}
        self.pictures.append((f"epoch {position.epoch}, {position.images} images", kept))
        self.wake.set()

    def ended(self, how: str) -> None:
        self.state = how

    def close(self) -> None:
        self.ending.set()
        self.wake.set()
        self.thread.join(FAREWELL)
        if self.thread.is_alive():
            with self.in_torch:
                self.left = True
            self._warn(f"Visdom at {self.client.address} did not accept the last losses within {FAREWELL:g} s")

    def _work(self) -> None:
        pause, ended = PAUSE, False
        while not ended:
            self.wake.wait(STILL_HERE)
            self.wake.clear()
            ended, began = self.ending.is_set(), time.monotonic()
            try:
                self._draw()
                pause = max(PAUSE, 20 * (time.monotonic() - began))  # a long curve takes its time, but not training's
                if not self.reached:
                    self.reached = True
                    log.info("Visdom: %s", self.client.page)
            except OSError as error:
                self.wake.set()
                started = self.server if not self.reached else None
                if started is None or started.poll() is not None:  # else it is on its way
                    pause = min(2 * pause, LONGEST_PAUSE)
                    hint = f"run {' '.join(COMMAND)} to see why; " if started else ""
                    self._warn(f"no Visdom at {self.client.address}: {error}; trying again ({hint}off: --display_id 0)")
            except Exception as error:  # a mistake of ours: it must not fill the screen
                self._warn(f"Visdom is off from now on: {type(error).__name__}: {error}")
                return
            self.ending.wait(pause)

    def _warn(self, message: str) -> None:
        """One warning in all."""
        (log.debug if self.warned else log.warning)("%s", message)
        self.warned = True

    def _draw(self) -> None:
        """Draw what is new; after a failure everything, because the server may have been restarted."""
        stale, self.stale = self.stale, True
        new_figures, new_pictures = bool(self.records), bool(self.pictures)
        while self.records:
            self.curve.add(self.records.popleft())
        with self.in_torch:
            if self.pictures and not self.left:
                title, images = self.pictures.popleft()
                self.shown = title, {label: to_image(image) for label, image in images.items()}
        everything = stale or not self.client.has(self.first)
        records = self.curve.records
        newest = records[-1] if records else None
        self._send(0, self.state, STATUS, windows.status(self.run, self.state, newest))
        if everything or new_pictures:
            self._draw_pictures(self.run.opt.display_ncols)
        if records and (everything or new_figures):
            for title, plot in windows.plots(records).items():
                self._send(2 + windows.TITLES.index(title), title, PLOT, plot)
        self.stale = False

    def _draw_pictures(self, columns: int) -> None:
        """All in one window with so many in a row, or for 0 each in a window of its own, after all others."""
        title, shown = self.shown or ("pictures", {})
        groups = [shown] if columns else [{label: image} for label, image in shown.items()]
        for number, group in enumerate(groups, 1 if columns else ALONE):
            html, size = windows.pictures(group, columns or 1, self.width)
            if not group:  # before the first ones a word in their place
                html = f'<div style="{windows.FONT};padding:8px">pictures come every {self.every_images} images</div>'
            self._send(number, title, size, html)

    def _send(self, number: int, title: str, size: tuple[int, int], content: str | Plot) -> None:
        self.client.send(self.first + number, f"{self.run.title}: {title}", size, content)
