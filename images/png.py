"""PNG: what Pillow passes over, which is the low byte of 16-bit colors and the color key of some depths."""

from pathlib import Path

import imagecodecs
import numpy as np
from PIL import ImageFile

from coopcut.images.pixels import Pixels, integer_range

_DEEP = {"RGB;16B": 3, "RGBA;16B": 3, "LA;16B": 1}  # Pillow's names of several samples of 16 bits -> colors
_SHALLOW = {"1": 1, "L;2": 2, "L;4": 4}  # -> bits


def read_deep_color(path: str | Path, img: ImageFile.ImageFile) -> Pixels | None:
    """All 16 bits of a file that Pillow has opened, not loaded; None if its pixels are not several samples of so many.

    Raises `RuntimeError` for a damaged file.
    """
    colors = _DEEP.get(_kind(img))
    if colors is None:
        return None
    samples = imagecodecs.png_decode(Path(path).read_bytes())  # [H, W, S], uint16
    values = samples[:, :, 0] if colors == 1 else samples[:, :, :colors]
    key, alpha = img.info.get("transparency"), None
    if samples.shape[2] > colors:
        alpha = samples[:, :, colors].astype(np.float32) / 65535
    elif key is not None:
        alpha = (values != np.array(key)).any(axis=2).astype(np.float32)
    return Pixels(values, integer_range(values.dtype, 16), 16, alpha)


def transparent_color(img: ImageFile.ImageFile) -> int | tuple[int, ...] | None:
    """The transparent color of a file that is not loaded, in the values that its loaded pixels will have; or None.

    Pillow gives it as stored, where only the bits of the depth count, and pixels from 0 to 255 for all depths below 16.
    """
    kind, key = _kind(img), img.info.get("transparency")
    if isinstance(key, tuple):
        return tuple(value & 255 for value in key)
    if not isinstance(key, int) or kind not in (*_SHALLOW, "L"):
        return key
    most = 2 ** _SHALLOW.get(kind, 8) - 1
    return (key & most) * (255 // most)


def _kind(img: ImageFile.ImageFile) -> str:
    """The layout of the stored samples, as Pillow calls it."""
    return str(img.tile[0][3])
