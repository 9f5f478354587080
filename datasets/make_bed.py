"""Make a test bed, a data set with known classes: python -m coopcut.datasets.make_bed digits --out ./datasets/digits

drawn: plain horses to striped zebras, eight looks. digits: gray digits to digits in the color of their class. Both have
trainA, trainB (unpaired), testA, testB (the true counterparts), trueB (those of trainA, which training never sees),
refB (further target images, to measure against) and bed.json. The same arguments give the same images.
"""

import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from coopcut.datasets.beds.digits import digits
from coopcut.datasets.beds.drawn import drawn
from coopcut.datasets.beds.folder import Settings, write_bed
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import OptionError

log = logging.getLogger("make_bed")

BEDS = {"drawn": drawn, "digits": digits}
HELP = {
    "size": "width and height in pixels",
    "images": "training images of domain A",
    "target": "training images of domain B",
    "test": "test pairs, in equal shares of the classes",
    "tail": "class k comes tail^k times as often as class 0 in training, in both domains",
    "seed": "random seed",
    "cue": "drawn: how much of its look a horse shows, 0 to 1",
}


def main(argv: Sequence[str]) -> int:
    """Make the bed, if it is not there. Returns the exit code."""
    parser = Parser(__doc__, "datasets.make_bed")
    parser.add_argument("bed", choices=list(BEDS))
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    for one in fields(Settings):
        text = f"{HELP[one.name]} [default: {one.default}]"
        parser.add_argument(f"--{one.name}", type=type(one.default), default=one.default, help=text)
    told = parser.parse_args(list(argv))
    settings = Settings(**{one.name: getattr(told, one.name) for one in fields(Settings)})
    check(settings)
    new = write_bed(told.out, *BEDS[told.bed](settings))
    log.info("%s: %s", told.out, "made" if new else "there already")
    return 0


def check(settings: Settings) -> None:
    """Raise `OptionError` for what cannot be drawn."""
    if not 16 <= settings.size <= 2048:
        raise OptionError(f"--size {settings.size}: it must be from 16 to 2048 pixels")
    for name in ("images", "target", "test"):
        if getattr(settings, name) < 1:
            raise OptionError(f"--{name} {getattr(settings, name)}: it must be 1 or more")
    for name in ("tail", "cue"):
        if not 0 <= getattr(settings, name) <= 1:
            raise OptionError(f"--{name} {getattr(settings, name)}: it must be from 0 to 1")
    if settings.seed < 0:
        raise OptionError(f"--seed {settings.seed}: it must be 0 or more")


if __name__ == "__main__":
    run_script(main)
