"""A folder of images to be measured, and what was measured of it: feature vectors, thumbnails, and what is wrong."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from coopcut.images.io import read_image, to_image
from coopcut.images.listing import count_other_pictures, list_files, list_images
from coopcut.images.names import sort_key
from coopcut.images.pixels import Range
from coopcut.inference.results import METRICS_PLOT, SHEET
from coopcut.inference.translated import LABELS, translated_images
from coopcut.metrics.cache import FeatureCache
from coopcut.metrics.features import BATCH, Features
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
THUMBNAIL = 32  # pixels
NAMED = 5  # files named in a message
WRITTEN = (SHEET, METRICS_PLOT)  # pictures that test.py and evaluate.py make of translations


@dataclass(frozen=True)
class Folder:
    """flag: what messages call the folder. value_range: black and white in its files, as `read_image` takes it."""

    flag: str
    path: Path
    value_range: Range | None = None

    @cached_property
    def paths(self) -> dict[str, str]:
        """The images by their path below the folder, without those that are `WRITTEN`.

        In an order that extensions, _A and _B do not change. Raises `DataError` if there is no such folder, or no image
        in it.
        """
        if not self.path.is_dir():
            raise DataError(f"{self.path}: {'is a file, not a folder' if self.path.is_file() else 'no such folder'}")
        found = {Path(path).relative_to(self.path).as_posix(): path for path in list_images(self.path)}
        names = sorted(found.keys() - set(self._written()), key=sort_key)
        if not names:
            raise DataError(f"{self.path}: no images in this folder")
        return {name: found[name] for name in names}

    @cached_property
    def names(self) -> dict[str, str]:
        """The images -> their names; of pictures that test.py wrote those of the images that it read."""
        return {name: name for name in self.paths} | translated_images(self.path)

    def left_out(self) -> list[str]:
        """What is there but not part of the set: pictures that are `WRITTEN`, and counts of unsupported types."""
        return [*self._written(), *count_other_pictures(list_files(self.path))]

    def read(self, name: str) -> Picture:
        """An image as uint8 [H, W, 3]."""
        return read(self.paths[name], self.value_range)

    def _written(self) -> list[str]:
        if self.path.name in LABELS and self.path.absolute().parent.name == "images":  # there it names a translation
            return []
        return [name for name in WRITTEN if (self.path / name).is_file()]


class Held(Protocol):
    """Images by number, [C, H, W] in [-1, 1], and a name for each; what `data.HeldOutSamples` is."""

    @property
    def paths(self) -> Mapping[str, list[str]]: ...

    def read(self, domain: str, index: int) -> Tensor: ...


@dataclass(frozen=True)
class Learned(Folder):
    """The images that samples are measured against, as the generator saw them: cut and scaled."""

    images: Held | None = None

    @cached_property
    def paths(self) -> dict[str, str]:
        assert self.images is not None
        return {name: name for name in self.images.paths["B"]}

    @cached_property
    def names(self) -> dict[str, str]:
        return self.paths

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each image by its name."""
        return {name: number for number, name in enumerate(self.paths)}

    def left_out(self) -> list[str]:
        return []

    def read(self, name: str) -> Picture:
        assert self.images is not None
        return np.asarray(to_image(self.images.read("B", self.numbers[name])).convert("RGB"))


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
        details = [f"with {folders} subfolder{'s' * (folders > 1)}"] if folders else []
        details += [f"{len(self.skipped)} unreadable"] if self.skipped else []
        details += [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        return text + (f" ({'; '.join(details)})" if details else "")


def measure(folder: Folder, features: Features, cache: FeatureCache | None = None) -> ImageSet:
    """The images of `folder`; one that cannot be read is named in a warning and left out.

    Raises `DataError` if fewer than two images are left, or if features are not finite.
    """
    name, left_out = f"{folder.flag}: {folder.path}", folder.left_out()
    if left_out:
        log.warning("%s: not measured: %s", name, ", ".join(left_out))
    key = cache.key(features, folder.paths, folder.value_range) if cache else ""
    found = cache.load(key, len(folder.paths), features.dims) if cache else None
    if found is not None:
        return ImageSet(folder.path, list(folder.paths), **found, left_out=left_out)
    result = _measured(folder, features)
    result.left_out = left_out
    for line in result.skipped:
        log.warning("skipped: %s", line)
    if len(result) < 2:
        left = f"{len(result)} of {len(folder.paths)} images can be read" if result.skipped else "holds 1 image"
        raise DataError(f"{name}: {left}; at least 2 are needed to compare distributions")
    broken = ~np.isfinite(result.features).all(axis=1)
    if broken.any():
        first = folder.paths[result.keys[int(np.argmax(broken))]]
        raise DataError(
            f"{folder.flag}: features ({features.name}) of {int(broken.sum())} of {len(result)} images are NaN or "
            f"infinite (the first: {first}): check the network of --features and its --weights"
        )
    if cache and not result.skipped:  # a file that cannot be read must be told of every time
        cache.save(key, result)
    return result


def _measured(folder: Folder, features: Features) -> ImageSet:
    keys, skipped, sizes, gray = list[str](), list[str](), list[tuple[int, ...]](), list[bool]()
    vectors, thumbnails = [np.zeros((0, features.dims))], [np.zeros((0, THUMBNAIL, THUMBNAIL, 3), np.uint8)]
    waiting: list[Picture] = []
    for key in tqdm(folder.paths, desc=f"measuring {folder.path.name}", unit="image", leave=False, disable=None):
        try:
            picture = folder.read(key)
        except DataError as error:
            skipped.append(str(error))
            continue
        keys.append(key)
        sizes.append(picture.shape[1::-1])
        gray.append(bool((picture == picture[:, :, :1]).all()))
        thumbnails.append(thumbnail(picture)[None])
        waiting.append(picture)
        if len(waiting) == BATCH:
            vectors.append(features(waiting))
            waiting.clear()
    vectors.append(features(waiting))
    arrays = np.concatenate(vectors), np.concatenate(thumbnails), np.array(sizes, np.int64), np.array(gray, bool)
    return ImageSet(folder.path, keys, *arrays, skipped)


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


def some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
