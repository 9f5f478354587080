"""A PNG writer whose bytes never change: pixels are stored, not compressed.

Compressors differ between zlib builds, so only stored blocks give the same file on every machine.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_BLOCK = 65535


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _stored(data: bytes) -> bytes:
    """Wrap data as a zlib stream of stored blocks."""
    out = [b"\x78\x01"]
    for start in range(0, len(data), _BLOCK):
        part = data[start : start + _BLOCK]
        last = start + _BLOCK >= len(data)
        out += [struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF), part]
    out.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(out)


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of a picture (h, w, 3) uint8 sRGB.

    Raises:
        ValueError: the array is not (h, w, 3) uint8 with at least one pixel.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise ValueError(f"a picture is (h, w, 3) uint8, not {picture.shape} {picture.dtype}")
    height, width, _ = picture.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = picture.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", _stored(rows.tobytes())) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
