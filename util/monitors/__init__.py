"""Live and lasting views of a training run: write-only sinks that can neither slow, block nor end it."""

import logging
from collections.abc import Callable
from pathlib import Path

from options.option import Options
from util.monitors.base import Monitor, Monitors, Record
from util.monitors.console import Console
from util.monitors.html import HtmlPage
from util.monitors.text import LossFiles
from util.monitors.visdom import VisdomWindows
from util.position import Position

__all__ = ["Monitor", "Monitors", "Record", "create_monitors"]

log = logging.getLogger(__name__)


def create_monitors(opt: Options, folder: Path, start: Position, total_steps: int, samples_per_epoch: int) -> Monitors:
    """The sinks that the options ask for; one that cannot be had is left out with one warning."""
    sinks: list[Monitor] = []

    def add(name: str, flag: str, make: Callable[[], Monitor]) -> None:
        try:
            sinks.append(make())
        except ImportError as error:
            log.warning(
                "no %s: the package %s is not installed (make venv does it; off: %s)", name, error.name or error, flag
            )
        except Exception as error:  # a file in the way, an odd address: nothing that should end a training
            log.warning("no %s: %s%s", name, error, f" (off: {flag})" if flag else "")

    last_epoch = opt.n_epochs + opt.n_epochs_decay
    add("progress bar", "", lambda: Console(start, total_steps, last_epoch, opt.print_freq))
    add("log files", "", lambda: LossFiles(folder, start, opt.print_freq))
    if not opt.no_html:
        title = opt.easy_label or opt.name
        add("web page", "--no_html", lambda: HtmlPage(folder, title, opt.update_html_freq, opt.display_winsize))
    if opt.display_id is None or opt.display_id > 0:
        add("Visdom", "--display_id 0", lambda: VisdomWindows(opt, folder, samples_per_epoch))
    return Monitors(sinks)
