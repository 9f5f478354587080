"""Draw the toy data set "horse2zebra": plain horses in a meadow (A) and striped zebras in a savannah (B).

    python datasets/make_toy.py --out ./datasets/horse2zebra_toy --size 64 --train 200 --test 32 --seed 0

writes trainA, trainB (different scenes), testA, testB (the same scenes, so testB holds the true counterparts) and
looks.json (which of the eight looks every picture has). The same arguments give the same bytes.

    python datasets/make_toy.py --count RESULTS_FOLDER --out ./datasets/horse2zebra_toy

reads the translated testA pictures in RESULTS_FOLDER and prints how many show each look, how many looks are
covered, how often the look is the true one, and the distance to the true counterparts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING or __package__:
    from .toy import Settings, ToyError, classify_look, count_results, coverage, make_dataset, read_truth
else:  # run as a script: this file's folder is on the path, the repository root is not
    from toy import (
        Settings,
        ToyError,
        classify_look,
        count_results,
        coverage,
        make_dataset,
        read_truth,
    )

__all__ = ["Settings", "ToyError", "classify_look", "count_results", "coverage", "main", "make_dataset", "read_truth"]

PROGRAM = "make_toy.py"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage text, and exit with status 2."""
        self.exit(2, f"{PROGRAM}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="Draw the toy data set, or count the looks in translated images.")
    default = Settings()
    parser.add_argument("--out", type=Path, default=Path("datasets/horse2zebra_toy"), help="folder of the data set")
    parser.add_argument(
        "--size", type=int, default=default.size, help="width and height in pixels (default %(default)s)"
    )
    parser.add_argument(
        "--train", type=int, default=default.train, help="training images per domain (default %(default)s)"
    )
    parser.add_argument("--test", type=int, default=default.test, help="test pairs (default %(default)s)")
    parser.add_argument("--seed", type=int, default=default.seed, help="random seed, 0 or more (default %(default)s)")
    parser.add_argument(
        "--cue",
        type=float,
        default=default.cue,
        help="how much of its look a horse shows, from 0 to 1; below 1 the translation is harder (default %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace a toy data set made with other arguments")
    parser.add_argument(
        "--count",
        type=Path,
        metavar="RESULTS_FOLDER",
        help="count the looks in this folder of translated testA images instead of drawing",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, or 2 after one line on stderr."""
    args = _parser().parse_args(argv)
    try:
        if args.count is not None:
            print("\n".join(count_results(args.count, args.out).lines()))
            return 0
        settings = Settings(size=args.size, train=args.train, test=args.test, seed=args.seed, cue=args.cue)
        start = time.perf_counter()
        if make_dataset(args.out, settings, args.force):
            print(
                f"{args.out}: {2 * args.train} training and {2 * args.test} test images of {args.size} px "
                f"in {time.perf_counter() - start:.1f} s"
            )
        else:
            print(f"{args.out}: already drawn with these arguments; nothing to do")
    except KeyboardInterrupt:
        print(f"{PROGRAM}: error: interrupted", file=sys.stderr)
        return 130
    except ToyError as err:
        print(f"{PROGRAM}: error: {err}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
