"""Images in arrays: the files of MNIST (IDX), .npz files, and scikit-learn's digits."""

import gzip
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopcut.util.errors import DataError

IMAGES, LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"
MAGIC = {3: 0x0803, 1: 0x0801}  # unsigned bytes, by the number of dimensions
NPZ = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
FORM = "expected uint8 arrays [N, H, W], [N, H, W, 1] or [N, H, W, 3]"


@dataclass(frozen=True)
class Arrays:
    """Images [N, H, W] or [N, H, W, 3] of a file (or scikit-learn's), and their labels [N], if there are any."""

    file: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    held_out: bool = False  # whether they are those of the asked phase, of files that tell them apart


def idx_files(folder: Path) -> dict[str, Path]:
    """The image files of MNIST's kind in a folder, by what is before their type: train, t10k."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".gz")
        if name.endswith(IMAGES) and not name.startswith("."):
            found.setdefault(name.removesuffix(IMAGES), path)
    return found


def read_idx_folder(folder: Path, phase: str) -> Arrays:
    """The images of `train-...` or, in the phase test, `t10k-...`; if only one is there, that one."""
    files = idx_files(folder)
    ends = ("train",) if phase == "train" else ("t10k", "test")
    fitting = [name for name in files if name.endswith(ends)]
    if len(fitting) > 1 or (not fitting and len(files) > 1):
        raise DataError(f"{folder}: holds {', '.join(files)} (IDX files): keep those of one data set in a folder")
    chosen = fitting[0] if fitting else next(iter(files))
    path = files[chosen]
    labels = path.with_name(path.name.replace(IMAGES, LABELS))
    other = labels.with_name(labels.name.removesuffix(".gz") if labels.suffix == ".gz" else f"{labels.name}.gz")
    labels = labels if labels.is_file() else other
    y = _idx(labels, 1).astype(np.int64) if labels.is_file() else None
    return _checked(Arrays(str(path), _idx(path, 3), y, phase != "train" and bool(fitting)))


def _idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from None
    begin = 4 * (1 + dimensions)
    if len(content) < begin or struct.unpack(">I", content[:4])[0] != MAGIC[dimensions]:
        raise DataError(f"{path}: is no IDX file of {dimensions} dimensions of bytes, as MNIST has them")
    shape = struct.unpack(f">{dimensions}I", content[4:begin])
    if len(content) - begin != int(np.prod(shape, dtype=object)):
        said = "x".join(map(str, shape))
        raise DataError(f"{path}: holds {len(content) - begin} values, but its head says {said}; get the file again")
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)


def read_npz(path: Path, phase: str) -> Arrays:
    """Arrays `images` and, if there, `labels`; or x_train, y_train and x_test, y_test."""
    x: Any = None
    names, there = ("images", "labels"), list[str]()
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz file")
        with np.load(path, allow_pickle=False) as stored:
            there = stored.files
            if "images" not in there:
                names = NPZ["train" if phase == "train" else "test"]
                names = names if names[0] in there else NPZ["train"]
            x, y = stored.get(names[0]), stored.get(names[1])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as .npz ({str(error).splitlines()[0]})") from None
    if x is None:
        found = ", ".join(there[:8]) or "none"
        raise DataError(f"{path}: has no array 'images' (or x_train, x_test); there are: {found}")
    if y is not None and (y.ndim == 0 or y.dtype.kind not in "iu" or y.size != y.shape[0]):
        raise DataError(f"{path}: labels are {y.dtype} {list(y.shape)}: expected whole numbers [N]")
    labels = None if y is None else y.reshape(-1).astype(np.int64)
    return _checked(Arrays(str(path), x, labels, phase != "train" and names == NPZ["test"]))


def load_digits() -> Arrays:
    """Scikit-learn's 1797 digits of 8 x 8 pixels."""
    try:
        from sklearn import datasets
    except ImportError:
        raise DataError("--dataroot digits needs scikit-learn: pip install scikit-learn") from None
    found = datasets.load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)
    return Arrays("digits", images, found.target.astype(np.int64))


def _checked(arrays: Arrays) -> Arrays:
    x, y, file = arrays.images, arrays.labels, arrays.file
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)) or not x.size:
        raise DataError(f"{file}: images are {x.dtype} {list(x.shape)}: {FORM}, not empty")
    if y is not None and len(y) != len(x):
        raise DataError(f"{file}: {len(x)} images and {len(y)} labels")
    if y is not None and y.min() < 0:
        raise DataError(f"{file}: labels must not be negative, and one is {y.min()}")
    return Arrays(file, x[..., 0] if x.ndim == 4 and x.shape[3] == 1 else x, y, arrays.held_out)
