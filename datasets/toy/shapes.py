"""Drawing primitives: smooth curves, tapered strokes and anti-aliased coverage masks.

Every coordinate is relative to the image (0..1, y down), so one scene can be drawn at any size. Shapes are drawn
on an enlarged 8-bit canvas with whole-number corners and box-averaged down, which gives the same mask everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Array = NDArray[np.float64]


def supersampling(size: int) -> int:
    """Return how many canvas pixels one output pixel is wide: small pictures need the finer grid."""
    if size < 48:
        return 8
    return 4 if size <= 256 else 3


@dataclass(frozen=True)
class Frame:
    """Maps animal coordinates (withers height 1, feet at y = 0, y up, facing +x) to relative image ones."""

    x: float
    ground: float
    scale: float
    flip: bool

    def __call__(self, points: Array) -> Array:
        """Map points (..., 2) to relative image coordinates (..., 2)."""
        across = -self.scale if self.flip else self.scale
        mapped: Array = np.array([self.x, self.ground]) + points * np.array([across, -self.scale])
        return mapped


class Mask:
    """One coverage layer being drawn: filled shapes accumulate, ``array`` gives 0..1 at the output size."""

    def __init__(self, size: int, frame: Frame | None = None) -> None:
        """Start an empty layer for a ``size`` pixel picture; ``frame`` maps coordinates, None means relative."""
        self.size = size
        self.frame = frame
        self.zoom = supersampling(size)
        self.image = Image.new("L", (size * self.zoom, size * self.zoom), 0)
        self._draw = ImageDraw.Draw(self.image)

    def _pixels(self, points: Array) -> list[list[int]]:
        """Turn outlines (k, n, 2) into k flat lists x, y, x, y... of whole canvas pixels."""
        mapped = points if self.frame is None else self.frame(points)
        whole = np.rint(mapped * (self.size * self.zoom)).astype(np.int64)
        flat: list[list[int]] = whole.reshape(len(points), -1).tolist()
        return flat

    def polygon(self, points: Array) -> Mask:
        """Fill the closed outline through points (n, 2), or several of equal length (k, n, 2)."""
        for outline in self._pixels(points.reshape(-1, *points.shape[-2:])):
            self._draw.polygon(outline, fill=255)
        return self

    def ellipse(self, centre: Sequence[float], rx: float, ry: float) -> Mask:
        """Fill an upright ellipse with the given centre and radii."""
        return self.ellipses(np.array([[centre[0], centre[1]]]), np.array([[rx, ry]]))

    def ellipses(self, centres: Array, radii: Array) -> Mask:
        """Fill upright ellipses with centres (k, 2) and radii (k, 2)."""
        for x0, y0, x1, y1 in self._pixels(np.stack([centres - radii, centres + radii], axis=1)):
            self._draw.ellipse((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill=255)
        return self

    def bands(self, points: Array, radii: Array) -> Mask:
        """Fill k bands with flat ends along points (k, n, 2), half width radii (k, n) or (n,)."""
        tangent = tangents(points)
        side = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1) * np.asarray(radii)[..., None]
        return self.polygon(np.concatenate([points + side, (points - side)[:, ::-1]], axis=1))

    def stroke(self, points: Array, radii: Array) -> Mask:
        """Fill one band along points (n, 2), half width radii (n,), with round ends and corners."""
        self.bands(points[None], radii)
        return self.ellipses(points, np.stack([radii, radii], axis=1))

    def clip(self, *others: Mask) -> Mask:
        """Keep only what also lies in every other mask."""
        for other in others:
            self.image = ImageChops.multiply(self.image, other.image)
        self._draw = ImageDraw.Draw(self.image)
        return self

    def cut(self, other: Mask) -> Mask:
        """Remove what lies in the other mask."""
        self.image = ImageChops.multiply(self.image, ImageChops.invert(other.image))
        self._draw = ImageDraw.Draw(self.image)
        return self

    def join(self, *others: Mask) -> Mask:
        """Add the other masks' shapes."""
        for other in others:
            self.image = ImageChops.lighter(self.image, other.image)
        self._draw = ImageDraw.Draw(self.image)
        return self

    def array(self, blur: float = 0.0) -> Array:
        """Return the coverage (size, size), 0..1, softened by a box of radius ``blur`` (relative) if that is not 0."""
        small = self.image.reduce(self.zoom)
        if blur > 0.0:
            small = small.filter(ImageFilter.BoxBlur(blur * self.size))
        return np.asarray(small, dtype=np.float64) / 255.0


def tangents(points: Array) -> Array:
    """Return the unit vectors (..., n, 2) along the lines through points (..., n, 2)."""
    ahead = np.concatenate([points[..., 1:, :], points[..., -1:, :]], axis=-2)
    behind = np.concatenate([points[..., :1, :], points[..., :-1, :]], axis=-2)
    way = ahead - behind
    length = np.sqrt(way[..., 0] ** 2 + way[..., 1] ** 2)
    unit: Array = way / np.maximum(length, 1e-9)[..., None]
    return unit


def smooth_outline(points: Sequence[Sequence[float]], steps: int = 6) -> Array:
    """Return a closed Catmull-Rom curve through points (n, 2) as (n * steps, 2)."""
    p1 = np.asarray(points, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, axis=0), np.roll(p1, -1, axis=0), np.roll(p1, -2, axis=0)
    t = (np.arange(steps, dtype=np.float64) / steps)[None, :, None]
    a, b = (p2 - p0)[:, None], (2 * p0 - 5 * p1 + 4 * p2 - p3)[:, None]
    c = (3 * p1 - p0 - 3 * p2 + p3)[:, None]
    curve: Array = p1[:, None] + 0.5 * t * (a + t * (b + t * c))
    return curve.reshape(-1, 2)


def bezier(p0: Array, p1: Array, p2: Array, steps: int) -> Array:
    """Return points (..., steps, 2) of the quadratic curves from p0 (..., 2) to p2 that lean towards p1."""
    t = np.linspace(0.0, 1.0, steps)[:, None]
    ends = (1 - t) ** 2 * p0[..., None, :] + t**2 * p2[..., None, :]
    curve: Array = ends + 2 * t * (1 - t) * p1[..., None, :]
    return curve


def taper(stops: Sequence[float], steps: int) -> Array:
    """Return ``steps`` values that pass through the evenly spaced stops."""
    return np.interp(np.linspace(0.0, 1.0, steps), np.linspace(0.0, 1.0, len(stops)), stops)


def direction(degrees: float) -> Array:
    """Return the unit vector (2,) at an angle counter-clockwise from +x."""
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


def two_bones(start: Array, end: Array, first: float, second: float, bend: float) -> tuple[Array, Array]:
    """Place the joint between two bones from start towards end.

    Returns (joint, end): ``bend`` +1 or -1 chooses the side; an end out of reach is pulled in.
    """
    reach = end - start
    distance = math.hypot(reach[0], reach[1])
    limit = 0.999 * (first + second)
    along = reach / distance
    if distance > limit:
        distance = limit
    base = (first**2 - second**2 + distance**2) / (2 * distance)
    height = math.sqrt(max(first**2 - base**2, 0.0))
    joint = start + along * base + bend * height * np.array([-along[1], along[0]])
    return joint, start + along * distance
