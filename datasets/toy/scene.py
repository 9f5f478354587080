"""What is in one picture: the animal's pose and place, the look, the light. Drawn from a seed per picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .looks import N_LOOKS, PATTERNS, balanced_look, coat_of, pattern_of

VERSION = 1

# testA and testB share the split "test": the same scene drawn twice.
SPLITS: dict[str, int] = {"trainA": 0, "trainB": 1, "test": 2}


@dataclass(frozen=True)
class Scene:
    """One scene; positions and lengths are relative to the picture (0..1, y down), angles in degrees."""

    seed: int
    split: str
    index: int
    look: int
    flip: bool
    scale: float
    x: float
    ground: float
    neck: float
    head: float
    phase: float
    stride: float
    lift: float
    tail: float
    horizon: float
    light: float
    warmth: float

    def rng(self, stream: int) -> np.random.Generator:
        """Return a fresh generator for the details of one layer; draw from it with ``random`` only."""
        return np.random.default_rng([self.seed, SPLITS[self.split], self.index, stream])


def make_scene(seed: int, split: str, index: int) -> Scene:
    """Return scene ``index`` (from 0) of a split in ``SPLITS``; the same three arguments give the same scene.

    Only ``Generator.random`` is used, whose stream does not change between numpy releases.

    Raises:
        KeyError: the split is not known.
    """
    code = SPLITS[split]
    u = np.random.default_rng([seed, code, index, 0]).random(16).tolist()
    mode = 0 if u[0] < 0.45 else 1 if u[0] < 0.8 else 2
    neck = (54.0, 34.0, -42.0)[mode] + 12.0 * u[1]
    head = (-46.0, -52.0, -78.0)[mode] + 16.0 * u[2]
    walking = u[3] < 0.6
    scale = 0.37 + 0.13 * u[4]
    left, right = 0.72, 1.18
    margin = 0.02
    slack = 1.0 - 2 * margin - (left + right) * scale
    flip = u[5] < 0.5
    x = margin + (right if flip else left) * scale + slack * u[6]
    return Scene(
        seed=seed,
        split=split,
        index=index,
        look=balanced_look(seed, code, index),
        flip=flip,
        scale=scale,
        x=x,
        ground=0.86 + 0.09 * u[7],
        neck=neck,
        head=head,
        phase=360.0 * u[8],
        stride=0.10 + 0.12 * u[9] if walking else 0.03,
        lift=0.06 + 0.12 * u[10] if walking else 0.0,
        tail=u[11],
        horizon=0.40 + 0.14 * u[12],
        light=0.95 + 0.09 * u[13],
        warmth=u[14],
    )


def scene_truth(scene: Scene) -> dict[str, Any]:
    """Return the JSON record of a scene: its look, and the seed, split and index that redraw it."""
    return {
        "look": scene.look,
        "coat": coat_of(scene.look).name,
        "pattern": PATTERNS[pattern_of(scene.look)],
        "scene": {"seed": scene.seed, "split": scene.split, "index": scene.index},
    }


def scene_from_truth(truth: Mapping[str, Any]) -> Scene:
    """Rebuild the scene of a ``looks.json`` record.

    Raises:
        ValueError: the record is incomplete, or its look is not the one the scene has.
    """
    try:
        where = truth["scene"]
        scene = make_scene(int(where["seed"]), str(where["split"]), int(where["index"]))
        look = int(truth["look"])
    except (KeyError, TypeError) as err:
        raise ValueError(f"not a record of looks.json: {err!r} is missing or wrong") from err
    if look != scene.look:
        raise ValueError(f"the record says look {look}, the scene has look {scene.look} of {N_LOOKS}")
    return scene
