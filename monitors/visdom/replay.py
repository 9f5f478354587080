"""The windows of a finished run, from the files in its folder: options, losses, pictures of the web page."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from coopcut.engine.position import Position
from coopcut.monitors.base import RunInfo
from coopcut.monitors.curves import RECORDS, read_records
from coopcut.monitors.visdom.monitor import VisdomWindows
from coopcut.options.parser import OptionParser
from coopcut.util.errors import UserError


def replay(checkpoints_dir: str, name: str, hostname: str, port: int) -> Callable[[], None]:
    """What draws the run in a server that listens. Raises `UserError` if there is nothing to draw."""
    folder = Path(checkpoints_dir) / name
    records = read_records(folder / RECORDS)
    if not records:
        raise UserError(f"--name {name}: {folder / RECORDS} holds no losses (--monitor files writes them)")
    server = ["--display_server", f"[{hostname}]" if ":" in hostname else hostname, "--display_port", str(port)]
    flags = ["--continue_train", "--checkpoints_dir", checkpoints_dir, "--name", name, *server]
    opt = OptionParser(True).parse(flags)
    usual = vars(OptionParser(True).parse(["--dataroot", opt.dataroot, "--model", opt.model]))
    opt.given = [key for key, value in vars(opt).items() if value != usual.get(key) and f"--{key}" not in flags]
    last = records[-1]
    steps = round(last["step"] * (opt.n_epochs + opt.n_epochs_decay) / max(last["epochs"], 1e-9))
    at = Position(last["epoch"], last.get("samples", 0), last["step"], last.get("images", 0))
    return partial(_draw, RunInfo(opt, folder, at, steps, 0))


def _draw(run: RunInfo) -> None:
    windows = VisdomWindows(run, state="ended")
    windows.ending.set()
    windows.wake.set()
