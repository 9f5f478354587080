"""A set of images to be measured: its files, their feature vectors and thumbnails, and what is wrong with some."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from coopcut.images.io import read_image
from coopcut.images.listing import OTHER_PICTURES, list_files, list_images
from coopcut.images.names import sort_key
from coopcut.images.pixels import Range
from coopcut.inference.results import METRICS_PLOT, SHEET
from coopcut.inference.translated import LABELS
from coopcut.metrics.cache import FeatureCache
from coopcut.metrics.features import BATCH, Features
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
THUMBNAIL = 32  # pixels
NAMED = 5  # files named in a message
WRITTEN = (SHEET, METRICS_PLOT)  # pictures that test.py and evaluate.py make of translations


@dataclass
class ImageSet:
    """What was measured of a folder's images, in the order of their keys.

    features: [n, d]. thumbnails: uint8 [n, 32, 32, 3]. sizes: [n, 2], width and height. gray: [n], whether an image
    has no color. skipped: one line for each file that could not be read. left_out: what else was not measured.
    """

    folder: Path
    keys: list[str]
    features: NDArray[np.float64]
    thumbnails: Picture
    sizes: NDArray[np.int64]
    gray: NDArray[np.bool_]
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def describe(self) -> str:
        """For example '200 images of 64x64 in ./testB'; '... of 32x32 to 64x48 ...' for mixed sizes."""
        sizes = sorted({(int(w), int(h)) for w, h in self.sizes}, key=lambda size: size[0] * size[1])
        ends = sizes if len(sizes) == 1 else [sizes[0], sizes[-1]]
        text = f"{len(self)} images of {' to '.join(f'{w}x{h}' for w, h in ends)} in {self.folder}"
        folders = len({name.rpartition("/")[0] for name in self.keys} - {""})
        details = [f"with {folders} sub-folder{'s' * (folders > 1)}"] if folders else []
        details += [f"{len(self.skipped)} unreadable"] if self.skipped else []
        details += [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        return text + (f" ({'; '.join(details)})" if details else "")


def measure(
    name: str,
    folder: Path,
    paths: Mapping[str, str],
    features: Features,
    cache: FeatureCache | None = None,
    value_range: Range | None = None,
) -> ImageSet:
    """The images `paths` (key -> file) of `folder`; one that cannot be read is named in a warning and left out.

    name: what the set is called in messages. value_range: as `read_image` takes it. Raises `DataError` if fewer than
    two images are left, or if features are not finite.
    """
    others = left_out(folder)
    if others:
        log.warning("%s: %s: not measured: %s", name, folder, ", ".join(others))
    key = cache.key(features, paths, value_range) if cache else ""
    found = cache.load(key, len(paths), features.dims) if cache else None
    if found is not None:
        return ImageSet(folder, list(paths), **found, left_out=others)
    result = _measured(folder, paths, features, value_range)
    result.left_out = others
    for line in result.skipped:
        log.warning("skipped: %s", line)
    if len(result) < 2:
        left = f"{len(result)} of {len(paths)} images can be read" if result.skipped else "holds 1 image"
        raise DataError(f"{name}: {folder}: {left}; at least 2 are needed to compare distributions")
    broken = ~np.isfinite(result.features).all(axis=1)
    if broken.any():
        first = paths[result.keys[int(np.argmax(broken))]]
        raise DataError(
            f"{name}: features ({features.name}) of {int(broken.sum())} of {len(result)} images are NaN or infinite "
            f"(the first: {first}): check the network of --features and its --weights"
        )
    if cache and not result.skipped:  # a file that cannot be read must be told of every time
        cache.save(key, result.features, result.thumbnails, result.sizes, result.gray)
    return result


def _measured(folder: Path, paths: Mapping[str, str], features: Features, value_range: Range | None) -> ImageSet:
    keys: list[str] = []
    skipped: list[str] = []
    vectors = [np.zeros((0, features.dims))]
    thumbnails, sizes, gray = [], [], []
    waiting: list[Picture] = []
    for key, path in tqdm(paths.items(), desc=f"measuring {folder.name}", unit="image", leave=False, disable=None):
        try:
            picture = read(path, value_range)
        except DataError as error:
            skipped.append(str(error))
            continue
        keys.append(key)
        sizes.append((picture.shape[1], picture.shape[0]))
        gray.append(bool((picture == picture[:, :, :1]).all()))
        thumbnails.append(thumbnail(picture))
        waiting.append(picture)
        if len(waiting) == BATCH:
            vectors.append(features(waiting))
            waiting.clear()
    vectors.append(features(waiting))
    return ImageSet(
        folder,
        keys,
        np.concatenate(vectors),
        np.stack(thumbnails) if thumbnails else np.zeros((0, THUMBNAIL, THUMBNAIL, 3), np.uint8),
        np.array(sizes, np.int64).reshape(-1, 2),
        np.array(gray, bool),
        skipped,
    )


def by_name(folder: Path) -> dict[str, str]:
    """The images of `folder` by their path below it, without those that are `WRITTEN`.

    Raises `DataError` if there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: {'is a file, not a folder' if folder.is_file() else 'no such folder'}")
    found = {Path(path).relative_to(folder).as_posix(): path for path in list_images(folder)}
    for name in _written(folder):
        found.pop(name, None)
    if not found:
        raise DataError(f"{folder}: no images in this folder")
    return found


def in_order(paths: Mapping[str, str]) -> dict[str, str]:
    """The same, in an order that extensions, _A and _B do not change."""
    return {name: paths[name] for name in sorted(paths, key=sort_key)}


def left_out(folder: Path) -> list[str]:
    """What is there and is no image of the set: pictures that are `WRITTEN`, and numbers of files of kinds not read."""
    kinds = Counter(Path(path).suffix.lower() for path in list_files(folder))
    return [*_written(folder), *(f"{kinds[kind]} {kind}" for kind in OTHER_PICTURES if kinds[kind])]


def _written(folder: Path) -> list[str]:
    if folder.name in LABELS and folder.absolute().parent.name == "images":  # there it is the name of a translation
        return []
    return [name for name in WRITTEN if (folder / name).is_file()]


def readable(
    files: Sequence[Sequence[str]], skipped: list[str], read: Callable[[str], Picture]
) -> Iterator[list[Picture]]:
    """For each row of files its pictures as `read` gives them, those after the first at the size of the first.

    What cannot be read is left out; its line is added to `skipped`, with a warning if it is not there yet.
    """
    for row in tqdm(files, desc="comparing", unit="image", leave=False, disable=None):
        try:
            first = read(row[0])
            yield [first, *(resized(read(path), first) for path in row[1:])]
        except DataError as error:
            if str(error) not in skipped:
                log.warning("skipped: %s", error)
                skipped.append(str(error))


def read(path: str | Path, value_range: Range | None = None) -> Picture:
    """An image as uint8 [H, W, 3]; see `read_image`."""
    return np.asarray(read_image(path, 3, value_range))


def thumbnail(picture: Picture) -> Picture:
    """uint8 [32, 32, 3], each value the mean of the pixels that it covers."""
    return np.asarray(Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def resized(image: Picture, like: Picture) -> Picture:
    """`image` at the size of `like`, by bicubic interpolation."""
    if image.shape == like.shape:
        return image
    return np.asarray(Image.fromarray(image).resize((like.shape[1], like.shape[0]), Image.Resampling.BICUBIC))


def mean_image(pictures: Iterable[Picture]) -> Picture:
    """The mean of all pictures, at the size of the first one. `ValueError` if there are none."""
    first: Picture | None = None
    total, number = np.zeros(()), 0
    for picture in pictures:
        first = picture if first is None else first
        total = total + resized(picture, first).astype(np.float64)
        number += 1
    if not number:
        raise ValueError("no pictures to take the mean of")
    return np.rint(total / number).astype(np.uint8)


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
