"""Gray digits to digits in the color of their class: unpaired images determine the color, given the input."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coopcut.datasets.beds.folder import Bed, Drawn, Picture, Settings, plan
from coopcut.util.errors import OptionError

# of the digits 0 to 9, sRGB: as far apart as the colors of strokes on black can be, whatever their lightness
COLORS = (
    ("red", (230, 25, 25)),
    ("green", (25, 170, 25)),
    ("blue", (50, 70, 255)),
    ("yellow", (255, 225, 25)),
    ("magenta", (240, 50, 230)),
    ("cyan", (60, 235, 235)),
    ("orange", (245, 130, 20)),
    ("white", (250, 250, 250)),
    ("pink", (255, 150, 170)),
    ("lilac", (190, 150, 255)),
)
PARTS = {"trainA": (0.0, 0.42), "trainB": (0.42, 0.84), "test": (0.84, 0.92), "refB": (0.92, 1.0)}


def digits(settings: Settings) -> tuple[Bed, Iterator[Drawn]]:
    """The bed and its pictures, from scikit-learn's `load_digits`; no digit is in two of its parts."""
    return Bed("digits", [f"{k}, {name}" for k, (name, _) in enumerate(COLORS)], asdict(settings)), _pictures(settings)


def _pictures(settings: Settings) -> Iterator[Drawn]:
    pool = _pool()
    rng = np.random.default_rng([settings.seed, 8])
    for split, number, label in plan(settings, len(COLORS)):
        images = pool[label]
        first, last = (round(end * len(images)) for end in PARTS[split])
        gray = _varied(images[int(rng.integers(first, last))], settings.size, rng)
        if split in ("trainA", "test"):
            yield split + "A" * (split == "test"), number, np.repeat(gray[:, :, None], 3, axis=2), label, None
        yield {"trainA": "trueB", "test": "testB"}.get(split, split), number, colored(gray, label), label, None


def _pool() -> list[NDArray[np.float64]]:
    """The digits of each class, [n, 8, 8] in 0..16."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise OptionError("the bed 'digits' needs scikit-learn: pip install scikit-learn") from None
    found = load_digits()
    return [found.images[found.target == label] for label in range(len(COLORS))]


def _varied(image: NDArray[np.float64], size: int, rng: np.random.Generator) -> Picture:
    """A digit as gray picture [size, size], turned by up to 10 degrees and moved by up to a twelfth of its size."""
    side = round(0.8 * size)
    small = Image.fromarray((image / 16 * 255).round().astype(np.uint8))
    large = small.resize((side, side), Image.Resampling.BICUBIC).rotate(
        float(rng.uniform(-10, 10)), Image.Resampling.BICUBIC
    )
    page = Image.new("L", (size, size))
    move = (size - side) / 2 + rng.uniform(-1, 1, 2) * size / 12
    page.paste(large, (round(float(move[0])), round(float(move[1]))))
    return np.asarray(page)


def colored(gray: Picture, label: int) -> Picture:
    """[H, W] as [H, W, 3] in the color of a class."""
    color = np.array(COLORS[label][1]) / 255
    return (gray[:, :, None] * color).round().astype(np.uint8)


def color_of(picture: Picture) -> int:
    """The class whose color the strokes of a picture [H, W, 3] have on average, weighted by their lightness."""
    values = picture.astype(np.float64)
    weight = values.max(axis=2)
    if weight.sum() == 0:
        return 0
    mean = (values * weight[:, :, None]).sum(axis=(0, 1)) / weight.sum()
    known = np.array([color for _, color in COLORS], np.float64)
    known /= known.max(axis=1, keepdims=True)
    return int(np.linalg.norm(known - mean / max(mean.max(), 1e-9), axis=1).argmin())
