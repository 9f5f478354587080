"""What the measures of speed and memory are told alike."""

import os
from argparse import Namespace
from collections.abc import Sequence

import torch

from coopcut.util.arguments import Parser, whole
from coopcut.util.errors import OptionError

MOST = 2**31 - 1  # of any number here


def add_machine(parser: Parser) -> None:
    """The width of the networks, the device, and the threads."""
    parser.add_argument("--width", type=positive, default=64, help="--ngf and --ndf [channels]")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=positive, default=os.cpu_count() or 1, help="threads of torch on the CPU")


def parse(parser: Parser, argv: Sequence[str]) -> Namespace:
    """The arguments. Raises `OptionError`, also for a GPU that is not there."""
    options: Namespace = parser.parse_args(list(argv))
    if options.device == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda: torch finds no GPU here; leave --device out")
    return options


def positive(text: str) -> int:
    """A whole number from 1 on."""
    return whole(text, 1, MOST)


def natural(text: str) -> int:
    """A whole number from 0 on."""
    return whole(text, 0, MOST)
