"""Image files, and the tensors in [-1, 1] that they become.

Every picture of the project comes in through `read_image` and goes out through `save_image`, so that what a file
format may hold (rotation flags, palettes, transparency, 16 bits) is settled here and in the modules that it calls
(`coopcut.images.decode`, `coopcut.images.pixels`), and nowhere else.
"""

import os
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from coopcut.images.decode import decode, orientation, pixels_of, reason
from coopcut.images.pixels import Pixels, Range, to_8_bit
from coopcut.util.errors import DataError
from coopcut.util.files import replacing
from coopcut.util.memory import is_out_of_memory

_UPRIGHT = {  # EXIF orientation -> what turns the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def check_channels(channels: int) -> None:
    """Raise `DataError` unless images can be read with this number of channels: 1 (gray) or 3 (RGB)."""
    if channels not in (1, 3):
        raise DataError(f"images have 1 (gray) or 3 (RGB) channels, not {channels}; change --input_nc or --output_nc")


def read_image(path: str | Path, channels: int, value_range: Range | None = None) -> Image.Image:
    """The one picture of an image file, upright, in 8 bits: mode 'L' for 1 channel, 'RGB' for 3.

    - The EXIF orientation is applied, and then forgotten.
    - Transparency (RGBA, LA, palettes, color keys) is composited over white.
    - value_range: the values that become black and white; others are scaled linearly, rounded to nearest, those beyond
      become black or white. None: all values that the type has (16 bits: 0 to 65535); floats are in [0, 1].
    - Color becomes gray by the ITU-R 601-2 luma; gray becomes RGB by repetition.

    Raises `DataError`, naming the file, if it is missing, empty, damaged, too large or not an image, if it holds
    several pages, or if `value_range` is None and its values tell no range. Raises `MemoryError` if it does not fit.
    """
    check_channels(channels)
    picture, turn = decode(path)
    if isinstance(picture, Pixels):
        return _finished(to_8_bit(picture, value_range, path), channels, turn)
    return _finished(_to_8_bit(picture, value_range, path), channels, turn)


def read_pixels(path: str | Path) -> Pixels:
    """The values of an image file as it stores them, not turned upright. Raises as `read_image`."""
    picture, _ = decode(path)
    return picture if isinstance(picture, Pixels) else pixels_of(picture)


def upright(
    img: Image.Image, channels: int, path: str | Path = "the image", value_range: Range | None = None
) -> Image.Image:
    """What `read_image` makes of an image that is already open; `path` names it in errors.

    If Pillow has opened a file and not read it yet, the file itself is read: Pillow drops the low byte of deep color
    and scales other values. Raises `DataError` where that would happen and there is no file.
    """
    if isinstance(img, ImageFile.ImageFile) and img.tile and not img.tell():
        if img.filename and os.path.isfile(img.filename):
            return read_image(os.fsdecode(img.filename), channels, value_range)
        if ";16" in str(img.tile[0].args) and img.mode not in ("I", "I;16", "I;16B", "F"):
            raise DataError(f"{path} has colors of 16 bits, of which Pillow keeps 8: give the path of its file instead")
    img.load()
    turn = orientation(img)  # after load(), because Pillow turns TIFF files itself
    return _finished(_to_8_bit(img, value_range, path), channels, turn)


def to_tensor(img: Image.Image) -> Tensor:
    """An 'L' or 'RGB' image as float32 [C, H, W] in [-1, 1]."""
    assert img.mode in ("L", "RGB"), img.mode
    pixels = torch.from_numpy(np.array(img))  # [H, W] or [H, W, C]
    pixels = pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255).mul_(2).sub_(1)


def to_image(tensor: Tensor) -> Image.Image:
    """The inverse of `to_tensor` for [C, H, W] or [1, C, H, W] of any float type and device, with C = 1 or 3.

    Values are clamped to [-1, 1] and rounded to the nearest of the 256 levels; not-a-number becomes black.
    """
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    assert tensor.ndim == 3, tuple(tensor.shape)
    assert tensor.shape[0] in (1, 3), tuple(tensor.shape)
    levels = tensor.detach().float().nan_to_num(nan=-1.0).clamp(-1, 1).add(1).mul(127.5).round()
    pixels = levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy()  # [H, W, C]
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def save_image(image: Image.Image | Tensor, path: str | Path) -> None:
    """Write an image, or a tensor as `to_image` takes it, in the format of the extension, whole or not at all.

    The folder is made if missing. Raises `DataError`, naming the file, for an unknown extension or a failed write.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        img = to_image(image) if isinstance(image, Tensor) else image
        with replacing(path, path.suffix) as temporary:  # its extension tells Pillow the format
            img.save(temporary, quality=95)  # only JPEG and WebP know a quality
    except (OSError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise DataError(f"{path}: cannot be written ({reason(error)})") from error


def remove_unfinished(folder: Path) -> None:
    """Remove what `save_image` was writing below `folder` when its process was killed."""
    for path in folder.rglob(".*"):
        if re.fullmatch(r"\.[0-9a-f]{32}\.\w+", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _to_8_bit(img: Image.Image, value_range: Range | None, path: str | Path) -> Image.Image:
    """`img` with at most 8 bits per channel and nothing transparent."""
    if value_range is not None or img.mode.startswith("I") or img.mode == "F":
        return to_8_bit(pixels_of(img), value_range, path)
    if img.mode == "LAB":  # which Pillow converts to RGB alone
        return img.convert("RGB")
    if img.has_transparency_data:
        white = Image.new("RGBA", img.size, "white")
        return Image.alpha_composite(white, img.convert("RGBA"))
    return img


def _finished(img: Image.Image, channels: int, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    img = img.convert("L" if channels == 1 else "RGB")
    return img if turn is None else img.transpose(turn)
