"""Helpers of the tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data import DATASET_CHOICES
from models import MODELS, NETWORK_CHOICES
from options.option import Options
from options.parser import OptionParser


def train_options(argv: Sequence[str]) -> Options:
    """Options of a training, from the model `cut` unless `argv` says otherwise."""
    return OptionParser(True, MODELS, NETWORK_CHOICES | DATASET_CHOICES).parse(["--dataroot", "./datasets/none", *argv])


def make_images(folder: Path, number: int, size: int, seed: int = 0) -> list[Path]:
    """Write `number` coloured noise images of size x size pixels as PNG; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, number, size])
    paths = [folder / f"{index}.png" for index in range(number)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    return paths
