"""TIFF files that are not one plain picture: read right, or refused in one line, before training and when read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from coopcut.images.decode import check_header
from coopcut.images.io import read_image
from coopcut.util.errors import DataError
from tests.tools import TRAIN, refused

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8)
FLAT = np.kron(RNG.integers(40, 200, (2, 2, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))  # JPEG keeps its gray


def numbers(dtype: str, *shape: int) -> np.ndarray[Any, Any]:
    return RNG.integers(0, 100, shape).astype(dtype)


def written(path: Path, values: np.ndarray[Any, Any], **how: Any) -> Path:
    tifffile.imwrite(path, values, **how)
    return path


def pixels(path: Path, channels: int) -> np.ndarray[Any, Any]:
    return np.asarray(read_image(path, channels))


REFUSED: dict[str, tuple[Callable[[], np.ndarray[Any, Any]], dict[str, Any], str]] = {
    "stack": (lambda: numbers("u1", 20, 9, 8), {"photometric": "minisblack"}, "holds 20 pages"),
    "stack of one entry": (
        lambda: numbers("u1", 20, 9, 8),
        {"photometric": "minisblack", "metadata": {"axes": "ZYX"}, "truncate": True},
        "holds 20 pages",
    ),
    "channels of ImageJ": (lambda: numbers("u2", 3, 9, 8), {"imagej": True, "metadata": {"axes": "CYX"}}, "3 pages"),
    "series of ImageJ": (lambda: numbers("u1", 5, 9, 8, 3), {"imagej": True, "metadata": {"axes": "TYXS"}}, "5 pages"),
    "channels of OME": (lambda: numbers("u2", 3, 9, 8), {"ome": True, "metadata": {"axes": "CYX"}}, "3 pages"),
    "volume": (lambda: numbers("u1", 16, 16, 16), {"volumetric": True, "tile": (16, 16, 16)}, "16 pages"),
    "two channels": (
        lambda: numbers("u1", 9, 8, 2),
        {"photometric": "minisblack", "planarconfig": "contig"},
        "2 channels, of which only 1",
    ),
    "five channels": (lambda: numbers("u1", 9, 8, 5), {"photometric": "rgb"}, "5 channels, of which only 3"),
    "fourth without meaning": (
        lambda: numbers("u1", 9, 8, 4),
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        "4 channels, of which only 3",
    ),
    "four planes": (
        lambda: numbers("u2", 4, 9, 8),
        {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]},
        "4 separate planes",
    ),
    "complex": (lambda: numbers("c8", 9, 8), {}, "TIFF with 64-bit values of this type is not supported; convert it"),
    "deep CMYK": (lambda: numbers("u2", 9, 8, 4), {"photometric": "separated"}, "type SEPARATED with 4 x 16 bits"),
    "deep Lab": (lambda: numbers("u2", 9, 8, 3), {"photometric": "cielab"}, "type CIELAB"),
    "raw of a camera": (
        lambda: numbers("u2", 9, 8),
        {"photometric": "cfa", "extratags": [(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)]},
        "type CFA",
    ),
    "coarse color": (
        lambda: numbers("u1", 16, 16, 3),
        {"photometric": "ycbcr", "subsampling": (1, 1)},
        "type YCBCR",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(tmp_path: Path, name: str) -> None:
    make, how, says = REFUSED[name]
    path = written(tmp_path / "a.tif", make(), **how)
    for read in (check_header, lambda file: read_image(file, 3)):
        with pytest.raises(DataError) as caught:
            read(path)
        line = str(caught.value)
        assert line.startswith(f"{path}: ")
        assert says in line
        assert "\n" not in line


def test_stack_is_refused_before_anything_is_made(place: Path) -> None:
    written(place / "data" / "trainA" / "z.tif", numbers("u1", 20, 9, 8), photometric="minisblack")
    refused("train", TRAIN, "data/trainA/z.tif: holds 20 pages, of which only one would be used")


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", ["rgb", "palette"])
def test_smaller_copies_do_not_count(tmp_path: Path, first: bool, kind: str) -> None:
    """The pages of thumbnails and pyramids, before or after the picture, also where Pillow reads it."""
    table = RNG.integers(0, 256, (3, 256)).astype(np.uint16) * 257
    values, how = (FLAT, {"photometric": "rgb"}) if kind == "rgb" else (FLAT[:, :, 0], {"colormap": table})
    wanted = FLAT if kind == "rgb" else np.moveaxis(table[:, values], 0, 2) // 257
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for small in (True, False) if first else (False, True):
            file.write(values[::2, ::2] if small else values, subfiletype=int(small), metadata=None, **how)
    check_header(tmp_path / "a.tif")
    assert np.array_equal(pixels(tmp_path / "a.tif", 3), wanted)


def test_pyramid_in_sub_entries(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(FLAT, photometric="rgb", subifds=1, metadata=None)
        file.write(FLAT[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    assert np.array_equal(pixels(tmp_path / "a.tif", 3), FLAT)


def test_mask_in_a_page_of_its_own(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(FLAT, photometric="rgb", metadata=None)
        file.write(FLAT[:, :, 0] > 99, photometric="mask", subfiletype=4, metadata=None)
    with pytest.raises(DataError, match="transparency is in a separate page"):
        read_image(tmp_path / "a.tif", 3)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "lzma", "jpegxl", "lerc", "png", "zstd"])
def test_other_compressions(tmp_path: Path, compression: str) -> None:
    path = written(tmp_path / "a.tif", FLAT[:, :, :1].repeat(3, 2), photometric="rgb", compression=compression)
    assert np.abs(np.asarray(read_image(path, 3)).astype(int) - FLAT[:, :, :1]).max() <= 3


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_jpeg_with_coarse_color_is_what_two_readers_say(tmp_path: Path, subsampling: tuple[int, int]) -> None:
    path = written(tmp_path / "a.tif", FLAT, photometric="ycbcr", compression="jpeg", subsampling=subsampling)
    ours = np.asarray(read_image(path, 3)).astype(int)
    assert np.abs(ours - tifffile.imread(path)).max() == 0
    assert np.abs(ours - np.asarray(Image.open(path).convert("RGB"))).max() <= 1


def test_palette_and_cmyk(tmp_path: Path) -> None:
    table = RNG.integers(0, 65536, (3, 256), dtype=np.uint16)
    path = written(tmp_path / "p.tif", SMALL[:, :, 0], colormap=table)
    assert np.abs(np.asarray(read_image(path, 3)) - np.moveaxis(table[:, SMALL[:, :, 0]], 0, 2) / 257).max() < 1
    four = RNG.integers(0, 256, (9, 8, 4), dtype=np.uint8)
    path = written(tmp_path / "c.tif", four, photometric="separated")
    wanted = (255.0 - four[:, :, :3]) * (255.0 - four[:, :, 3:]) / 255
    assert np.abs(np.asarray(read_image(path, 3)) - wanted).max() <= 1


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "packbits"])
def test_bilevel_of_fax_machines(tmp_path: Path, compression: str) -> None:
    bits = SMALL[:, :, 0] > 128
    Image.fromarray(bits).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(pixels(tmp_path / "a.tif", 1), bits * np.uint8(255))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("alpha", [False, True])
def test_orientation_of_deep_color(tmp_path: Path, orientation: int, alpha: bool) -> None:
    """As of 8 bits, which Pillow reads; transparency turns along."""
    values = np.concatenate([SMALL, RNG.integers(0, 2, (9, 8, 1), dtype=np.uint8) * 255], 2) if alpha else SMALL
    Image.fromarray(values).save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    path = written(
        tmp_path / "a.tif",
        values.astype(np.uint16) * 257,
        photometric="rgb",
        extrasamples=["unassalpha"] if alpha else None,
        extratags=[(274, 3, 1, orientation, True)],
    )
    assert np.array_equal(pixels(path, 3), pixels(tmp_path / "a.png", 3))


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.tif", numbers("u2", 30, 30))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"a\.tif: too large, more than 200 pixels"):
        read_image(path, 1)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated(tmp_path: Path, share: float, compression: str | None) -> None:
    path = written(
        tmp_path / "a.tif", numbers("u2", 40, 40, 3), photometric="rgb", compression=compression, rowsperstrip=8
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"^{path}: ") as caught:
        read_image(path, 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tag", ["StripOffsets", "StripByteCounts", "ImageLength"])
def test_strips_without_data_are_no_black_pixels(tmp_path: Path, tag: str) -> None:
    """One strip that is nowhere or empty, and a picture that is said to be higher than its strips reach."""
    path = written(tmp_path / "a.tif", numbers("u2", 40, 40) + np.uint16(500), rowsperstrip=8)
    with tifffile.TiffFile(path, mode="r+") as file:
        entry = file.pages.first.tags[tag]
        values = entry.value
        entry.overwrite(80 if tag == "ImageLength" else (*values[:2], 0, *values[3:]))
    with pytest.raises(DataError, match=r"a\.tif: damaged or unreadable image \(\d of \d+ parts have no data\)"):
        read_image(path, 1)


@pytest.mark.parametrize("association", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize(
    ("dtype", "opaque"), [("u2", 4095), ("u2", 255), ("u2", 16383), ("i2", 255), ("f4", 255), ("f4", np.nan), ("u2", 0)]
)
def test_transparency_of_other_bits_than_the_type_has(
    tmp_path: Path, dtype: str, opaque: float, association: str
) -> None:
    values = np.dstack([numbers(dtype, 9, 8, 3), np.full((9, 8), opaque, dtype)])
    path = written(tmp_path / "a.tif", values, photometric="rgb", extrasamples=[association])
    with pytest.raises(DataError, match=r"a\.tif: its transparency reaches only .* unclear what is opaque"):
        read_image(path, 3, (0, 100))
