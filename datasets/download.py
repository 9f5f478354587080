"""Download data sets for generators of images: python -m coopcut.datasets.download mnist cifar10 stl10

Each into a folder of its name in --out. mnist: its IDX files, to be named by --dataroot. cifar10: cifar10.npz with
x_train, y_train, x_test and y_test. stl10: PNG files in train/<class>/ and test/<class>/. Needs a network; nothing is
left half done.
"""

import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import DataError

log = logging.getLogger("download")


def main(argv: Sequence[str]) -> int:
    """Download what is not there. Returns the exit code."""
    parser = Parser(__doc__, "datasets.download")
    parser.add_argument("data", nargs="+", choices=list(KINDS))
    parser.add_argument(
        "--out", type=Path, default=Path("datasets"), help="folder of the data sets [default: datasets]"
    )
    told = parser.parse_args(list(argv))
    for name in told.data:
        if (told.out / name).exists():
            log.info("%s: there already", told.out / name)
        else:
            download(name, told.out)
    return 0


def download(name: str, out: Path) -> None:
    """Make the folder `out`/`name`, whole or not at all. Raises `DataError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=out) as folder:
            made, raw = Path(folder) / "made", Path(folder) / "raw"
            made.mkdir()
            KINDS[name](raw, made)
            made.rename(out / name)
    except OSError as error:  # of the disk or of the network
        raise DataError(f"{name} cannot be downloaded to {out} ({error}): check network and disk") from None
    except RuntimeError as error:  # torchvision's, for what it cannot find or what is damaged
        raise DataError(f"{name} cannot be downloaded ({str(error).splitlines()[0]}): try again later") from None
    log.info("%s: done", out / name)


def mnist(raw: Path, made: Path) -> None:
    """The IDX files as they are published."""
    from torchvision.datasets import MNIST

    MNIST(str(raw), download=True)
    for path in sorted((raw / "MNIST" / "raw").glob("*.gz")):
        shutil.move(path, made / path.name)


def cifar10(raw: Path, made: Path) -> None:
    """One .npz file of both parts."""
    from torchvision.datasets import CIFAR10

    arrays: dict[str, Any] = {}
    for part, train in (("train", True), ("test", False)):
        found = CIFAR10(str(raw), train=train, download=True)
        arrays |= {f"x_{part}": np.asarray(found.data, np.uint8), f"y_{part}": np.asarray(found.targets, np.int64)}
    np.savez(made / "cifar10.npz", **arrays)


def stl10(raw: Path, made: Path) -> None:
    """A folder of PNG files for each class."""
    from torchvision.datasets import STL10

    for part in ("train", "test"):
        found = STL10(str(raw), split=part, download=True)
        for number, (image, label) in enumerate(zip(found.data, found.labels, strict=True)):
            path = made / part / found.classes[label] / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)


KINDS = {"mnist": mnist, "cifar10": cifar10, "stl10": stl10}

if __name__ == "__main__":
    run_script(main)
