"""The folder of a test bed: images of both domains, and `bed.json` with what is known of them."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coopcut.util.errors import DataError

RECORD = "bed.json"
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Settings:
    """size: pixels. images: training images of A. target: of B. test: test pairs. tail: class k comes tail^k as often.

    cue: how much of its look a source image of the drawn bed shows, 0 to 1.
    """

    size: int = 32
    images: int = 400
    target: int = 400
    test: int = 200
    tail: float = 1.0
    seed: int = 0
    cue: float = 0.25


@dataclass
class Bed:
    """What is known of a bed. classes: of each file, "testB/00001.png" say. scenes: what a drawn picture shows."""

    kind: str
    names: list[str]
    settings: dict[str, Any]
    classes: dict[str, int] = field(default_factory=dict)
    scenes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "Bed | None":
        """That of a data set, None if it is no bed. Raises `DataError` for a damaged record."""
        path = root / RECORD
        if not path.is_file():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}): delete {root} and make it again") from None


# folder of the bed, file number in it, picture [H, W] or [H, W, 3], its class, the scene that it shows
Drawn = tuple[str, int, Picture, int, Any]


def write_bed(out: Path, bed: Bed, pictures: Iterable[Drawn]) -> bool:
    """Write a bed, all or nothing; False if it is there already. Raises `DataError` if `out` holds something else."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: choose another --out")
    there = Bed.read(out) if out.exists() else None
    if there is not None:
        if (there.kind, there.settings) == (bed.kind, bed.settings):
            return False
        raise DataError(f"{out} holds another test bed ({there.kind}, {there.settings}): choose another --out")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty: choose another --out")
    staging = out.with_name(f".{out.name}.part{os.getpid()}")
    try:
        _write(staging, bed, pictures)
        if out.exists():
            out.rmdir()
        staging.rename(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}): choose another --out") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return True


def _write(root: Path, bed: Bed, pictures: Iterable[Drawn]) -> None:
    for folder, number, picture, label, scene in pictures:
        name = f"{folder}/{number:05d}.png"
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / name)
        bed.classes[name] = label
        if scene is not None:
            bed.scenes[name] = scene
    (root / RECORD).write_text(json.dumps(asdict(bed)) + "\n", encoding="utf-8")


def labels(number: int, weights: Mapping[int, float], rng: np.random.Generator) -> list[int]:
    """`number` classes in random order, each as often as its weight says, to the nearest image."""
    shares = np.array(list(weights.values())) / sum(weights.values()) * number
    counts = np.floor(shares).astype(int)
    for k in np.argsort(counts - shares, kind="stable")[: number - int(counts.sum())]:  # the largest remainders
        counts[k] += 1
    found = np.repeat(list(weights), counts)
    rng.shuffle(found)
    return [int(k) for k in found]


def plan(settings: Settings, classes: int) -> Iterator[tuple[str, int, int]]:
    """(split, number, class) of every image: trainA and trainB with a long tail, test and refB in equal shares."""
    rng = np.random.default_rng([settings.seed, 7])
    tail = {k: settings.tail**k for k in range(classes)}
    equal = dict.fromkeys(range(classes), 1.0)
    splits = {
        "trainA": (settings.images, tail),
        "trainB": (settings.target, tail),
        "test": (settings.test, equal),
        "refB": (400, equal),
    }
    for split, (number, weights) in splits.items():
        for index, label in enumerate(labels(number, weights, rng)):
            yield split, index, label
