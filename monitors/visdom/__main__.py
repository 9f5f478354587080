"""The live view: python -m coopcut.monitors.visdom, then open http://localhost:8097

A Visdom server for the trainings of this machine, which find it by themselves. It listens on this machine only; from
elsewhere reach it through a tunnel: ssh -L 8097:localhost:8097 this-machine
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from coopcut.monitors.visdom.assets import cache_folder, complete, find_assets
from coopcut.monitors.visdom.environments import EnvironmentFiles
from coopcut.util.arguments import Parser, whole
from coopcut.util.errors import OptionError, UserError


def _port(text: str) -> int:
    return whole(text, 1, 65535)


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _parser() -> Parser:
    parser = Parser(__doc__, "coopcut.monitors.visdom")
    add = parser.add_argument
    add("--port", type=_port, default=8097, help="port [default: 8097]")
    add("--hostname", default="127.0.0.1", help="address to listen on; 0.0.0.0: every one [default: this machine only]")
    add("--allow_host", nargs="+", default=[], metavar="NAME", help="further names under which it may be asked for")
    add("--name", default="", help="keep the windows in the folder of this run, and show those kept there")
    add("--checkpoints_dir", default="./checkpoints", help="folder that holds the runs [default: ./checkpoints]")
    add("--env_path", default="", help="keep them here instead [default: <checkpoints_dir>/visdom]")
    add("--save_every", type=_seconds, default=30.0, help="write changed windows so often [seconds, default: 30]")
    add("--exit_when_idle", type=_seconds, default=0.0, metavar="M", help="end after M minutes unused [default: never]")
    add("--assets", default="", help=f"folder of the page's scripts [default: {cache_folder()}]")
    add("--fetch_only", action="store_true", help="load the page's scripts and leave")
    return parser


def main(argv: list[str]) -> int:
    """Serve until told to stop. Returns the exit code."""
    opt = _parser().parse_args(argv)
    folder = Path(opt.env_path or Path(opt.checkpoints_dir) / opt.name / "visdom")
    if opt.name and not folder.parent.is_dir():
        raise OptionError(f"--name {opt.name}: there is no run {folder.parent}")
    assets = find_assets(Path(opt.assets) if opt.assets else cache_folder())
    if opt.fetch_only:
        print(f"the page's scripts are in {assets} ({'complete' if complete(assets) else 'from the internet'})")
        return 0
    os.environ.setdefault("LOGNAME", "user")  # Visdom asks who it is, and fails where the user has no name
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # Visdom's client would import it, for nothing
    from coopcut.monitors.visdom.server import Server, serve

    try:
        files = EnvironmentFiles(folder, Path(opt.checkpoints_dir))
        environments = files.load()
    except OSError as error:
        raise UserError(f"{folder} cannot be used ({error.strerror}): choose another --env_path") from None
    server = Server(environments, assets, [opt.hostname, *opt.allow_host], opt.port)
    asyncio.run(serve(server, files, opt.hostname, opt.save_every, opt.exit_when_idle))
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("tornado").setLevel(logging.ERROR)
    try:
        sys.exit(main(sys.argv[1:]))
    except ImportError as error:
        print(f"visdom: error: the package {error.name} is not installed: make venv does it", file=sys.stderr)
    except UserError as error:
        print(f"visdom: error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)
