"""Figures and pictures in a Visdom server. Training leaves them in bounded queues; a thread of its own draws them."""

import logging
import threading
import time
import zlib
from collections import deque
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coopcut.engine.position import Position
from coopcut.monitors.base import LABELS, MONITORS, Monitor, Record, RunInfo, in_order
from coopcut.monitors.curves import GROUPS, RECORDS, Thinned, grouped, names_of, read_records
from coopcut.monitors.text import as_dict
from coopcut.monitors.visdom import windows
from coopcut.monitors.visdom.client import Client, ServerError
from coopcut.monitors.visdom.launch import ServerProcess

log = logging.getLogger(__name__)

POINTS = 1000  # records in a window, and the most that wait in the queue
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two drawings; doubled by each failure
PATIENCE = 60.0  # seconds for a server that was started to answer, before it is given a warning
STILL_HERE = 300.0  # seconds without figures after which the server is told that the run goes on
FAREWELL = 2.0  # seconds at the end for what is not drawn yet
# Sizes in pixels. On a laptop's page of 1366: state and four pictures in the first row, then three plots in a row.
STATUS, PLOT, PICTURE = (440, 270), (440, 270), 205
WINDOWS = 100  # numbers of a run
ALONE = 20  # from this window of the run on, pictures that have a window each


@MONITORS.register("visdom")
class VisdomWindows(Monitor):
    """Windows from number --display_id on: state, pictures (with --display_ncols 0 one for each, last), curves.

    What earlier sessions logged comes from the run's losses.jsonl. However long a server is away, it costs one warning.
    server: one that was started for this run and may still be on its way.
    """

    def __init__(self, run: RunInfo, server: ServerProcess | None = None) -> None:
        opt = run.opt
        self.every_losses, self.every_images = opt.print_freq, opt.display_freq
        self.client = Client(opt.display_server, opt.display_port, opt.display_env)
        own = zlib.crc32(str(run.folder.absolute()).encode(errors="replace")) % 100_000 * WINDOWS
        self.first = own if opt.display_id is None else opt.display_id  # by default no run draws over another
        self.run, self.server, self.since = run, server, time.monotonic()
        self.columns = opt.display_ncols
        self.width = opt.display_winsize if "display_winsize" in opt.given else min(opt.display_winsize, PICTURE)
        self.records: deque[dict[str, Any]] = deque(maxlen=POINTS)
        self.pictures: deque[tuple[str, dict[str, Tensor]]] = deque(maxlen=1)  # subtitle; [C, H, W] by label
        self.state = "running"
        # What follows belongs to the thread.
        self.curve = Thinned(POINTS)
        for record in read_records(run.folder / RECORDS):
            if record["step"] <= run.start.step:  # else it is about to come again
                self.curve.add(record)
        self.newest = self.curve.records[-1] if self.curve.records else None
        self.shown: tuple[str, dict[str, Tensor]] | None = None
        self.stale = True  # the server may lack what was drawn
        self.told = self.reached = self.stepped = False
        self.wake, self.ending = threading.Event(), threading.Event()
        self.wake.set()  # the state is there to be shown
        self.thread = threading.Thread(target=self._run, name="visdom", daemon=True)
        self.thread.start()

    @classmethod
    def create(cls, run: RunInfo) -> "VisdomWindows | None":
        if run.opt.display_id is not None and run.opt.display_id <= 0:
            return None
        client = Client(run.opt.display_server, run.opt.display_port, run.opt.display_env)
        server = None
        # Before training forks its workers: a process that is forked while another is started would hold its pipes.
        if client.is_local and client.is_refused():
            try:
                server = ServerProcess(run.folder, Path(run.opt.checkpoints_dir), client.port)
                log.info("starting a Visdom server for %s", client.page)
            except OSError as error:
                log.debug("no Visdom server can be started: %s", error)
        return cls(run, server)

    # -- called by training: none of these waits ------------------------------------------------------------------

    def step(self, position: Position) -> None:
        self.stepped = True

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
        if self.server is not None and not self.stepped:  # nothing has come of the run: neither folder nor page stays
            self.server.stop()
        self.ending.set()
        self.wake.set()
        self.thread.join(FAREWELL)
        if self.thread.is_alive() and not self.told:
            log.warning("Visdom at %s did not take the last figures within %g s", self.client.address, FAREWELL)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = PAUSE
        while True:
            self.wake.wait(STILL_HERE)
            self.wake.clear()
            ended = self.ending.is_set()
            drawn, complaint = False, None
            try:
                began = time.monotonic()
                self._draw()
                drawn = True
                pause = max(PAUSE, 20 * (time.monotonic() - began))  # a long curve takes its time, but not training's
                if not self.reached:
                    self.reached = True
                    log.info("Visdom: %s", self.client.page)
            except ServerError as error:
                self.wake.set()
                complaint = self._complaint(error)
                if complaint is not None:
                    pause = min(2 * pause, LONGEST_PAUSE)
                    self._tell(f"no Visdom at {self.client.address}: {complaint}; trying again (off: --display_id 0)")
            except Exception as error:  # a mistake of ours: it must not fill the screen
                self._tell(f"Visdom is given up: {type(error).__name__}: {error}")
                return
            if ended and (drawn or complaint is not None):
                return
            if ended:  # a server is on its way
                time.sleep(0.1)
            else:
                self.ending.wait(pause)

    def _complaint(self, error: ServerError) -> str | None:
        """What to warn of; None while a server that was started here may still come."""
        if self.server is None or self.reached:
            return str(error)
        said = self.server.failure()
        if said is None and time.monotonic() - self.since < PATIENCE:
            return None
        return f"{error}; one was started and says: {said or 'nothing'}"

    def _tell(self, message: str) -> None:
        """One warning in all."""
        (log.debug if self.told else log.warning)("%s", message)
        self.told = True

    def _draw(self) -> None:
        """Draw what is new; after a failure everything, because the server may have been restarted."""
        stale, self.stale = self.stale, True
        new_figures, new_pictures = bool(self.records), bool(self.pictures)
        while self.records:
            self.newest = self.records.popleft()
            self.curve.add(self.newest)
        if self.pictures:
            self.shown = self.pictures.popleft()
        everything = stale or not self.client.has(str(self.first))
        new_figures, new_pictures = new_figures or everything, new_pictures or everything
        run = self.run
        text = windows.status(run.title, self.state, run.opt, run.total_steps, run.last_epoch, self.newest)
        self.client.text(str(self.first), f"{run.title}: {self.state}", text, *STATUS)
        if new_pictures:
            self._draw_pictures()
        if new_figures and self.curve.records:
            self._draw_curves(self.curve.records)
        if everything:
            self.client.keep(self.first, WINDOWS, self.run.folder)
        self.stale = False

    def _draw_pictures(self) -> None:
        """All in one window with --display_ncols in a row, or each in its own, after all others."""
        if self.shown is None:
            if self.columns and not self.client.has(str(self.first + 1)):  # its place is the second
                text = windows.no_pictures_yet(self.every_images)
                size = windows.size_of_pictures(dict.fromkeys(LABELS[:4], torch.empty(1, 1)), self.columns, self.width)
                self.client.text(str(self.first + 1), f"{self.run.title}: pictures", text, *size)
            return
        subtitle, images = self.shown
        cells = {label: windows.picture(label, image, self.width) for label, image in images.items()}
        groups = [list(images)] if self.columns else [[label] for label in images]
        for number, labels in enumerate(groups, self.first + (1 if self.columns else ALONE)):
            columns = self.columns or 1
            size = windows.size_of_pictures({label: images[label] for label in labels}, columns, self.width)
            table = windows.table_of_pictures([cells[label] for label in labels], columns)
            self.client.text(str(number), f"{self.run.title}: {subtitle}", table, *size)

    def _draw_curves(self, records: list[dict[str, Any]]) -> None:
        """A window for each group of losses, for the learning rate, and for the speed."""
        titles = [title for title, _ in GROUPS]
        plots = {title: windows.curves(records, title, names) for title, names in grouped(names_of(records))}
        plots |= {"learning rate": windows.learning_rate(records), "speed": windows.speed(records)}
        for title, (traces, layout) in plots.items():
            number = self.first + 2 + [*titles, "learning rate", "speed"].index(title)
            self.client.plot(str(number), f"{self.run.title}: {title}", traces, layout, *PLOT)
