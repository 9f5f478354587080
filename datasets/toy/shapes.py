"""Drawing primitives: smooth curves, tapered strokes and anti-aliased coverage masks.

Every coordinate is relative to the image (0..1, y down), so one scene can be drawn at any size. Shapes are filled
on an enlarged 8-bit canvas, all or nothing per pixel, and box-averaged down, which gives the same mask everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .raster import SUB, fill

Array = NDArray[np.float64]

CIRCLE: Array = np.array([(math.cos(math.tau * k / 24), math.sin(math.tau * k / 24)) for k in range(24)])


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
        self._pixels: NDArray[np.uint8] | None = None
        self._waiting: list[NDArray[np.int64]] = []

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The enlarged canvas (size * zoom, size * zoom), 0 or 255. Shapes are filled together when it is needed."""
        canvas = self.size * self.zoom
        if self._waiting:
            filled = fill(self._waiting, canvas)
            self._pixels = filled if self._pixels is None else self._pixels | filled
            self._waiting = []
        elif self._pixels is None:
            self._pixels = np.zeros((canvas, canvas), dtype=np.uint8)
        return self._pixels

    def polygon(self, points: Array) -> Mask:
        """Fill the closed outline through points (n, 2), or several of equal length (k, n, 2)."""
        mapped = points if self.frame is None else self.frame(points)
        corners = np.rint(mapped * (self.size * self.zoom * SUB)).astype(np.int64)
        self._waiting.append(corners.reshape(-1, *corners.shape[-2:]))
        return self

    def ellipse(self, center: Sequence[float], rx: float, ry: float) -> Mask:
        """Fill an upright ellipse with the given center and radii."""
        return self.ellipses(np.array([[center[0], center[1]]]), np.array([[rx, ry]]))

    def ellipses(self, centers: Array, radii: Array) -> Mask:
        """Fill upright ellipses with centers (k, 2) and radii (k, 2)."""
        return self.polygon(centers[:, None] + radii[:, None] * CIRCLE)

    def bands(self, points: Array, radii: Array) -> Mask:
        """Fill k bands with flat ends along points (k, n, 2), half width radii (k, n) or (n,)."""
        side = normals(tangents(points)) * np.asarray(radii)[..., None]
        return self.polygon(np.concatenate([points + side, (points - side)[:, ::-1]], axis=1))

    def stroke(self, points: Array, radii: Array) -> Mask:
        """Fill one band along points (n, 2), half width radii (n,), with round ends and corners."""
        side = normals(tangents(np.stack([points[:-1], points[1:]], axis=1)))[:, 0]
        near, far = side * radii[:-1, None], side * radii[1:, None]
        start, end = points[:-1], points[1:]
        corners = np.stack([start + near, end + far, end - far, start - near], axis=1)
        return self.polygon(corners).ellipses(points, np.stack([radii, radii], axis=1))

    def clip(self, *others: Mask) -> Mask:
        """Keep only what also lies in every other mask."""
        for other in others:
            self._pixels = self.pixels & other.pixels
        return self

    def cut(self, other: Mask) -> Mask:
        """Remove what lies in the other mask."""
        self._pixels = self.pixels & ~other.pixels
        return self

    def join(self, *others: Mask) -> Mask:
        """Add the other masks' shapes."""
        for other in others:
            self._pixels = self.pixels | other.pixels
        return self

    def array(self, blur: float = 0.0) -> Array:
        """Return the coverage (size, size), 0..1, softened by a box of radius ``blur`` (relative) if that is not 0."""
        small = Image.fromarray(self.pixels).reduce(self.zoom)
        if blur > 0.0:
            small = small.filter(ImageFilter.BoxBlur(blur * self.size))
        return np.asarray(small, dtype=np.float64) / 255.0


def normals(directions: Array) -> Array:
    """Return the vectors (..., 2) turned by a quarter."""
    return np.stack([-directions[..., 1], directions[..., 0]], axis=-1)


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
