"""The background: one layout (hills, trees, clouds, grass) painted as a green meadow or as a yellow savannah."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .looks import Color
from .scene import Scene
from .shapes import Array, Mask


@dataclass(frozen=True)
class Palette:
    """Colors (sRGB 0..255) of one domain's landscape; pairs are the cool and the warm end of the light."""

    sky_top: tuple[Color, Color]
    sky_low: tuple[Color, Color]
    sun: Color
    cloud: Color
    far_hill: Color
    near_hill: Color
    ground_far: tuple[Color, Color]
    ground_near: tuple[Color, Color]
    blade_dark: Color
    blade_light: Color
    leaf_dark: Color
    leaf_light: Color
    trunk: Color
    spot: Color


MEADOW = Palette(
    sky_top=((72, 138, 214), (104, 158, 214)),
    sky_low=((198, 226, 244), (226, 234, 232)),
    sun=(255, 255, 240),
    cloud=(255, 255, 255),
    far_hill=(122, 164, 176),
    near_hill=(96, 150, 92),
    ground_far=((142, 190, 92), (164, 194, 88)),
    ground_near=((62, 128, 44), (86, 138, 42)),
    blade_dark=(34, 92, 30),
    blade_light=(156, 206, 88),
    leaf_dark=(38, 92, 46),
    leaf_light=(92, 150, 66),
    trunk=(84, 60, 42),
    spot=(250, 244, 214),
)
SAVANNAH = Palette(
    sky_top=((240, 196, 120), (228, 138, 92)),
    sky_low=((255, 240, 198), (255, 220, 160)),
    sun=(255, 250, 214),
    cloud=(255, 226, 190),
    far_hill=(190, 142, 128),
    near_hill=(186, 146, 84),
    ground_far=((226, 190, 104), (230, 182, 92)),
    ground_near=((176, 124, 48), (172, 110, 40)),
    blade_dark=(128, 84, 30),
    blade_light=(244, 212, 118),
    leaf_dark=(84, 88, 40),
    leaf_light=(132, 124, 56),
    trunk=(74, 50, 36),
    spot=(150, 104, 52),
)


@dataclass(frozen=True)
class Landscape:
    """Coverage masks (size, size), 0..1, and light fields of one scene; what differs is kept per domain."""

    horizon: float
    sun: tuple[float, float]
    clouds: dict[str, Array]
    hills: tuple[Array, Array]
    ground: Array
    trees: dict[str, tuple[Array, Array, Array]]
    noise: Array
    blades: tuple[Array, Array]
    front: tuple[Array, Array]
    spots: Array


def _value_noise(rng: np.random.Generator, size: int, columns: int, rows: int) -> Array:
    """Return smooth noise (size, size) in -1..1: a coarse random grid with eased steps between its points."""
    grid = 2.0 * rng.random((rows + 1, columns + 1)) - 1.0
    (top, down), (left, right) = _ease(size, rows), _ease(size, columns)
    lines = grid[top] + down[:, None] * (grid[top + 1] - grid[top])
    noise: Array = lines[:, left] + right * (lines[:, left + 1] - lines[:, left])
    return noise


def _ease(size: int, cells: int) -> tuple[NDArray[np.int64], Array]:
    """Return the grid cell (size,) of every pixel along one axis and how far (0..1, eased) it lies inside."""
    place = (np.arange(size) + 0.5) * (cells / size)
    cell = place.astype(np.int64)
    part = place - cell
    return cell, part * part * (3.0 - 2.0 * part)


def _ridge(size: int, rng: np.random.Generator, base: float, height: float) -> Array:
    u = rng.random(6).tolist()
    x = np.linspace(-0.01, 1.01, 48)
    waves = [math.cos(6.283 * (k * 0.7 * v + u[k])) * (0.6 + u[3 + k]) / (k + 1.0) for v in x for k in range(3)]
    y = base - height * (0.9 + 0.5 * np.array(waves).reshape(48, 3).sum(axis=1))
    outline = np.concatenate([np.stack([x, y], axis=1), [[1.01, 1.01], [-0.01, 1.01]]])
    return Mask(size).polygon(outline).array()


def _clouds(size: int, rng: np.random.Generator, horizon: float, domain: str) -> Array:
    """Draw clouds as heaps (A) or, at the same places, as long streaks (B)."""
    mask = Mask(size)
    order = np.arange(5) - 2.0
    for _ in range(2 + int(rng.random() * 3)):
        u = rng.random(13)
        x, y, width = u[0], horizon * (0.12 + 0.5 * u[1]), 0.10 + 0.12 * u[2]
        if domain == "A":
            tall = 0.13 * width * np.array([1.0, 1.6, 2.0, 1.5, 0.9]) * (0.8 + 0.5 * u[3:8])
            centers = np.stack([x + 0.4 * width * order, y - 0.5 * tall], axis=1)
            mask.ellipses(centers, np.stack([np.full(5, 0.34 * width), tall], axis=1))
        else:
            centers = np.stack([x + 0.68 * width * order, y + 0.02 * (u[8:] - 0.5)], axis=1)
            mask.ellipses(centers, np.stack([np.full(5, 0.8 * width), 0.006 + 0.006 * u[3:8]], axis=1))
    return mask.array(blur=0.006)


# Crown of a tree of height 1: offsets of the blobs from the stem's top (x right, y down) and their radii (x, y).
ROUND_CROWN = np.array(
    [(-0.22, 0.38, 0.20, 0.20), (0.22, 0.40, 0.20, 0.20), (0.0, 0.20, 0.22, 0.22), (0.0, 0.42, 0.24, 0.24)]
)
FLAT_CROWN = np.array([(-0.34, 0.20, 0.30, 0.085), (0.32, 0.17, 0.32, 0.085), (0.0, 0.10, 0.42, 0.085)])


def _trees(size: int, rng: np.random.Generator, horizon: float, domain: str) -> tuple[Array, Array, Array]:
    """Draw trees with round crowns (A) or, at the same places, umbrella acacias (B): stems, dark and light leaves."""
    stems, dark, light = Mask(size), Mask(size), Mask(size)
    crown = ROUND_CROWN if domain == "A" else FLAT_CROWN
    for _ in range(2 + int(rng.random() * 4)):
        u = rng.random(3).tolist()
        x, height = u[0], 0.10 + 0.15 * u[1] * u[1]
        foot = horizon + 0.015 + 0.10 * (height - 0.10)
        lean = 0.10 * height * (u[2] - 0.5)
        top = foot - height
        fork = np.array([x + 0.3 * lean, foot - 0.5 * height])
        stem = np.stack([[x, foot], fork, [x + lean, top + 0.1 * height]])
        stems.bands(stem[None], height * np.array([0.05, 0.035, 0.025]))
        centers = np.array([x + lean, top]) + height * crown[:, :2]
        radii = height * crown[:, 2:]
        dark.ellipses(centers, radii)
        if domain == "A":
            light.ellipses(centers - height * np.array([0.06, 0.07]), radii * np.array([0.62, 0.55]))
        else:
            light.ellipses(centers - height * np.array([0.0, 0.035]), radii * np.array([0.8, 0.4]))
            branches = np.stack([np.broadcast_to(fork, centers.shape), centers], axis=1)
            stems.bands(branches, height * np.array([0.03, 0.015]))
    return stems.array(), dark.array(), light.array()


def _grass(size: int, rng: np.random.Generator, count: int, low: float, high: float) -> tuple[Array, Array]:
    """Draw grass blades rooted between two heights, longer towards the viewer: dark ones and light ones."""
    x, depth, tall, bend, kind = rng.random((count, 5)).T
    y = low + (high - low) * depth
    length = (0.012 + 0.045 * (y - 0.4)) * (0.6 + 0.8 * tall)
    lean = 0.5 * length * (bend - 0.5)
    spine = np.stack(
        [np.stack([x + part * lean, y - rise * length], axis=1) for part, rise in ((0.0, 0.0), (0.4, 0.6), (1.0, 1.0))],
        axis=1,
    )
    width = length[:, None] * np.array([0.13, 0.10, 0.02])
    dark, light = (Mask(size).bands(spine[pick], width[pick]) for pick in (kind >= 0.5, kind < 0.5))
    return dark.array(), light.array()


def draw_landscape(scene: Scene, size: int, domains: str = "AB") -> Landscape:
    """Draw the layers of a scene's background at ``size`` pixels for the domains named."""
    rng = scene.rng(2)
    horizon = scene.horizon
    x, y, r = rng.random((18, 3)).T
    y = horizon + 0.08 + (0.90 - horizon) * y
    radius = (0.003 + 0.008 * (y - horizon)) * (0.8 + 0.6 * r)
    spots = Mask(size).ellipses(np.stack([x, y], axis=1), np.stack([1.2 * radius, radius], axis=1))
    ground = Mask(size).polygon(np.array([[-0.01, horizon], [1.01, horizon], [1.01, 1.01], [-0.01, 1.01]]))
    sun_x, sun_y, far, near = rng.random(4).tolist()
    return Landscape(
        horizon=horizon,
        sun=(0.1 + 0.8 * sun_x, horizon * (0.25 + 0.45 * sun_y)),
        clouds={domain: _clouds(size, scene.rng(3), horizon, domain) for domain in domains},
        hills=(_ridge(size, rng, horizon, 0.05 + 0.08 * far), _ridge(size, rng, horizon + 0.015, 0.02 + 0.03 * near)),
        ground=ground.array(),
        trees={domain: _trees(size, scene.rng(4), horizon, domain) for domain in domains},
        noise=0.6 * _value_noise(rng, size, 6, 14) + 0.4 * _value_noise(rng, size, 22, 44),
        blades=_grass(size, scene.rng(5), 190, horizon + 0.03, 1.02),
        front=_grass(size, scene.rng(6), 60, scene.ground + 0.012, 1.04),
        spots=spots.array(),
    )
