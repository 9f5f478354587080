"""Pictures of the study: a row for each thing shown, a column for each test image."""

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from coopcut.images.io import read_image, to_image, to_tensor

SCALE, CAPTION = 2, 230  # pixels per pixel, and the width of the captions


def sheet(rows: Mapping[str, Tensor]) -> Image.Image:
    """Images [N, 3, H, W] in [-1, 1] by caption, the images of a caption in a row."""
    strips = [to_image(torch.cat([*images], dim=-1)) for images in rows.values()]
    height = strips[0].height * SCALE
    result = Image.new("RGB", (CAPTION + max(strip.width for strip in strips) * SCALE, height * len(strips)), "white")
    draw = ImageDraw.Draw(result)
    for y, (caption, strip) in enumerate(zip(rows, strips, strict=True)):
        draw.text((4, y * height + height // 2 - 5), caption, fill="black")
        large = strip.resize((strip.width * SCALE, height), Image.Resampling.NEAREST)
        result.paste(large, (CAPTION, y * height))
    return result


def save_strips(folder: Path, pictures: Mapping[str, Tensor]) -> None:
    """One lossless file for each row, so that rows of several runs can be put into one picture."""
    for name, images in pictures.items():
        path = folder / f"{name.replace(', ', '_').replace(' ', '_')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        to_image(torch.cat([*images], dim=-1)).save(path)


def read_strip(folder: Path, name: str) -> Tensor:
    """[N, 3, H, H] of what `save_strips` wrote. Raises `DataError` if it is not there."""
    strip = to_tensor(read_image(folder / f"{name.replace(', ', '_').replace(' ', '_')}.png", 3))
    return torch.stack(strip.split(strip.shape[1], dim=-1))
