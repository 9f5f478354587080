"""Puts a scene together: layers once, then any look in either domain by mixing colors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from .animal import body_masks, pose
from .coat import blaze_mask, stripe_mask
from .landscape import MEADOW, SAVANNAH, Landscape, Palette, draw_landscape
from .looks import N_LOOKS, PATTERNS, Color, coat_of, pattern_of
from .scene import Scene
from .shapes import Array, Mask

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Layers:
    """Everything of a scene that does not depend on domain or look; masks are (size, size), 0..1."""

    scene: Scene
    land: Landscape
    parts: dict[str, Array]
    stripes: dict[int, Array]
    relief: Array
    shadow: Array


def mix(canvas: Array, mask: Array, color: Color | Array, strength: float = 1.0) -> Array:
    """Return canvas (h, w, 3) with the color laid over it where mask (h, w) is 1."""
    cover = (mask * strength)[..., None]
    mixed: Array = canvas + cover * (np.asarray(color, dtype=np.float64) - canvas)
    return mixed


def blend(pair: tuple[Color, Color], share: float) -> Array:
    """Return the color (3,) that lies ``share`` of the way from the first to the second."""
    first, second = np.asarray(pair, dtype=np.float64)
    mixed: Array = first + share * (second - first)
    return mixed


def _relief(body: Mask, scene: Scene) -> Array:
    """Return light minus shade (size, size), about -1..1: edges that face up catch light, the belly is dark."""
    width = scene.scale * body.size * body.zoom
    soft = (
        Image.fromarray(body.pixels).filter(ImageFilter.BoxBlur(0.06 * width)).filter(ImageFilter.BoxBlur(0.05 * width))
    )
    step = max(round(0.06 * width), 1)
    below, above = (np.asarray(ImageChops.offset(soft, 0, dy).reduce(body.zoom), np.float64) for dy in (-step, step))
    return (below - above) / 255.0


def _shadow(scene: Scene, size: int) -> Array:
    mask = Mask(size).ellipse((scene.x, scene.ground + 0.004), 0.62 * scene.scale, 0.075 * scene.scale)
    return mask.array(blur=0.03 * scene.scale)


def draw_layers(scene: Scene, size: int, domains: str = "AB", every_look: bool = False) -> Layers:
    """Draw the masks of a scene at ``size`` pixels; ``compose`` turns them into pictures.

    Only what the named domains need is drawn: the scene's own stripe pattern, or with ``every_look`` all of them.
    """
    bones = pose(scene)
    parts = body_masks(scene, bones, size)
    parts["blaze"] = blaze_mask(bones, scene, parts, size)
    patterns = range(len(PATTERNS)) if every_look else [pattern_of(scene.look)] if "B" in domains else []
    stripes = {k: stripe_mask(scene, bones, parts, size, k).array() for k in patterns}
    soft = {"muscle": 0.06 * scene.scale}
    arrays = {name: mask.array(blur=soft.get(name, 0.0)) for name, mask in parts.items()}
    land = draw_landscape(scene, size, domains)
    return Layers(scene, land, arrays, stripes, _relief(parts["near"], scene), _shadow(scene, size))


def _background(layers: Layers, palette: Palette, domain: str) -> Array:
    land, warmth = layers.land, layers.scene.warmth
    size = land.ground.shape[0]
    y = ((np.arange(size) + 0.5) / size)[:, None, None]
    x = ((np.arange(size) + 0.5) / size)[None, :]
    down = np.clip(y / land.horizon, 0.0, 1.0)
    low, top = blend(palette.sky_low, warmth), blend(palette.sky_top, warmth)
    canvas = np.broadcast_to(top + down * (low - top), (size, size, 3))
    distance = np.sqrt((x - land.sun[0]) ** 2 + (y[..., 0] - land.sun[1]) ** 2)
    radius = 0.028 if domain == "A" else 0.062
    canvas = mix(canvas, 1.0 / (1.0 + (distance / (1.6 * radius)) ** 2), palette.sun, 0.45 if domain == "A" else 0.7)
    canvas = mix(canvas, np.clip((radius - distance) * size + 0.5, 0.0, 1.0), palette.sun, 0.9)
    canvas = mix(canvas, land.clouds[domain], palette.cloud, 0.9 if domain == "A" else 0.6)
    canvas = mix(canvas, land.hills[0], palette.far_hill, 0.85)
    canvas = mix(canvas, land.hills[1], palette.near_hill)
    depth = np.clip((y - land.horizon) / (1.0 - land.horizon), 0.0, 1.0)
    far, near = blend(palette.ground_far, warmth), blend(palette.ground_near, warmth)
    field = (far + depth * (near - far)) * (1.0 + 0.13 * land.noise[..., None] * (0.4 + depth))
    canvas = mix(canvas, land.ground, field)
    trunk, dark, light = land.trees[domain]
    canvas = mix(mix(mix(canvas, trunk, palette.trunk), dark, palette.leaf_dark), light, palette.leaf_light, 0.8)
    canvas = mix(mix(canvas, land.blades[0], palette.blade_dark, 0.45), land.blades[1], palette.blade_light, 0.55)
    return mix(canvas, land.spots, palette.spot, 0.9)


def _horse(layers: Layers, look: int) -> Array:
    coat, parts = coat_of(look), layers.parts
    light_points = pattern_of(look) == 1
    hair = coat.light_hair if light_points else coat.dark_hair
    skin = np.asarray(coat.horse, dtype=np.float64)
    canvas = np.broadcast_to(0.62 * skin, (*parts["near"].shape, 3))
    canvas = mix(canvas, parts["tail"], hair)
    canvas = mix(canvas, parts["near"], skin)
    canvas = mix(canvas, parts["muscle"], 1.12 * skin + 6.0, 0.35)
    canvas = _modelled(canvas, layers)
    far = np.clip(parts["far"] - parts["near"], 0.0, 1.0)
    canvas = mix(canvas, parts["muzzle"], 0.5 * skin, 0.55)
    points = parts["points"] * (1.0 - 0.35 * far)
    canvas = mix(canvas, points, coat.sock if light_points else coat.dark_hair, 0.95)
    canvas = mix(canvas, parts["mane"], hair)
    if light_points:
        canvas = mix(canvas, parts["blaze"], coat.sock)
    return _details(canvas, parts, (58, 48, 44))


def _zebra(layers: Layers, look: int) -> Array:
    coat, parts = coat_of(look), layers.parts
    skin = np.asarray(coat.zebra, dtype=np.float64)
    canvas = np.broadcast_to(0.66 * skin, (*parts["near"].shape, 3))
    canvas = mix(canvas, parts["tail"], 0.8 * skin)
    canvas = mix(mix(canvas, parts["near"], skin), parts["mane"], skin)
    canvas = _modelled(canvas, layers)
    canvas = mix(canvas, layers.stripes[pattern_of(look)], coat.stripe, 0.96)
    canvas = mix(canvas, parts["muzzle"], coat.stripe, 0.85)
    canvas = mix(mix(canvas, parts["tuft"], coat.stripe, 0.9), parts["brush"], coat.stripe, 0.8)
    return _details(canvas, parts, (44, 38, 36))


def _details(canvas: Array, parts: dict[str, Array], hoof: Color) -> Array:
    canvas = mix(mix(canvas, parts["hooves"], hoof), parts["eye"], (18, 13, 12))
    return mix(canvas, parts["glint"], (250, 250, 250), 0.9)


def _modelled(canvas: Array, layers: Layers) -> Array:
    """Light the body from above: relief brightens the back and darkens the belly."""
    relief = layers.relief
    canvas = mix(canvas, np.clip(relief, 0.0, 1.0), (255, 250, 236), 0.22)
    return canvas * (1.0 + 0.42 * np.clip(relief, -1.0, 0.0))[..., None]


def compose(layers: Layers, domain: str, look: int | None = None, cue: float = 1.0) -> Picture:
    """Return the picture (size, size, 3) uint8 of a scene in domain "A" or "B".

    ``look`` overrides the scene's own look, to compare a picture with all of them. ``cue`` (0..1) is how much of its
    look a horse shows: below 1 it is mixed with the mean horse of all looks.

    Raises:
        ValueError: the domain is neither "A" nor "B".
    """
    if domain not in ("A", "B"):
        raise ValueError(f"domain must be 'A' or 'B', not {domain!r}")
    palette = MEADOW if domain == "A" else SAVANNAH
    chosen = layers.scene.look if look is None else look
    canvas = _background(layers, palette, domain)
    canvas = mix(canvas, layers.shadow, 0.45 * blend(palette.ground_near, layers.scene.warmth), 0.6)
    animal = (_horse if domain == "A" else _zebra)(layers, chosen)
    if domain == "A" and cue < 1.0:
        mean = np.mean([_horse(layers, other) for other in range(N_LOOKS)], axis=0)
        animal = mean + cue * (animal - mean)
    canvas = mix(canvas, layers.parts["animal"], animal)
    dark, light = layers.land.front
    canvas = mix(mix(canvas, dark, palette.blade_dark, 0.7), light, palette.blade_light, 0.8)
    return np.rint(np.clip(canvas * layers.scene.light, 0.0, 255.0)).astype(np.uint8)
