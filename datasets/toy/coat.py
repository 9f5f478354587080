"""What is painted on the animal's body: stripes in two patterns, the blaze and the socks.

Everything is laid out in animal coordinates, so the stripes follow the pose and do not slide with the picture.
"""

from __future__ import annotations

import math

import numpy as np

from .animal import Skeleton
from .scene import Scene
from .shapes import Array, Frame, Mask, bezier, normals, tangents, taper

# Distance between two trunk stripes, share of it that is dark, and lean (towards the tail, per unit of height).
STRIPES: tuple[tuple[float, float, float], ...] = ((0.185, 0.50, 0.06), (0.112, 0.50, 0.80))


def _trunk_stripes(mask: Mask, pattern: int) -> None:
    pitch, dark, lean = STRIPES[pattern]
    reach = 0.56 + lean * 0.5
    start = np.arange(-reach, reach, pitch)
    # Broad bands open like a fan over the haunch, as on a real zebra.
    fan = np.maximum(-0.12 - start, 0.0) * (0.5 if pattern == 0 else 0.0)
    top = np.stack([start - lean * 0.25 + 0.2 * fan, np.full_like(start, 1.06)], axis=1)
    middle = np.stack([start + 0.03, np.full_like(start, 0.74)], axis=1)
    bottom = np.stack([start + lean * 0.32 - 0.9 * fan, np.full_like(start, 0.42)], axis=1)
    mask.bands(bezier(bottom, middle, top, 7), 0.5 * pitch * dark * taper((0.55, 1.0, 1.1), 7))


def _neck_stripes(mask: Mask, bones: Skeleton, pattern: int) -> None:
    pitch, dark, lean = STRIPES[pattern]
    steps = np.sqrt((np.diff(bones.neck, axis=0) ** 2).sum(axis=1))
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    distance = np.arange(0.06, travelled[-1] + 0.02, pitch * 0.9)

    def along_neck(values: Array) -> Array:
        return np.stack([np.interp(distance, travelled, values[:, k]) for k in range(2)], axis=1)

    at, way = along_neck(bones.neck), along_neck(tangents(bones.neck))
    radius = np.interp(distance, travelled, bones.neck_radii) + 0.08
    arm = radius[:, None] * (normals(way) - 0.35 * lean * way)
    mask.bands(np.stack([at - arm, at + arm], axis=1), np.array([0.38, 0.52]) * pitch * dark)


def _limb_stripes(mask: Mask, bones: Skeleton, pattern: int) -> None:
    pitch, dark, lean = STRIPES[pattern]
    pitch *= 0.72 if pattern == 0 else 0.86
    rings = []
    for limb in bones.limbs:
        for k in (1, 2):
            bone = limb.joints[k + 1] - limb.joints[k]
            length = math.hypot(bone[0], bone[1])
            way = bone / length
            arm = 0.12 * (normals(way) - 0.35 * lean * way)
            at = limb.joints[k] + np.arange(-0.08 if k == 1 else 0.02, length, pitch)[:, None] * way
            rings.append(np.stack([at - arm, at + arm], axis=1))
    mask.bands(np.concatenate(rings), np.full(2, 0.5 * pitch * dark))


def _head_stripes(mask: Mask, bones: Skeleton, pattern: int) -> None:
    pitch, dark, lean = STRIPES[pattern]
    pitch *= 0.62 if pattern == 0 else 0.8
    for u in np.arange(0.05, 0.33, pitch):
        ends = bones.on_head(np.array([[u + 0.05 + 0.08 * lean, -0.16], [u - 0.02 - 0.08 * lean, 0.17]]))
        mask.bands(ends[None], np.array([0.55, 0.35]) * pitch * dark)


def stripe_mask(scene: Scene, bones: Skeleton, parts: dict[str, Mask], size: int, pattern: int) -> Mask:
    """Draw the stripes of a pattern (0 broad upright, 1 fine diagonal), clipped to the body."""
    frame = Frame(scene.x, scene.ground, scene.scale, scene.flip)
    neck, trunk, limbs, head = (Mask(size, frame) for _ in range(4))
    legs, front = Mask(size, frame), Mask(size, frame)
    for limb in bones.limbs:
        elbow = limb.joints[1] + 0.25 * (limb.joints[2] - limb.joints[1])
        legs.stroke(np.concatenate([elbow[None], limb.joints[2:]]), limb.radii[1:] * 1.2)
    front.bands(bones.neck[None, 2:], bones.neck_radii[2:] * 1.25)
    _trunk_stripes(trunk, pattern)
    _neck_stripes(neck, bones, pattern)
    _limb_stripes(limbs, bones, pattern)
    _head_stripes(head, bones, pattern)
    return _assemble(scene, bones, size, (trunk, neck.clip(front), limbs.clip(legs), head), (front, legs), parts)


def _assemble(
    scene: Scene,
    bones: Skeleton,
    size: int,
    layers: tuple[Mask, Mask, Mask, Mask],
    regions: tuple[Mask, Mask],
    parts: dict[str, Mask],
) -> Mask:
    """Lay the four groups of stripes side by side, each only in its own region."""
    trunk, neck, limbs, head = layers
    front, legs = regions
    frame = Frame(scene.x, scene.ground, scene.scale, scene.flip)
    skull = Mask(size, frame).polygon(bones.on_head(_box(-0.06, -0.2, 0.6, 0.2)))
    trunk.cut(front).cut(legs).cut(skull)
    neck.cut(skull).cut(legs)
    limbs.clip(legs).cut(skull)
    return trunk.join(neck, limbs, head.clip(skull)).clip(parts["animal"]).cut(parts["muzzle"])


def _box(x0: float, y0: float, x1: float, y1: float) -> Array:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def blaze_mask(bones: Skeleton, scene: Scene, parts: dict[str, Mask], size: int) -> Mask:
    """Draw the white stripe down the horse's face."""
    mask = Mask(size, Frame(scene.x, scene.ground, scene.scale, scene.flip))
    line = bones.on_head(np.array([[0.08, -0.075], [0.22, -0.06], [0.34, -0.05], [0.43, -0.03]]))
    return mask.stroke(line, np.array([0.035, 0.042, 0.042, 0.05])).clip(parts["near"])
