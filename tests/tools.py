"""Helpers of the tests."""

import contextlib
import functools
import importlib.util
import io
import logging
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image

from data import DATASET_CHOICES
from models import MODELS, NETWORK_CHOICES
from options.option import Options
from options.parser import OptionParser
from util.cli import run_script

ROOT = Path(__file__).parents[1]


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


_TINY = (
    "--ngf 4 --ndf 4 --netF_nc 8 --num_patches 8 --netG resnet_4blocks --load_size 36 --crop_size 32 "
    "--num_threads 0 --gpu_ids -1 --display_id 0"
)
TINY = _TINY.split()  # networks and images as small as they go, on the CPU


@dataclass(frozen=True)
class Outcome:
    """What a script did: exit code, stdout, and stderr with Python's warnings."""

    code: int
    out: str
    err: str


@functools.cache
def script(name: str) -> ModuleType:
    """train.py or test.py as a module; by path, because `import test` finds Python's own tests."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *flags: object) -> Outcome:
    """Call a script as the command line does, in this process; whatever it lets escape fails the test."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)  # as strict as a real stdout
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    root, argv, deterministic = logging.getLogger(), sys.argv, torch.are_deterministic_algorithms_enabled()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # else pytest's would be closed
    sys.argv = [f"{name}.py", *map(str, flags)]
    code: object = None
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", DeprecationWarning)
            run_script(script(name).main)
    except SystemExit as end:
        code = end.code
    finally:
        root.handlers, sys.argv = handlers, argv
        root.setLevel(level)
        torch.use_deterministic_algorithms(deterministic)
    assert isinstance(code, int), code
    warned = "".join(f"{warning.category.__name__}: {warning.message}\n" for warning in caught)
    out.seek(0)
    err.seek(0)
    return Outcome(code, out.read(), err.read() + warned)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below `folder` with its bytes, every folder with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def write_image(path: Path, width: int, height: int, channels: int = 3, seed: int = 0) -> Path:
    """Write noise of any size in the format of the extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, width, height]).integers(0, 256, (height, width, channels), dtype=np.uint8)
    Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(path)
    return path


def truncate(path: Path, share: float = 0.5) -> Path:
    """Cut the end of a file off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
