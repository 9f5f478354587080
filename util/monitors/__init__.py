"""Live and lasting views of a training run: write-only sinks that can neither slow, block nor end it."""

import logging
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
    """The sinks that the options ask for; one whose package is not installed is left out with one warning."""
    last_epoch = opt.n_epochs + opt.n_epochs_decay
    sinks: list[Monitor] = [
        Console(start, total_steps, last_epoch, opt.print_freq),
        LossFiles(folder, start, opt.print_freq),
    ]
    if not opt.no_html:
        try:
            sinks.append(HtmlPage(folder, opt.easy_label or opt.name, opt.update_html_freq, opt.display_winsize))
        except ImportError:
            log.warning("no web page: the package dominate is not installed (pip install dominate, or --no_html)")
    if opt.display_id is None or opt.display_id > 0:
        try:
            sinks.append(VisdomWindows(opt, folder, samples_per_epoch))
        except Exception as error:  # an odd address or a half installed package must not keep anybody from training
            log.warning("no Visdom: %s (make venv installs it; off: --display_id 0)", error)
    return Monitors(sinks)
