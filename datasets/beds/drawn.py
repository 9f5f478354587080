"""The drawn horses and zebras of `datasets.toy`, the looks with a long tail."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from coopcut.datasets.beds.folder import Bed, Drawn, Picture, Settings, plan
from coopcut.datasets.toy.looks import N_LOOKS, look_name
from coopcut.datasets.toy.render import compose, draw_layers
from coopcut.datasets.toy.scene import Scene, make_scene, scene_truth

# scenes of refB are those of trainB far beyond the ones that are drawn for it
BEGIN = {"trainA": ("trainA", 0), "trainB": ("trainB", 0), "test": ("test", 0), "refB": ("trainB", 100_000)}


def drawn(settings: Settings) -> tuple[Bed, Iterator[Drawn]]:
    """The bed and its pictures. trueB holds what the images of trainA would be as zebras."""
    return Bed("drawn", [look_name(k) for k in range(N_LOOKS)], asdict(settings)), _pictures(settings)


def _pictures(settings: Settings) -> Iterator[Drawn]:
    used: dict[tuple[str, int], int] = {}
    for split, number, look in plan(settings, N_LOOKS):
        scene = _scene(settings.seed, split, look, used)
        truth = scene_truth(scene)
        for folder, domain in _folders(split):
            yield folder, number, _picture(scene, settings, domain), look, truth


def _folders(split: str) -> list[tuple[str, str]]:
    """(folder, domain) of what is drawn of a scene."""
    both = {"trainA": [("trainA", "A"), ("trueB", "B")], "test": [("testA", "A"), ("testB", "B")]}
    return both.get(split, [(split, "B")])


def _scene(seed: int, split: str, look: int, used: dict[tuple[str, int], int]) -> Scene:
    """The next scene of a look: each run of N_LOOKS scenes has every look once."""
    source, begin = BEGIN[split]
    block = used.get((split, look), 0)
    used[split, look] = block + 1
    first = (begin // N_LOOKS + block) * N_LOOKS
    return next(s for s in (make_scene(seed, source, i) for i in range(first, first + N_LOOKS)) if s.look == look)


def _picture(scene: Scene, settings: Settings, domain: str) -> Picture:
    layers: Any = draw_layers(scene, settings.size, domain)
    return compose(layers, domain, cue=settings.cue)
