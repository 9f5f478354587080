"""Pixel values as a file holds them, and how they become the 8 bits of a picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coopcut.util.errors import DataError

Range = tuple[float, float]  # the values that become black and white
GIVE_RANGE = "name the values of black and white with --value_range LOW,HIGH"


def parse_ranges(text: str) -> tuple[Range | None, Range | None]:
    """The ranges of source and target images that --value_range names; None for 'dtype'.

    "LOW,HIGH" is for both, "LOW,HIGH/LOW,HIGH" for each. Raises `ValueError` with one line for anything else.
    """
    parts = [_parse_range(part.strip(), text) for part in text.split("/")]
    if len(parts) > 2:
        raise ValueError(f"'{text}' names {len(parts)} ranges: one for both domains, or two: source/target")
    return parts[0], parts[-1]


def _parse_range(text: str, typed: str) -> Range | None:
    if text == "dtype":
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"'{typed}' is not a range: write dtype, or LOW,HIGH as in 0,4095") from None
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"'{typed}' is not a range: LOW and HIGH must be finite, and LOW the smaller one")
    return low, high


@dataclass(frozen=True)
class Pixels:
    """What an image file holds: numbers, and what the file says that they mean.

    values: [H, W] (gray) or [H, W, 3] (RGB), of the file's own type. alpha: opacity in [0, 1], [H, W], or None.
    assumed: the values that are black and white by the type of the numbers; None where it does not tell.
    bits: of a value. inverted: the least value is white. premultiplied: the values are already multiplied by alpha.
    """

    values: NDArray[Any]
    assumed: Range | None
    bits: int
    alpha: NDArray[Any] | None = None
    inverted: bool = False
    premultiplied: bool = False

    @property
    def kind(self) -> str:
        """For example '16-bit', 'float32', 'int32'."""
        unsigned = self.values.dtype.kind in "bu" and self.bits <= 16
        return f"{self.bits}-bit" if unsigned else self.values.dtype.name


def integer_range(dtype: np.dtype[Any], bits: int) -> Range | None:
    """Black and white of unsigned integers of up to 16 bits: none and all. Others do not tell."""
    return (0, 2**bits - 1) if dtype.kind in "bu" and bits <= 16 else None


def assumed_range(dtype: np.dtype[Any], bits: int) -> Range | None:
    """Black and white by the type of the numbers: floats are in [0, 1]; see `integer_range`."""
    return (0, 1) if dtype.kind == "f" else integer_range(dtype, bits)


def to_8_bit(pixels: Pixels, chosen: Range | None, path: object) -> Image.Image:
    """An 'L' or 'RGB' picture, laid over white where it is transparent; `path` names the image in errors.

    chosen: black and white instead of `pixels.assumed`; values beyond them become black and white. Levels are rounded
    to nearest. Raises `DataError` for values that are not finite, or if nothing is chosen for an unknown range or for
    values beyond the assumed one.
    """
    values = pixels.values
    least, most = values.min(), values.max()
    if not (np.isfinite(least) and np.isfinite(most)):  # the least of values with a NaN is NaN
        raise DataError(f"{path}: some values are not finite (NaN or infinite); replace them")
    if chosen is None and (pixels.assumed is None or least < pixels.assumed[0] or most > pixels.assumed[1]):
        beyond = "" if pixels.assumed is None else " are not in [{:g}, {:g}]".format(*pixels.assumed)
        raise DataError(f"{path}: {pixels.kind} values {least:g} to {most:g}{beyond}: {GIVE_RANGE}")
    if pixels.alpha is not None and pixels.bits > 8:
        _check_alpha(pixels.alpha, path)
    low, high = chosen or pixels.assumed or (0, 1)
    levels: NDArray[Any] = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
    opacity: Any = 1 if pixels.alpha is None else pixels.alpha.reshape(pixels.alpha.shape + (1,) * (values.ndim - 2))
    levels -= low * opacity if pixels.premultiplied else low
    levels *= 255 / (high - low)
    levels = np.clip(255 - levels if pixels.inverted else levels, 0, 255)
    if pixels.alpha is not None:
        levels = levels * (1 if pixels.premultiplied else opacity) + 255 * (1 - opacity)
    return Image.fromarray(np.rint(np.clip(levels, 0, 255)).astype(np.uint8))


def _check_alpha(alpha: NDArray[Any], path: object) -> None:
    """Raise `DataError` where nothing is opaque: numbers of 12 bits, say, whose type has 16, would all become white."""
    most = alpha.max()
    if not np.isfinite(most) or not 0.5 <= most <= 1:
        raise DataError(
            f"{path}: its transparency reaches only {most:.3g} of its type's maximum, so it is unclear what is opaque; "
            "save the picture without transparency"
        )
