"""Mode coverage: which of the known looks does a translated picture show?

The scene of the test picture is redrawn as a zebra in every look, and the nearest one inside the animal counts.
Nearest is meant mildly: small shifts and blur are forgiven and the contrast of the stripes is free, as a translator
rarely puts every stripe on the exact pixel or makes it fully black. There is always an answer, also for a picture
that shows no zebra at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .looks import N_LOOKS, PATTERNS
from .render import compose, draw_layers
from .scene import Scene, scene_from_truth
from .shapes import Array

# Looks are compared at this size at most, where stripes show well; far below it they would be lost.
WORK_SIZE, LEAST_SIZE = 64, 32
# How many times the redrawn looks are smoothed: as the picture is (once), and for blurred results.
BLURS = (1, 4, 9)


def smooth(pictures: Array) -> Array:
    """Return pictures (..., h, w, 3) after a 3 x 3 binomial filter, borders repeated."""
    for axis in (-3, -2):
        count = pictures.shape[axis]
        before = np.take(pictures, np.maximum(np.arange(count) - 1, 0), axis=axis)
        after = np.take(pictures, np.minimum(np.arange(count) + 1, count - 1), axis=axis)
        pictures = 0.25 * before + 0.5 * pictures + 0.25 * after
    return pictures


def local_mean(pictures: Array, mask: Array, size: int) -> Array:
    """Return pictures (..., h, w, 3) averaged over a wide window inside the mask (h, w), 0 outside it.

    The pictures may be cut from larger ones: ``size`` is the full width, which sets the window.
    """
    radius = max(round(0.09 * size), 1)

    def window_sum(values: Array) -> Array:
        for axis in (-3, -2):
            count = values.shape[axis]
            total = np.cumsum(values, axis=axis)
            total = np.concatenate([np.zeros_like(np.take(total, [0], axis=axis)), total], axis=axis)
            high, low = np.minimum(np.arange(count) + radius + 1, count), np.maximum(np.arange(count) - radius, 0)
            values = np.take(total, high, axis=axis) - np.take(total, low, axis=axis)
        return values

    weight = mask[..., None]
    mean: Array = weight * window_sum(pictures * weight) / np.maximum(window_sum(weight), 1e-9)
    return mean


@dataclass(frozen=True)
class _References:
    """A scene in all looks and blurs, split into local color and detail, (n, h, w, 3), cut to the animal's window."""

    tone: Array
    detail: Array
    mask: Array
    window: tuple[slice, slice]


@lru_cache(maxsize=32)
def _references(scene: Scene, size: int) -> _References:
    layers = draw_layers(scene, size, "B", every_look=True)
    mask = layers.parts["animal"] * (1.0 - np.maximum(*layers.land.front))
    mask = np.where(mask > 0.6, mask, 0.0)
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    looks = np.stack([compose(layers, "B", look) for look in range(N_LOOKS)]).astype(np.float64)
    levels, passes = [], 0
    for wanted in BLURS:
        for _ in range(wanted - passes):
            looks = smooth(looks)
        passes = wanted
        levels.append(looks[:, window[0], window[1]])
    looks, mask = np.concatenate(levels), mask[window]
    tone = local_mean(looks, mask, size)
    return _References(tone, looks - tone, mask, window)


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    """Return the two slices of an axis that lie on each other after moving the second by ``shift``."""
    return slice(max(shift, 0), length + min(shift, 0)), slice(max(-shift, 0), length + min(-shift, 0))


def look_distances(image: NDArray[np.uint8], scene_or_truth: Scene | Mapping[str, Any]) -> Array:
    """Return how far a picture (h, w, 3) uint8 is from its scene in every look: (N_LOOKS,) RMS, 0..255.

    It is the RMS of what a shift of up to 1/32 of the picture and a free contrast of the stripes cannot explain.

    Raises:
        ValueError: the picture is not (h, w, 3) uint8, or the record does not describe a scene.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a picture is (h, w, 3) uint8, not {image.shape} {image.dtype}")
    scene = scene_or_truth if isinstance(scene_or_truth, Scene) else scene_from_truth(scene_or_truth)
    size = min(WORK_SIZE, max(LEAST_SIZE, *image.shape[:2]))
    if image.shape[:2] != (size, size):
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))
    known = _references(scene, size)
    seen = smooth(image.astype(np.float64))[known.window]
    tone = local_mean(seen, known.mask, size)
    detail = seen - tone
    reach = max(size // 32, 1)
    best = np.full(N_LOOKS, np.inf)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            (y, y_ref), (x, x_ref) = _overlap(known.mask.shape[0], dy), _overlap(known.mask.shape[1], dx)
            weight = (known.mask[y, x] * known.mask[y_ref, x_ref])[..., None]
            found, stripes = detail[y, x] * weight, known.detail[:, y_ref, x_ref]
            energy = (found * detail[y, x]).sum()
            # The contrast of the stripes is fitted, so pale or blurred stripes still count as what they are.
            match = np.maximum((found * stripes).sum(axis=(1, 2, 3)), 0.0)
            explained = match**2 / np.maximum((stripes**2 * weight).sum(axis=(1, 2, 3)), 1e-9)
            color = ((tone[y, x] - known.tone[:, y_ref, x_ref]) ** 2 * weight).sum(axis=(1, 2, 3))
            # Local color tells the coat only: the pattern is decided by the stripes themselves.
            color = np.repeat(color.reshape(-1, len(PATTERNS)).min(axis=1), len(PATTERNS))
            error = (color + energy - explained) / (3.0 * max(weight.sum(), 1e-9))
            best = np.minimum(best, error.reshape(len(BLURS), N_LOOKS).min(axis=0))
    return np.sqrt(np.maximum(best, 0.0))


def classify_look(image: NDArray[np.uint8], scene_or_truth: Scene | Mapping[str, Any]) -> int:
    """Return the look, 0..N_LOOKS-1, that a translated test picture shows.

    Args:
        image: (h, w, 3) uint8 sRGB, any size; it is resized to the working size.
        scene_or_truth: the scene of the test picture, or its record in ``looks.json``.

    Raises:
        ValueError: the picture is not (h, w, 3) uint8, or the record does not describe a scene.
    """
    return int(np.argmin(look_distances(image, scene_or_truth)))


def coverage(images: Iterable[NDArray[np.uint8]], truths: Iterable[Scene | Mapping[str, Any]]) -> NDArray[np.int64]:
    """Return how many pictures show each look: (N_LOOKS,) int64; looks never shown stay 0.

    Raises:
        ValueError: not as many pictures as truths, or one that ``classify_look`` refuses.
    """
    shown = [classify_look(image, truth) for image, truth in zip(images, truths, strict=True)]
    return np.bincount(np.asarray(shown, dtype=np.int64), minlength=N_LOOKS).astype(np.int64)
