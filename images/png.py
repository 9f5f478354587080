"""PNG: what Pillow passes over, which is the low byte of 16-bit colors and the color key of some depths."""

import struct
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from coopcut.images.pixels import Pixels, integer_range

_GRAY, _RGB, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6  # "color types" of the format


@dataclass(frozen=True)
class PngHeader:
    """depth: bits of a sample. color: color type. key: the color that is transparent, as stored; or None."""

    depth: int
    color: int
    key: tuple[int, ...] | None

    @property
    def deep_color(self) -> bool:
        """Whether pixels have several samples of 16 bits, of which Pillow drops the low byte."""
        return self.depth == 16 and self.color in (_RGB, _GRAY_ALPHA, _RGB_ALPHA)

    @property
    def pillows_key(self) -> int | tuple[int, ...] | None:
        """The key in the values that Pillow gives: 0 to 255 for all depths below 16."""
        if self.key is None:
            return None
        scale = 255 // (2**self.depth - 1) if self.depth < 8 else 1
        values = tuple(value * scale for value in self.key)
        return values if self.color == _RGB else values[0]


def png_header(path: str | Path) -> PngHeader:
    """Read up to the first pixels. Raises `struct.error` for a file that ends before, and `ValueError` for no PNG."""
    with open(path, "rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            raise ValueError("not a PNG file")
        depth, color, key = 0, 0, None
        while True:
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"IHDR":
                _, _, depth, color, *_ = struct.unpack(">IIBBBBB", file.read(length))
            elif kind == b"tRNS" and color in (_GRAY, _RGB):
                number = 1 if color == _GRAY else 3
                stored = struct.unpack(f">{number}H", file.read(length)[: 2 * number])
                key = tuple(value & (2**depth - 1) for value in stored)  # other bits have no meaning
            elif kind in (b"IDAT", b"IEND"):
                return PngHeader(depth, color, key)
            else:
                file.seek(length, 1)
            file.seek(4, 1)  # checksum


def read_deep_color(path: str | Path, header: PngHeader) -> Pixels:
    """The pixels of a file with `deep_color`, all 16 bits. Raises `RuntimeError` for a damaged file."""
    samples = imagecodecs.png_decode(Path(path).read_bytes())  # [H, W, S], uint16
    colors = 3 if header.color in (_RGB, _RGB_ALPHA) else 1
    values = samples[:, :, 0] if colors == 1 else samples[:, :, :colors]
    alpha = None
    if samples.shape[2] > colors:
        alpha = samples[:, :, colors].astype(np.float32) / 65535
    elif header.key is not None:
        alpha = (values != np.array(header.key)).any(axis=2).astype(np.float32)
    return Pixels(values, integer_range(values.dtype, 16), 16, alpha)
