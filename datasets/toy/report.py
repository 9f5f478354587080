"""Counts what a trained translator made of the test set: looks shown, true looks, distance to the counterparts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .classify import classify_look
from .errors import ToyError
from .looks import N_LOOKS, PATTERNS, coat_of, pattern_of
from .scene import VERSION, scene_from_truth
from .store import read_truth


@dataclass(frozen=True)
class Report:
    """What ``count_results`` found.

    Attributes:
        shown: pictures per look as classified, (N_LOOKS,).
        true: pictures per look as they should be, (N_LOOKS,).
        expected: test pictures in the data set, of which ``counted`` were found.
        hits: pictures whose look is the true one.
        rmse: root mean square difference to the true counterparts over all pixels, 0..255.
    """

    shown: NDArray[np.int64]
    true: NDArray[np.int64]
    expected: int
    hits: int
    rmse: float

    @property
    def counted(self) -> int:
        """Number of pictures found."""
        return int(self.shown.sum())

    @property
    def covered(self) -> int:
        """Number of looks shown at least once."""
        return int((self.shown > 0).sum())

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        rows = [f"{'look':<6}{'coat':<8}{'pattern':<9}{'true':>5}{'shown':>7}"]
        for look in range(N_LOOKS):
            name, pattern = coat_of(look).name, PATTERNS[pattern_of(look)]
            rows.append(f"{look:<6}{name:<8}{pattern:<9}{self.true[look]:>5}{self.shown[look]:>7}")
        return [
            *rows,
            f"images counted       {self.counted} of {self.expected}",
            f"looks covered        {self.covered} of {N_LOOKS}",
            f"true look            {100.0 * self.hits / self.counted:.1f} %",
            f"RMSE to counterpart  {self.rmse:.2f} of 255",
        ]


def read_picture(path: Path, flag: str) -> NDArray[np.uint8]:
    """Return an image file as (h, w, 3) uint8; raise ToyError naming ``flag`` if it cannot be read."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as err:
        raise ToyError(f"{flag}: cannot read the image {path}; translate it again or remove it") from err


def count_results(results: Path, dataset: Path) -> Report:
    """Compare translated test pictures, ``<stem>.png`` as in testA, with the toy data set they came from.

    Pictures of another size are resized.

    Raises:
        ToyError: a folder is missing, no file matches, or an image cannot be read.
    """
    if not results.is_dir():
        raise ToyError(f"--count: {results} is not a folder; give the folder that holds the translated test images")
    found = read_truth(dataset)
    if found.get("version") != VERSION:
        raise ToyError(
            f"--out: {dataset} was drawn by version {found.get('version')} of make_toy.py, this is version "
            f"{VERSION}; draw it again with --force"
        )
    truths = {Path(name).name: truth for name, truth in found["files"].items() if name.startswith("testB/")}
    names = [name for name in truths if (results / name).is_file()]
    if not names:
        raise ToyError(
            f"--count: no file in {results} has the name of one in {dataset / 'testA'}; "
            "give the folder that holds <name>.png for the test images"
        )
    shown, true, squares = [], [], []
    for name in names:
        image, truth = read_picture(results / name, "--count"), read_picture(dataset / "testB" / name, "--out")
        try:
            scene = scene_from_truth(truths[name])
        except ValueError as err:
            raise ToyError(
                f"--out: the record of {dataset} is damaged at testB/{name}: {err}; draw it again with --force"
            ) from err
        shown.append(classify_look(image, scene))
        true.append(scene.look)
        if image.shape != truth.shape:
            size = (truth.shape[1], truth.shape[0])
            image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
        squares.append(float(((image.astype(np.float64) - truth) ** 2).mean()))
    return Report(
        shown=np.bincount(shown, minlength=N_LOOKS),
        true=np.bincount(true, minlength=N_LOOKS),
        expected=len(truths),
        hits=sum(a == b for a, b in zip(shown, true, strict=True)),
        rmse=float(np.sqrt(np.mean(squares))),
    )
