"""PGM and PPM: values with a largest one other than 255, and how many pictures a file holds."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from coopcut.images.pixels import Pixels


def read_raw(path: str | Path, img: ImageFile.ImageFile) -> Pixels | None:
    """The values of a file that Pillow has opened, not loaded; None for one of 8 bits or of 1 bit.

    Pillow would scale them, those of deep color to 8 bits. Raises `EOFError` for a file that ends too early.
    """
    most = _largest(img)
    if most is None or most == 255:
        return None
    samples = 3 if img.mode == "RGB" else 1
    shape = (img.height, img.width, 3) if samples == 3 else (img.height, img.width)
    number, kind = img.height * img.width * samples, np.dtype(">u2" if most > 255 else "u1")
    values: NDArray[Any]
    if img.tile[0].codec_name == "ppm_plain":
        text = re.sub(rb"#[^\r\n]*", b"", Path(path).read_bytes()[img.tile[0].offset :])
        values = np.array(text.split()[:number], dtype=np.int64)
        if values.size and not 0 <= values.min() <= values.max() <= most:
            raise ValueError(f"a value is not in 0 to {most}")
        values = values.astype(kind)
    else:
        values = np.fromfile(path, kind, number, offset=img.tile[0].offset)
    if values.size < number:
        raise EOFError("the file ends before its last pixel")
    return Pixels(values.astype(kind.newbyteorder("=")).reshape(shape), (0, most), most.bit_length())


def pictures(path: str | Path, img: ImageFile.ImageFile) -> int:
    """How many pictures of the size of the first one a binary file holds, one behind the other; 1 for other files."""
    most = _largest(img)
    if most is None or img.tile[0].codec_name == "ppm_plain":
        return 1
    pixels = img.height * img.width * (3 if img.mode == "RGB" else 1) * (2 if most > 255 else 1)
    return max(1, os.path.getsize(path) // (img.tile[0].offset + pixels))


def _largest(img: ImageFile.ImageFile) -> int | None:
    """The value that is white in a file of gray or color; None for other kinds."""
    codec, arguments = img.tile[0].codec_name, img.tile[0].args
    if codec in ("ppm", "ppm_plain") and isinstance(arguments, tuple):
        return int(arguments[1])
    if codec == "raw" and arguments in ("L", "RGB", "I;16B"):
        return 65535 if arguments == "I;16B" else 255
    return None
