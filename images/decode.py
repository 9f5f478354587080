"""What an image file holds, whatever its format, and the messages for a file that cannot be read."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError
from tifffile import TiffPage

from coopcut.images.pixels import Pixels, assumed_range, integer_range
from coopcut.images.png import read_deep_color, transparent_color
from coopcut.images.ppm import pictures, read_raw
from coopcut.images.tiff import MAGIC, is_pillows, read_page, tiff_page, type_without_range
from coopcut.util.errors import DataError
from coopcut.util.memory import is_out_of_memory

# By content, not by name. Naming the formats keeps out those that run other programs (EPS) or are not pictures (PDF).
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM")

# Pillow refuses a sound PNG file for a color profile or a text of more than 1 MB, which slide scanners write.
_LARGEST_TEXT = 2**28  # bytes
PngImagePlugin.MAX_TEXT_CHUNK = _LARGEST_TEXT
PngImagePlugin.MAX_TEXT_MEMORY = 2 * _LARGEST_TEXT
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # of a damaged file it says more than the one line of ours

_ORIENTATION_TAG, _BITS_TAG, _PHOTOMETRIC_TAG = 0x0112, 0x0102, 0x0106


def check_header(path: str | Path) -> None:
    """Raise `DataError` unless the file begins like one image. Fast: no pixel is decoded, so truncation goes unseen."""
    with _damage_told(path), _opened(path):
        pass


def untold_type(path: str | Path) -> str | None:
    """The type of the numbers in a file that does not tell black and white, int32 say; None if it does. No decoding."""
    with _damage_told(path):
        if not _is_tiff(path):
            return None
        with tiff_page(path) as page:
            return type_without_range(page)


def decode(path: str | Path) -> tuple[Image.Image | Pixels, int]:
    """What the one picture of a file holds, in 8 bits or as numbers, and its EXIF orientation (1 to 8).

    Raises `DataError` for a file that is missing, damaged, too large, no image, or more than one; `MemoryError`.
    """
    with _damage_told(path), _opened(path) as img:
        if isinstance(img, TiffPage):
            return read_page(img)
        key, pixels = None, None
        if img.format == "PNG":
            key, pixels = transparent_color(img), read_deep_color(path, img)
        elif img.format == "PPM":
            pixels = read_raw(path, img)
        if pixels is not None:
            return pixels, orientation(img)
        img.load()
        if key is not None:
            img.info["transparency"] = key
        return img, orientation(img)


@contextmanager
def _opened(path: str | Path) -> Iterator[ImageFile.ImageFile | TiffPage]:
    """The file opened by Pillow, or the page of a TIFF file that is not left to it.

    Raises `DataError` for a file of several frames.
    """
    number = 0
    if _is_tiff(path):
        with tiff_page(path) as page:
            if not is_pillows(page, path):
                yield page
                return
            number = page.index
    with Image.open(path, formats=_FORMATS) as img:
        frames = 1
        if img.format == "TIFF":
            img.seek(number)
        elif img.format == "PPM":
            frames = pictures(path, img)
        elif img.format != "MPO":  # of a JPEG file with others inside, the first is the photograph
            frames = getattr(img, "n_frames", 1)
        if frames > 1:
            raise DataError(
                f"{path}: holds {frames} frames, of which only one would be used: save each as a separate file"
            )
        yield img


def _is_tiff(path: str | Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in MAGIC


@contextmanager
def _damage_told(path: str | Path) -> Iterator[None]:
    """What readers say about the file in the block becomes a `DataError`, but not what is no fault of the file."""
    try:
        if os.path.getsize(path) == 0:
            raise DataError(f"{path}: empty file (0 bytes); replace or remove it")
        yield
    except (DataError, MemoryError, Warning):  # a warning is raised where the user asked for that (python -W error)
        raise
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: not a readable JPEG, PNG, BMP, TIFF, WebP or PPM image; convert or remove it"
        ) from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: too large, more than {limit} pixels; cut it into smaller images") from error
    except Exception as error:  # for a damaged file, decoders raise almost any type
        said = reason(error)
        if "MAX_TEXT" in said or "text chunks" in said:
            limit = PngImagePlugin.MAX_TEXT_CHUNK
            raise DataError(
                f"{path}: its color profile or text chunks are too large (more than {limit} bytes); remove them"
            ) from error
        if is_out_of_memory(error):
            raise MemoryError(said) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path}: cannot be read ({said}); check the file and its permissions") from error
        raise DataError(f"{path}: damaged or unreadable image ({said}); replace or remove it") from error


def reason(error: Exception) -> str:
    """What an exception says, in one line and without the path that `OSError` adds."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]


def orientation(img: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none."""
    try:
        return int(img.getexif().get(_ORIENTATION_TAG, 1))
    except MemoryError:
        raise
    except Exception:  # broken EXIF data beside sound pixels is common, and no reason to refuse the picture
        return 1


def pixels_of(img: Image.Image) -> Pixels:
    """The values of a loaded image of Pillow."""
    if img.mode.startswith("I") or img.mode == "F":
        values: np.ndarray[Any, Any] = np.asarray(img)
        bits, negative = _of_tiff(img) if img.mode.startswith("I") else (32, False)
        widened = img.mode == "I" and img.format == "PPM"  # 16 bits in 32
        if img.mode.startswith("I;") or widened:
            values = values.astype(np.uint16)
        key = img.info.get("transparency")
        alpha = None if key is None else (values != key).astype(np.float32)
        return Pixels(values, assumed_range(values.dtype, bits), bits, alpha, negative)
    if img.has_transparency_data:
        four = np.asarray(img.convert("RGBA"))
        return Pixels(four[:, :, :3], integer_range(four.dtype, 8), 8, four[:, :, 3].astype(np.float32) / 255)
    values = np.asarray(img if img.mode in ("L", "RGB") else img.convert("L" if img.mode == "1" else "RGB"))
    return Pixels(values, integer_range(values.dtype, 8), 8)


def _of_tiff(img: Image.Image) -> tuple[int, bool]:
    """Of deep gray: its bits (16, or the 12 of a TIFF file that Pillow leaves as they are), and whether 0 is white."""
    tags = getattr(img, "tag_v2", {})
    bits = tags.get(_BITS_TAG, (16,))[0]
    return bits if bits < 16 else 16, bits <= 16 and tags.get(_PHOTOMETRIC_TAG, 1) == 0
