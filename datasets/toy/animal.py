"""The animal's body: a posed skeleton and the coverage masks of its parts.

Both domains use the same masks, so the silhouettes of a horse and of its zebra are equal pixel by pixel.
Animal coordinates: withers at height 1, feet at y = 0, y up, facing +x; angles in degrees from +x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .scene import Scene
from .shapes import Array, Frame, Mask, bezier, direction, normals, smooth_outline, tangents, taper, two_bones

TRUNK = (
    (-0.50, 0.86),
    (-0.38, 0.985),
    (-0.20, 0.985),
    (0.02, 0.935),
    (0.22, 0.985),
    (0.34, 0.99),
    (0.47, 0.86),
    (0.50, 0.70),
    (0.42, 0.56),
    (0.24, 0.475),
    (0.00, 0.455),
    (-0.18, 0.49),
    (-0.30, 0.53),
    (-0.44, 0.56),
    (-0.535, 0.70),
)
# Along the head from the poll (u) and across it (v, positive towards the jaw).
HEAD = (
    (-0.02, -0.085),
    (0.12, -0.095),
    (0.26, -0.080),
    (0.39, -0.070),
    (0.455, -0.030),
    (0.465, 0.035),
    (0.42, 0.085),
    (0.33, 0.085),
    (0.24, 0.095),
    (0.15, 0.145),
    (0.04, 0.145),
    (-0.05, 0.06),
)
NECK_LENGTH = 0.60


@dataclass(frozen=True)
class Limb:
    """One leg: joints (5, 2) from the trunk to the toe, half widths (5,) and whether it is on the far side."""

    joints: Array
    radii: Array
    far: bool


@dataclass(frozen=True)
class Skeleton:
    """The posed animal in animal coordinates."""

    neck: Array
    neck_radii: Array
    poll: Array
    along: Array
    across: Array
    limbs: tuple[Limb, ...]
    tail: Array

    def on_head(self, points: Array) -> Array:
        """Map head coordinates (n, 2) to animal coordinates (n, 2)."""
        mapped: Array = self.poll + points[:, :1] * self.along + points[:, 1:] * self.across
        return mapped


def _limb(scene: Scene, front: bool, far: bool) -> Limb:
    """Pose one leg: diagonal pairs move together, the foot travels back on the ground and forward in the air."""
    turn = math.radians(scene.phase + (180.0 if front == far else 0.0))
    forward = scene.stride * math.cos(turn)
    raised = scene.lift * max(math.sin(turn), 0.0)
    stagger = (0.05 if front else 0.06) * (1.0 if far else -0.4)
    if front:
        start = np.array([0.37 + 0.3 * stagger, 0.60])
        end = np.array([0.36 + stagger + forward, 0.10 + raised])
        knee, ankle = two_bones(start, end, 0.27, 0.25, 1.0)
        top, radii = np.array([0.35, 0.74]), (0.135, 0.088, 0.054, 0.043, 0.054)
    else:
        start = np.array([-0.33 + 0.3 * stagger, 0.62])
        end = np.array([-0.44 + stagger + forward, 0.10 + raised])
        knee, ankle = two_bones(start, end, 0.30, 0.275, -1.0)
        top, radii = np.array([-0.34, 0.76]), (0.185, 0.125, 0.058, 0.045, 0.056)
    lean = 0.035 - 0.5 * raised
    toe = np.array([ankle[0] + lean, max(ankle[1] - 0.075, 0.022)])
    return Limb(np.stack([top, start, knee, ankle, toe]), np.array(radii), far)


def pose(scene: Scene) -> Skeleton:
    """Return the skeleton of a scene's animal."""
    base = np.array([0.29, 0.80])
    poll = base + NECK_LENGTH * 1.05 * direction(scene.neck)
    arch = base + 0.34 * direction(scene.neck + (4.0 if scene.neck > 0 else 16.0))
    neck = bezier(base, arch, poll, 11)
    along = direction(scene.head)
    across = np.array([along[1], -along[0]])
    sway = scene.tail - 0.5
    tail = bezier(
        np.array([-0.49, 0.90]),
        np.array([-0.66 - 0.10 * scene.tail, 0.86]),
        np.array([-0.63 - 0.10 * sway, 0.30 + 0.08 * scene.tail]),
        11,
    )
    limbs = tuple(_limb(scene, front, far) for far in (True, False) for front in (False, True))
    return Skeleton(neck, taper((0.235, 0.20, 0.155, 0.125, 0.105), 11), poll, along, across, limbs, tail)


def _crest(bones: Skeleton) -> tuple[Array, Array]:
    """Return points (11, 2) along the top of the neck and the unit vectors (11, 2) that point away from it."""
    outward = normals(tangents(bones.neck))
    return bones.neck + outward * bones.neck_radii[:, None], outward


def _mane(bones: Skeleton, size: int, frame: Frame) -> tuple[Mask, Mask]:
    """Draw the mane with its forelock, and its outer edge alone (the dark tips of a zebra's brush)."""
    crest, outward = _crest(bones)
    hair = Mask(size, frame)
    upper = crest[2:] + 0.035 * outward[2:]
    fringe = np.where(np.arange(len(upper)) % 2 == 0, 0.125, 0.085) * taper((0.35, 1.0, 1.0, 0.9), len(upper))
    hair.polygon(np.concatenate([upper, (crest[2:] - fringe[:, None] * outward[2:])[::-1]]))
    hair.stroke(upper, taper((0.015, 0.035, 0.035), len(upper)))
    lock = bones.on_head(np.array([[-0.05, -0.07], [0.05, -0.085], [0.12, -0.06]]))
    brush = Mask(size, frame).stroke(upper + 0.012 * outward[2:], np.full(len(upper), 0.026)).clip(hair)
    return hair.stroke(lock, np.array([0.055, 0.045, 0.02])), brush


def _ear(bones: Skeleton, mask: Mask, shift: float) -> None:
    points = [
        (-0.03 + shift, -0.06),
        (-0.10 + shift, -0.135),
        (-0.175 + shift, -0.175),
        (-0.135 + shift, -0.085),
        (-0.075 + shift, -0.01),
    ]
    mask.polygon(smooth_outline(bones.on_head(np.array(points)).tolist(), 3))


def body_masks(scene: Scene, bones: Skeleton, size: int) -> dict[str, Mask]:
    """Draw the parts of the animal.

    Returns masks ``near`` (trunk, neck, head, near legs), ``far`` (far legs and ear), ``tail``, ``mane``,
    ``points`` (lower legs), ``hooves``, ``muzzle``, ``eye``, ``glint`` (in the eye), ``muscle`` (haunch and
    shoulder, to be softened), ``tuft`` (end of the tail), ``brush`` (edge of the mane) and ``animal``, the union
    of near, far, tail and mane.
    """
    frame = Frame(scene.x, scene.ground, scene.scale, scene.flip)
    names = ("near", "far", "points", "hooves", "muzzle", "eye", "muscle", "tail", "tuft", "glint", "animal")
    parts = {name: Mask(size, frame) for name in names}
    for limb in bones.limbs:
        parts["far" if limb.far else "near"].stroke(limb.joints, limb.radii)
        parts["points"].stroke(_lower_leg(limb), limb.radii[[2, 3, 4]] * 1.25)
        ankle, toe = limb.joints[3], limb.joints[4]
        hoof = np.stack([ankle + 0.62 * (toe - ankle), ankle + 1.9 * (toe - ankle)])
        parts["hooves"].bands(hoof[None], np.array([0.08, 0.09]))
    parts["near"].polygon(smooth_outline(TRUNK))
    parts["near"].stroke(bones.neck, bones.neck_radii)
    parts["near"].polygon(smooth_outline(bones.on_head(np.array(HEAD)).tolist()))
    _ear(bones, parts["near"], 0.0)
    _ear(bones, parts["far"], 0.055)
    nose = bones.on_head(np.array([[0.43, 0.01], [0.36, 0.01], [0.13, -0.035]]))
    parts["muzzle"].stroke(nose[:2], np.array([0.10, 0.085]))
    parts["eye"].ellipse(nose[2].tolist(), 0.034, 0.034)
    parts["glint"].ellipse((nose[2, 0] + 0.008, nose[2, 1] + 0.012), 0.011, 0.011)
    parts["muscle"].ellipse((-0.33, 0.74), 0.15, 0.17).ellipse((0.34, 0.72), 0.11, 0.17)
    hair = taper((0.035, 0.045, 0.07, 0.085, 0.07, 0.02), 11)
    parts["tail"].stroke(bones.tail, hair)
    parts["tuft"].stroke(bones.tail[6:], hair[6:])
    parts["mane"], parts["brush"] = _mane(bones, size, frame)
    body = parts["animal"].join(parts["near"], parts["far"])
    for name in ("points", "hooves", "muzzle", "eye"):
        parts[name].clip(body)
    body.join(parts["tail"], parts["mane"])
    return parts


def _lower_leg(limb: Limb) -> Array:
    """Return the leg (3, 2) from just under the knee or hock to the toe."""
    knee, ankle, toe = limb.joints[2:]
    return np.stack([knee + 0.30 * (ankle - knee), ankle, toe])
