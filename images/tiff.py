"""TIFF, read by tifffile; what it leaves undone (palettes, CMYK, Lab, rare compressions) is left to Pillow."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, PLANARCONFIG, TIFF, TiffFile, TiffPage

from coopcut.images.pixels import Pixels, assumed_range
from coopcut.util.errors import DataError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, in either byte order
# samples of a pixel without alpha, and of the kinds that Pillow turns into RGB
_COLORS: dict[int, int] = {PHOTOMETRIC.MINISWHITE: 1, PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.RGB: 3}
_OF_PILLOW: dict[int, int] = {PHOTOMETRIC.PALETTE: 1, PHOTOMETRIC.SEPARATED: 4, PHOTOMETRIC.CIELAB: 3}
_ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
_OLD = (COMPRESSION.OJPEG, COMPRESSION.THUNDERSCAN)  # known to Pillow's libtiff


@contextmanager
def tiff_page(path: str | Path) -> Iterator[TiffPage]:
    """The only picture in the file, beside smaller copies of it. Raises `DataError` if there are more."""
    with TiffFile(path, is_ome=False) as file:
        yield _single_page(file, path)


def read_page(page: TiffPage) -> tuple[Pixels, int]:
    """The pixels of a page as stored, and its EXIF orientation (1 to 8), unless `is_pillows`."""
    orientation = page.tags.get("Orientation")
    return _pixels(page), int(orientation.value) if orientation is not None else 1


def type_without_range(page: TiffPage) -> str | None:
    """The type of the numbers, int32 say, if it does not tell black and white; None if it does."""
    if page.dtype is None or assumed_range(page.dtype, page.bitspersample) is not None:
        return None
    return page.dtype.name


def _single_page(file: TiffFile, path: str | Path) -> TiffPage:
    pages = [page.aspage() for page in file.pages]
    if any(page.is_mask for page in pages):
        raise DataError(f"{path}: its transparency is in a separate page, which is not supported; save it flattened")
    pages = [page for page in pages if not page.is_reduced]
    if not pages:
        raise DataError(f"{path}: holds no page that is a picture; convert or remove it")
    page = pages[0]
    if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or np.inf):
        raise Image.DecompressionBombError
    if not page.size:
        raise DataError(f"{path}: holds no pixels; replace or remove it")
    number = max(len(pages), page.imagedepth)
    number += sum(sub.aspage().shape == page.shape for sub in page.pages or ())  # not the levels of a pyramid
    if number == 1 and len(file.pages) == 1:  # one entry may stand for many, as ImageJ and tifffile write them
        number = file.series[0].size // page.size
    if number > 1:
        raise DataError(f"{path}: holds {number} pages, of which only one would be used: save each as a separate file")
    return page


def is_pillows(page: TiffPage, path: str | Path) -> bool:
    """Whether Pillow is to read this kind. Raises `DataError` for kinds that neither reads right."""
    photometric, samples, bits = page.photometric, page.samplesperpixel, page.bitspersample
    planar = samples > 1 and page.planarconfig == PLANARCONFIG.SEPARATE
    jpeg = photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG  # it is turned into RGB
    if page.dtype is None or page.dtype.kind == "c" or not isinstance(bits, int):
        raise DataError(f"{path}: TIFF with {bits}-bit values of this type is not supported; convert it")
    if photometric in _COLORS or jpeg:
        _check_samples(page, 3 if jpeg else _COLORS[photometric], planar, path)
        if page.compression in TIFF.DECOMPRESSORS and page.compression not in _OLD:
            return False
        if page.dtype.kind in "bu" and bits in (1, 8) and not planar and not page.extrasamples:
            return True
    elif samples == _OF_PILLOW.get(photometric) and page.dtype == np.uint8 and not planar:  # noqa: SIM102
        if bits == 8 or photometric == PHOTOMETRIC.PALETTE:
            return True
    kind, compression = (getattr(value, "name", value) for value in (photometric, page.compression))
    raise DataError(
        f"{path}: TIFF of type {kind} with {samples} x {bits} bits, compression {compression}, is not supported; "
        "convert it"
    )


def _check_samples(page: TiffPage, colors: int, planar: bool, path: str | Path) -> None:
    samples, extra = page.samplesperpixel, page.extrasamples
    if samples == colors:
        return
    if samples < colors:
        raise DataError(f"{path}: holds {samples} of the {colors} channels that its type needs; save it as gray or RGB")
    if samples != colors + 1 or len(extra) != 1 or extra[0] not in _ALPHA:
        raise DataError(f"{path}: holds {samples} channels, of which only {colors} would be used; save only those")
    if planar:  # some writers call the last plane of any stack of four transparency
        raise DataError(
            f"{path}: holds {samples} separate planes, the last one marked as transparency, which may be a channel; "
            f"save {colors} planes, or interleave the samples of each pixel"
        )


def _pixels(page: TiffPage) -> Pixels:
    parts = math.prod(page.chunked)  # strips or tiles; tifffile takes missing ones for zeros
    filled = sum(bool(offset and size) for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False))
    if filled != parts:
        raise EOFError(f"{parts - filled} of {parts} parts have no data")
    values: NDArray[Any] = page.asarray(squeeze=False)  # [separate samples, depth, H, W, samples of a pixel]
    values = np.moveaxis(values[:, 0], 0, -1)
    values = values.reshape(*values.shape[:2], -1)  # [H, W, S]
    bits = int(page.bitspersample)
    assumed = assumed_range(values.dtype, bits)
    colors, alpha = values.shape[2], None
    if colors in (2, 4):
        colors -= 1
        opaque = assumed[1] if assumed else np.iinfo(values.dtype).max
        alpha = values[:, :, colors].astype(np.float32) / opaque
    premultiplied = alpha is not None and page.extrasamples[0] == EXTRASAMPLE.ASSOCALPHA
    inverted = page.photometric == PHOTOMETRIC.MINISWHITE
    values = values[:, :, 0] if colors == 1 else values[:, :, :colors]
    return Pixels(values, assumed, bits, alpha, inverted, premultiplied)
