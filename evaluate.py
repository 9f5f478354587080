"""Score translations against the truth: python evaluate.py --results results/maps/test_latest --truth maps/testB

Prints the errors of the translations and, for comparison, of two translators that learn nothing: the input unchanged
(--inputs) and the mean image of the target domain for every input (--train).
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from util.arguments import Parser
from util.cli import run_script
from util.errors import DataError
from util.images import list_images, read_image
from util.metrics.paired import HEADER, paired_errors

log = logging.getLogger("evaluate")
Picture = NDArray[np.uint8]


def main(argv: Sequence[str]) -> int:
    """Parse, compare, print. Returns the exit code."""
    parser = Parser(__doc__)
    parser.add_argument("--results", required=True, type=Path, help="folder that test.py wrote, or one with images")
    parser.add_argument(
        "--truth", required=True, type=Path, help="folder with the counterparts: <name>, or N_B for N_A"
    )
    parser.add_argument("--inputs", type=Path, help="folder with the inputs: score them unchanged too")
    parser.add_argument("--train", type=Path, help="folder with target training images: score their mean too")
    opt = parser.parse_args(list(argv))
    translations = opt.results / "images/fake_B" if (opt.results / "images/fake_B").is_dir() else opt.results
    truth = by_key(opt.truth)
    lines = [HEADER, paired_errors(pairs(by_key(translations), truth, translations)).line("translations")]
    if opt.inputs:
        lines.append(paired_errors(pairs(by_key(opt.inputs), truth, opt.inputs)).line("input unchanged"))
    if opt.train:
        mean = mean_image(opt.train)
        lines.append(
            paired_errors((resized(mean, picture), picture) for picture in map(read, truth.values())).line("mean")
        )
    log.info("%s", "\n".join(lines))
    return 0


def by_key(folder: Path) -> dict[str, str]:
    """The images of `folder` by their name without extension and without a trailing _A or _B."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found: dict[str, str] = {}
    for path in list_images(folder):
        key = re.sub(r"_[AB]$", "", str(Path(path).relative_to(folder).with_suffix("")))
        if key in found:
            raise DataError(f"{path} and {found[key]} both are the image '{key}': move one of them away")
        found[key] = path
    if not found:
        raise DataError(f"{folder}: no images in this folder")
    return found


def pairs(images: dict[str, str], truth: dict[str, str], folder: Path) -> Iterator[tuple[Picture, Picture]]:
    """The images that have a counterpart, with it, brought to its size. Raises `DataError` if none has."""
    common = sorted(images.keys() & truth.keys())
    if not common:
        raise DataError(f"{folder}: no image there has the name of a counterpart (for example {next(iter(truth))})")
    if len(common) < len(images):
        log.warning("%s: %d of %d images have no counterpart", folder, len(images) - len(common), len(images))
    for key in common:
        picture = read(truth[key])
        yield resized(read(images[key]), picture), picture


def read(path: str) -> Picture:
    """An image as uint8 [H, W, 3]."""
    return np.asarray(read_image(path, 3))


def resized(image: Picture, like: Picture) -> Picture:
    """`image` at the size of `like`, by bicubic interpolation."""
    if image.shape == like.shape:
        return image
    return np.asarray(Image.fromarray(image).resize((like.shape[1], like.shape[0]), Image.Resampling.BICUBIC))


def mean_image(folder: Path) -> Picture:
    """The mean of all images of a folder, at the size of the first one."""
    paths = list_images(folder) if folder.is_dir() else []
    if not paths:
        raise DataError(f"{folder}: no images in this folder")
    first = read(paths[0])
    total = np.zeros(first.shape, np.float64)
    for path in paths:
        total += resized(read(path), first)
    return np.rint(total / len(paths)).astype(np.uint8)


if __name__ == "__main__":
    run_script(main)
