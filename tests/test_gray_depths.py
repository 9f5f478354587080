"""Gray of 12 and 16 bits with its less common marks, and Lab: `coopcut.images.io.read_image`."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coopcut.images.io import read_image


def tiff(path: Path, bits: int, white_is_zero: bool, data: bytes, width: int) -> Path:
    """A TIFF file of one row of gray pixels, little-endian, uncompressed."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, int(not white_is_zero)), (273, 8), (277, 1), (278, 1)]
    tags.append((279, len(data)))
    data += b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    path.write_bytes(start + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))
    return path


def values(path: Path) -> list[int]:
    return np.asarray(read_image(path, 1))[0].tolist()


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_zero_is_white_where_the_file_says_so(tmp_path: Path, white_is_zero: bool) -> None:
    deep = tiff(tmp_path / "16.tif", 16, white_is_zero, struct.pack("<4H", 0, 257, 32768, 65535), 4)
    flat = tiff(tmp_path / "8.tif", 8, white_is_zero, bytes([0, 1, 128, 255]), 4)
    assert values(flat) == ([255, 254, 127, 0] if white_is_zero else [0, 1, 128, 255])
    assert values(deep) == values(flat)


def test_12_bits(tmp_path: Path) -> None:
    packed = bytes([0xFF, 0xF0, 0x00, 0x80, 0x00, 0x10])  # 4095, 0, 2048, 16
    assert values(tiff(tmp_path / "a.tif", 12, False, packed, 4)) == [255, 0, 128, 1]


@pytest.mark.parametrize("key", [0, 300])
def test_key_of_deep_gray(tmp_path: Path, key: int) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 257, 300, 65535]], dtype=np.uint16)).save(path, transparency=key)
    assert Image.open(path).mode.startswith("I")
    assert values(path) == {0: [255, 1, 1, 255], 300: [0, 1, 255, 255]}[key]


def test_lab(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.frombytes("LAB", (2, 1), bytes([0, 0, 0, 255, 0, 0])).save(path)  # black and white
    assert Image.open(path).mode == "LAB"
    assert np.asarray(read_image(path, 3))[0] == pytest.approx(np.array([[0] * 3, [255] * 3]), abs=1)
    assert values(path) == pytest.approx([0, 255], abs=1)
