"""The live view: python -m coopcut.monitors.visdom, then open http://localhost:8097

A Visdom server for the trainings of this machine, which find it by themselves. It listens on this machine only; from
elsewhere reach it through a tunnel: ssh -L 8097:localhost:8097 this-machine
"""

import argparse
import asyncio
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from coopcut.engine.position import Position
from coopcut.monitors.base import RunInfo
from coopcut.monitors.curves import RECORDS, read_records
from coopcut.monitors.visdom.assets import find_assets
from coopcut.monitors.visdom.monitor import VisdomWindows
from coopcut.options.parser import OptionParser
from coopcut.util.arguments import Parser, whole
from coopcut.util.cli import run_script
from coopcut.util.errors import UserError


def main(argv: Sequence[str]) -> int:
    """Serve until told to stop. Returns the exit code."""
    parser = Parser(__doc__, "coopcut.monitors.visdom")
    add = parser.add_argument
    add("--port", type=partial(whole, low=1, high=65535), default=8097, help="port [default: 8097]")
    add("--hostname", default="127.0.0.1", help="listen on this address or name [default: this machine only]")
    add("--name", default="", help="show the windows of this run again, from the files in its folder")
    add("--checkpoints_dir", default="./checkpoints", help="folder that holds the runs [default: ./checkpoints]")
    add("--exit_when_idle", type=float, default=0.0, metavar="M", help="end after M minutes unused [default: never]")
    opt = parser.parse_args(argv)
    for name, level in (("", "WARNING"), ("coopcut", "INFO"), ("tornado", "ERROR")):
        logging.getLogger(name).setLevel(level)  # Visdom tells all that it does
    run = _finished(opt) if opt.name else None
    assets = find_assets()
    os.environ.setdefault("LOGNAME", "user")  # Visdom asks who it is, and fails where the user has no name
    warnings.simplefilter("ignore", RuntimeWarning)  # about saving nothing to the disk
    try:
        from coopcut.monitors.visdom.server import Server, serve
    except ImportError as error:
        raise UserError(f"the package {error.name} is not installed: run make venv") from None
    server = Server(assets, opt.hostname, opt.port)
    asyncio.run(serve(server, opt.hostname, opt.exit_when_idle, lambda: run and VisdomWindows(run, "ended")))
    return 0


def _finished(opt: argparse.Namespace) -> RunInfo:
    """A run that is not going on, as its folder tells. Raises `UserError` if there is nothing to draw."""
    folder = Path(opt.checkpoints_dir) / opt.name
    records = read_records(folder / RECORDS)
    if not records:
        raise UserError(f"--name {opt.name}: {folder / RECORDS} holds no losses (--monitor files writes them)")
    server = ["--display_server", f"[{opt.hostname}]" if ":" in opt.hostname else opt.hostname]
    flags = ["--continue_train", "--checkpoints_dir", opt.checkpoints_dir, "--name", opt.name, *server]
    run = OptionParser(True).parse([*flags, "--display_port", str(opt.port)])
    usual = vars(OptionParser(True).parse(["--dataroot", run.dataroot, "--model", run.model]))
    run.given = [name for name, value in vars(run).items() if value != usual.get(name) and f"--{name}" not in flags]
    last = records[-1]
    steps = round(last["step"] * (run.n_epochs + run.n_epochs_decay) / max(last["epochs"], 1e-9))
    return RunInfo(run, folder, Position(step=last["step"]), steps, 0)


if __name__ == "__main__":
    sys.argv[0] = "visdom"
    run_script(main)
