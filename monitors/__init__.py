"""Live and lasting views of a training run: write-only sinks that can neither slow, block nor end it.

A file in this folder with `@MONITORS.register("name")` is a new choice of `--monitor`.
"""

import logging

from coopcut.monitors.base import MONITORS, Monitor, Monitors, Record, RunInfo
from coopcut.util.registry import import_submodules

import_submodules("coopcut.monitors")

__all__ = ["MONITORS", "Monitor", "Monitors", "Record", "RunInfo", "create_monitors"]

log = logging.getLogger(__name__)


def create_monitors(run: RunInfo, shows: bool = True) -> Monitors:
    """The sinks that `--monitor` names; none unless this process `shows` the run, as one of several does.

    A sink that is not available is left out with one warning.
    """
    sinks: list[Monitor] = []
    names = dict.fromkeys(run.opt.monitor.split(",")) if shows else {}
    for name in names:
        if name not in MONITORS:  # "none"
            continue
        try:
            sink = MONITORS[name].create(run)
            sinks += [sink] if sink else []
        except ImportError as error:
            package = (error.name or str(error)).split(".")[0]
            hint = f"pip install {package}, or leave {name} out of --monitor"
            log.warning("monitor %s is off: the package %s is not installed (%s)", name, package, hint)
        except Exception as error:  # a file in the way, an odd address: nothing that should end a training
            log.warning("monitor %s is off: %s (to silence this, leave it out of --monitor)", name, error)
    return Monitors(sinks, run)
