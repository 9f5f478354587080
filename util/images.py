"""Image files, and the tensors in [-1, 1] that they become.

Every picture of the project comes in through `read_image` and goes out through `save_image`, so that what a file
format may hold (rotation flags, palettes, transparency, 16 bits) is settled here and nowhere else.
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from util.errors import DataError
from util.memory import is_out_of_memory

OTHER_PICTURES = (".avif", ".dng", ".exr", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg", ".tga")  # not read
IMAGE_EXTENSIONS = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

# By content, not by name. Naming the formats keeps out those that run other programs (EPS) or are not pictures (PDF).
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM")

_ORIENTATION_TAG, _BITS_TAG, _PHOTOMETRIC_TAG = 0x0112, 0x0102, 0x0106
_UPRIGHT = {  # EXIF orientation -> what turns the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def list_images(folder: str | Path) -> list[str]:
    """The image files in `folder` and its sub-folders, by extension in any case; see `list_files`."""
    return [path for path in list_files(folder) if is_image_name(os.path.basename(path))]


def list_files(folder: str | Path) -> list[str]:
    """The files in `folder` and its sub-folders (links followed), sorted by path.

    Hidden files and folders (".name") are left out. Raises `DataError` if a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")

    paths: list[str] = []
    visited: set[str] = set()
    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:  # a link back to one of its own parents
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths += (os.path.join(root, name) for name in files if not name.startswith("."))
    return sorted(paths)


def is_image_name(name: str) -> bool:
    """Whether a file of this name (without folder) is taken for an image: a known extension and not hidden."""
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")


def check_header(path: str | Path) -> None:
    """Raise `DataError` unless the file begins like an image. Fast: no pixel is decoded, so truncation goes unseen."""
    with _opened(path):
        pass


def check_channels(channels: int) -> None:
    """Raise `DataError` unless images can be read with this number of channels: 1 (gray) or 3 (RGB)."""
    if channels not in (1, 3):
        raise DataError(f"images have 1 (gray) or 3 (RGB) channels, not {channels}; change --input_nc or --output_nc")


def read_image(path: str | Path, channels: int) -> Image.Image:
    """The first frame of an image file, upright, in 8 bits: mode 'L' for 1 channel, 'RGB' for 3.

    - The EXIF orientation is applied, and then forgotten.
    - Transparency (RGBA, LA, palettes, colour keys) is composited over white.
    - 16-bit gray is scaled so that 65535 becomes 255 (12-bit gray of TIFF: 4095), rounded to nearest, never clipped or
      stretched to the content; where a TIFF file says that 0 is white, it is.
      The few formats with 16 bits per colour lose their low byte in Pillow.
    - Float gray is taken as [0, 1] if no value is above 1, else as [0, 255].
    - Colour becomes gray by the ITU-R 601-2 luma; gray becomes RGB by repetition.

    Raises `DataError`, naming the file, if it is missing, empty, damaged, too large or not an image.
    """
    check_channels(channels)
    with _opened(path) as img:
        return upright(img, channels, path)


def upright(img: Image.Image, channels: int, path: str | Path = "the image") -> Image.Image:
    """What `read_image` makes of an image that is already open; `path` names it in errors."""
    img.load()
    turn = _UPRIGHT.get(_orientation(img))  # after load(), because Pillow turns TIFF files itself
    img = _to_8_bit(img, path).convert("L" if channels == 1 else "RGB")
    return img if turn is None else img.transpose(turn)


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
    # Hidden, so that nobody lists it; the extension stays, because it tells Pillow the format.
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        img = to_image(image) if isinstance(image, Tensor) else image
        img.save(temporary, quality=95)  # only JPEG and WebP know a quality
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise DataError(f"{path}: cannot be written ({_reason(error)})") from error
    finally:
        with suppress(OSError):  # where the folder could not be made
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what `save_image` was writing below `folder` when its process was killed."""
    for path in folder.rglob(".*"):
        if re.fullmatch(r"\.[0-9a-f]{32}\.\w+", path.name) and path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The file opened by Pillow; whatever Pillow says about it, now or in the block, becomes a `DataError`."""
    try:
        if os.path.getsize(path) == 0:
            raise DataError(f"{path}: empty file (0 bytes); replace or remove it")
        with Image.open(path, formats=_FORMATS) as img:
            yield img
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: not a readable JPEG, PNG, BMP, TIFF, WebP or PPM image; convert or remove it"
        ) from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: too large, more than {limit} pixels; cut it into smaller images") from error
    except Exception as error:  # for a damaged file, Pillow's decoders raise almost any type
        raise DataError(f"{path}: damaged or unreadable image ({_reason(error)}); replace or remove it") from error


def _reason(error: Exception) -> str:
    """What an exception says, in one line and without the path that `OSError` adds."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]


def _orientation(img: Image.Image) -> int:
    try:
        return int(img.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # broken EXIF data beside sound pixels is common, and no reason to refuse the picture
        return 1


def _of_tiff(img: Image.Image) -> tuple[int, bool]:
    """Of deep gray: its bits (16, or the 12 of a TIFF file that Pillow leaves as they are), and whether 0 is white."""
    tags = getattr(img, "tag_v2", {})
    bits = tags.get(_BITS_TAG, (16,))[0]
    return bits if bits < 16 else 16, bits <= 16 and tags.get(_PHOTOMETRIC_TAG, 1) == 0


def _to_8_bit(img: Image.Image, path: str | Path) -> Image.Image:
    """`img` with at most 8 bits per channel and nothing transparent."""
    if img.mode.startswith("I"):  # 16-bit gray, in either byte order or widened to 32 bits
        deep = np.asarray(img).astype(np.int32)
        bits, negative = _of_tiff(img)
        white = 2**bits - 1
        if deep.min() < 0 or deep.max() > white:
            raise DataError(
                f"{path}: gray values {deep.min()} to {deep.max()}; rescale them to 0 to {white} ({bits} bits)"
            )
        levels = ((white - deep if negative else deep) * 255 + white // 2) // white
        levels[deep == img.info.get("transparency", -1)] = 255
        return Image.fromarray(levels.astype(np.uint8))
    if img.mode == "F":
        real = np.asarray(img).astype(np.float64)
        if not (real.min() >= 0 and real.max() <= 255):  # written so that not-a-number is refused too
            found = f"float values {real.min():g} to {real.max():g}"
            raise DataError(f"{path}: {found}; rescale them to [0, 1] or [0, 255]")
        return Image.fromarray(np.rint(real * 255 if real.max() <= 1 else real).astype(np.uint8))
    if img.mode == "LAB":  # which Pillow converts to RGB alone
        return img.convert("RGB")
    if img.has_transparency_data:
        white = Image.new("RGBA", img.size, "white")
        return Image.alpha_composite(white, img.convert("RGBA"))
    return img
