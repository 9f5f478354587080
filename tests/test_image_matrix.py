"""All that is read, over a matrix of depths, kinds, layouts and compressions: right by closed form, or refused.

The files are made from known numbers by independent writers: tifffile for TIFF, a few lines here for PNG. What is
expected is computed from the numbers alone.
"""

import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from coopcut.images.decode import check_header
from coopcut.images.io import read_image
from coopcut.util.errors import DataError

Array = NDArray[Any]
H, W = 5, 7
COMPRESSIONS: list[dict[str, Any]] = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True},
    {"compression": "packbits"},
    {"compression": "zstd"},
    {"tile": (16, 16)},
    {"rowsperstrip": 2},
]


def numbers(dtype: str, *shape: int) -> Array:
    rng = np.random.default_rng(0)
    if dtype.startswith("f"):
        return rng.random(shape).astype(dtype)
    most = np.iinfo(dtype).max
    found = rng.integers(0, most, shape, dtype=np.uint64, endpoint=True).astype(dtype)
    found[0, 0], found[0, 1] = 0, most
    return found


def expected(values: Array, alpha: Array | None = None, white: float = 1, premultiplied: bool = False) -> Array:
    """8-bit levels [H, W, 3] of gray [H, W] or RGB [H, W, 3], over white."""
    levels = values.astype(np.float64) / white * 255
    levels = levels if levels.ndim == 3 else np.repeat(levels[:, :, None], 3, axis=2)
    if alpha is not None:
        opacity = alpha.astype(np.float64)[:, :, None]
        levels = (levels if premultiplied else levels * opacity) + 255 * (1 - opacity)
    return np.clip(levels, 0, 255)


def check(path: Path, wanted: Array, tolerance: float = 0.501) -> None:
    check_header(path)
    seen = np.asarray(read_image(path, 3)).astype(np.float64)
    assert seen.shape == wanted.shape
    assert np.abs(seen - wanted).max() <= tolerance, np.abs(seen - wanted).max()


def packed(rows: Array, depth: int, lines: bool) -> bytes:
    """[h, w * samples] -> big-endian bits, each row from a new byte on; `lines`: after a byte for the filter of PNG."""
    bits = (rows[:, :, None].astype(np.uint16) >> np.arange(depth - 1, -1, -1, dtype=np.uint16)) & 1
    return b"".join(b"\0" * lines + np.packbits(row.astype(np.uint8)).tobytes() for row in bits.reshape(len(rows), -1))


# -- TIFF -------------------------------------------------------------------------------------------------------------

TIFF_KINDS = [
    (dtype, samples, alpha, planar)
    for dtype in ("u1", "u2", "f2", "f4", "f8")
    for samples in (1, 3)
    for alpha in ("", "unassalpha", "assocalpha")
    for planar in ("contig", "separate")
    if not (planar == "separate" and samples == 1 and not alpha)
]


@pytest.mark.parametrize(("dtype", "samples", "alpha", "planar"), TIFF_KINDS)
def test_tiff(tmp_path: Path, dtype: str, samples: int, alpha: str, planar: str) -> None:
    white = 1.0 if dtype.startswith("f") else float(np.iinfo(dtype).max)
    values = numbers(dtype, H, W, samples)
    opacity = numbers(dtype, H, W, 1)
    if alpha == "assocalpha":
        values = (values.astype(np.float64) * (opacity.astype(np.float64) / white)).astype(dtype)
    stored = np.concatenate([values, opacity], axis=2) if alpha else values
    wanted = expected(
        values[:, :, 0] if samples == 1 else values,
        opacity[:, :, 0].astype(np.float64) / white if alpha else None,
        white,
        alpha == "assocalpha",
    )
    stored = np.moveaxis(stored, 2, 0) if planar == "separate" else stored
    stored = stored.reshape(H, W) if samples == 1 and not alpha else np.ascontiguousarray(stored)
    for number, (how, order, big) in enumerate(itertools.product(COMPRESSIONS, "<>", (False, True))):
        if (dtype == "f2" and how.get("predictor")) or (big and how):
            continue
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(
            path,
            stored,
            photometric="rgb" if samples == 3 else "minisblack",
            planarconfig=planar if stored.ndim == 3 else None,
            extrasamples=[alpha] if alpha else None,
            byteorder=order,
            bigtiff=big,
            metadata=None,
            **how,
        )
        if alpha and planar == "separate":
            with pytest.raises(DataError, match="separate planes, the last one marked as transparency"):
                read_image(path, 3)
        else:
            check(path, wanted, 2.0 if alpha and dtype == "u1" else 0.501)


def tiff(path: Path, width: int, order: str, tags: dict[int, int], data: bytes) -> Path:
    """A TIFF file of one strip of gray pixels in either byte order, with further `tags`."""
    all_tags = sorted((tags | {256: width, 257: H, 273: 8, 277: 1, 278: H, 279: len(data)}).items())
    data += b"\0" * (len(data) % 2)
    entries = b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in all_tags)
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data))
    path.write_bytes(start + data + struct.pack(order + "H", len(all_tags)) + entries + bytes(4))
    return path


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8, 10, 12, 14])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("width", [6, 7])
def test_tiff_of_packed_bits(tmp_path: Path, bits: int, photometric: str, width: int) -> None:
    values = numbers("u2", H, width) >> (16 - bits)
    wanted = expected(values, None, 2**bits - 1)
    wanted = 255 - wanted if photometric == "miniswhite" else wanted
    raw = packed(values, bits, lines=False)
    for order, deflated in itertools.product("<>", (False, True)):  # by hand: tifffile writes big-endian bits wrongly
        data = zlib.compress(raw) if deflated else raw
        tags = {258: bits, 259: 8 if deflated else 1, 262: int(photometric == "minisblack")}
        check(tiff(tmp_path / "a.tif", width, order, tags, data), wanted)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("samples", [1, 3])
def test_numbers_that_tell_no_range_need_one(tmp_path: Path, dtype: str, samples: int) -> None:
    values = np.random.default_rng(0).integers(0, 101, (H, W, samples)).astype(dtype)
    values[0, :2] = np.array([[0], [100]])
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, values.squeeze(), photometric="rgb" if samples == 3 else "minisblack", planarconfig=None, metadata=None
    )
    with pytest.raises(DataError, match=r"a\.tif: u?int\d+ values 0 to 100: name .* with --value_range LOW,HIGH"):
        read_image(path, 3)
    wanted = expected(values[:, :, 0] if samples == 1 else values, None, 100)
    assert np.abs(np.asarray(read_image(path, 3, (0, 100))) - wanted).max() <= 0.501


# -- PNG --------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PASSES = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]  # Adam7


def png(
    path: Path,
    values: Array,
    depth: int,
    color: int,
    *,
    interlaced: bool = False,
    before: bytes = b"",
    after: bytes = b"",
) -> Path:
    """A PNG file of the samples [H, W, S]."""
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, color, 0, 0, int(interlaced))
    parts = [values[y::dy, x::dx] for y, dy, x, dx in PASSES] if interlaced else [values]
    body = b"".join(packed(part.reshape(len(part), -1), depth, lines=True) for part in parts if part.size)
    chunks = [chunk(b"IHDR", head), before, chunk(b"IDAT", zlib.compress(body)), after, chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


PNG_KINDS = [(0, d) for d in (1, 2, 4, 8, 16)] + [(c, d) for c in (2, 4, 6) for d in (8, 16)]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize(("color", "depth"), PNG_KINDS)
def test_png(tmp_path: Path, color: int, depth: int, keyed: bool, interlaced: bool) -> None:
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    white = 2**depth - 1
    values = numbers("u2", H, W, samples) >> (16 - depth)
    colors, alpha, before = values[:, :, : 3 if samples > 2 else 1], None, b""
    if color in (4, 6):
        alpha = values[:, :, -1] / white
    if keyed:
        if alpha is not None:
            return
        key = colors[2, 3]
        alpha = (colors != key).any(axis=2).astype(float)
        dirty = key.astype(int) | (0x4000 if depth < 14 else 0)  # bits beyond the depth have no meaning
        before = chunk(b"tRNS", struct.pack(f">{len(key)}H", *dirty))
    wanted = expected(colors if samples > 2 else colors[:, :, 0], alpha, white)
    path = png(tmp_path / "a.png", values, depth, color, interlaced=interlaced, before=before)
    check(path, wanted, 2.0 if alpha is not None and depth <= 8 and not keyed else 0.501)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_png_of_a_palette(tmp_path: Path, depth: int, transparent: bool) -> None:
    number = 2**depth
    table = np.random.default_rng(1).integers(0, 256, (number, 3), dtype=np.uint8)
    indices = numbers("u2", H, W, 1) >> (16 - depth)
    before, alpha = chunk(b"PLTE", table.tobytes()), None
    if transparent:
        opacity = np.array([0, 128] + [255] * (number - 2), np.uint8)
        before += chunk(b"tRNS", opacity.tobytes()[: number // 2 + 1])  # shorter than the palette: the rest is opaque
        alpha = opacity[indices[:, :, 0]] / 255
    wanted = expected(table[indices[:, :, 0]], alpha, 255)
    check(png(tmp_path / "a.png", indices, depth, 3, before=before), wanted, 2.0 if transparent else 0.501)


# -- PGM and PPM ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 15, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_netpbm(tmp_path: Path, kind: str, most: int) -> None:
    samples = 3 if kind in ("P3", "P6") else 1
    values = np.random.default_rng(0).integers(0, most, (H, W, samples), endpoint=True)
    text = kind in ("P2", "P3")
    body = (
        " ".join(map(str, values.ravel())).encode() if text else values.astype(">u2" if most > 255 else "u1").tobytes()
    )
    path = tmp_path / "a.ppm"
    head = f"{kind}\n# a comment\n{W} {H}\n{most}\n".encode()
    path.write_bytes(head + body)
    check(path, expected(values if samples == 3 else values[:, :, 0], None, most))
    half = np.asarray(read_image(path, 3, (0, most / 2)))
    assert np.abs(half - np.broadcast_to(np.minimum(values * (510 / most), 255), half.shape)).max() <= 0.501
    if text:
        path.write_bytes(head + body + b"# the end")
        check(path, expected(values if samples == 3 else values[:, :, 0], None, most))
        return
    path.write_bytes(2 * (head + body))
    with pytest.raises(DataError, match="holds 2 frames, of which only one would be used"):
        check_header(path)
    path.write_bytes(head + body[:-1])
    with pytest.raises(DataError, match="damaged"):
        read_image(path, 3)
