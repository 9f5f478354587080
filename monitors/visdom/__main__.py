"""The live view: python -m coopcut.monitors.visdom, then open http://localhost:8097

A Visdom server for the trainings of this machine, which find it by themselves. It listens on this machine only; from
elsewhere reach it through a tunnel: ssh -L 8097:localhost:8097 this-machine
"""

import asyncio
import logging
import os
import sys
import warnings
from functools import partial

from coopcut.monitors.visdom.assets import find_assets
from coopcut.util.arguments import Parser, whole
from coopcut.util.errors import UserError


def _parser() -> Parser:
    parser = Parser(__doc__, "coopcut.monitors.visdom")
    add = parser.add_argument
    add("--port", type=partial(whole, low=1, high=65535), default=8097, help="port [default: 8097]")
    add("--hostname", default="127.0.0.1", help="address to listen on; 0.0.0.0: every one [default: this machine only]")
    add("--allow_host", nargs="+", default=[], metavar="NAME", help="further names under which it may be asked for")
    add("--name", default="", help="show the windows of this run again, from the files in its folder")
    add("--checkpoints_dir", default="./checkpoints", help="folder that holds the runs [default: ./checkpoints]")
    add("--exit_when_idle", type=float, default=0.0, metavar="M", help="end after M minutes unused [default: never]")
    add("--fetch_only", action="store_true", help="load the page's scripts and leave")
    return parser


def main(argv: list[str]) -> int:
    """Serve until told to stop. Returns the exit code."""
    opt = _parser().parse_args(argv)
    draw = None
    if opt.name:
        from coopcut.monitors.visdom.replay import replay

        draw = replay(opt.checkpoints_dir, opt.name, opt.hostname, opt.port)
    assets = find_assets()
    if opt.fetch_only:
        print(f"the page's scripts are in {assets}")
        return 0
    os.environ.setdefault("LOGNAME", "user")  # Visdom asks who it is, and fails where the user has no name
    warnings.simplefilter("ignore", RuntimeWarning)  # about saving nothing to the disk
    from coopcut.monitors.visdom.server import Server, serve

    server = Server(assets, [opt.hostname, *opt.allow_host], opt.port)
    asyncio.run(serve(server, opt.hostname, opt.exit_when_idle, draw))
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
