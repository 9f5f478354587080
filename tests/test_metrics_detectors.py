"""Detectors fire on made examples and are silent on good ones; figures of looks by hand."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coopcut.metrics import detectors
from coopcut.metrics.looks import LookFigures, confusion_matrix, effective_number, reverse_kl

Pictures = NDArray[np.uint8]
N = 48


def scenes(seed: int = 0, number: int = N) -> NDArray[np.float64]:
    """Bright and dark rectangles on gray, [n, 32, 32, 3]."""
    rng = np.random.default_rng(seed)
    found = np.full((number, 32, 32, 3), 128.0)
    for picture in found:
        for _ in range(4):
            y, x, h, w = (*rng.integers(0, 24, 2), *rng.integers(6, 14, 2))
            picture[y : y + h, x : x + w] = rng.uniform(40, 215, 3)
    return found


def as_bytes(pictures: NDArray[Any]) -> Pictures:
    return np.clip(pictures, 0, 255).astype(np.uint8)


INPUTS = as_bytes(scenes())
GOOD = as_bytes(scenes() * np.array([0.9, 0.6, 0.3]) + np.array([20.0, 40.0, 60.0]))  # the same shapes in other colors


def image_detectors(inputs: Pictures, outputs: Pictures) -> dict[str, bool]:
    found = [detectors.ignores_input(inputs, outputs), detectors.all_the_same(inputs, outputs)]
    found += [detectors.equals_input(inputs, outputs), detectors.inverted_colours(inputs, outputs)]
    return {finding.name: finding.fires for finding in found}


NAMES = ("ignores the input", "one output for all", "equals the input", "inverted colors")
EXAMPLES = {
    "good": (GOOD, set()),
    "shuffled": (np.roll(GOOD, 1, axis=0), {NAMES[0]}),
    "other scenes": (as_bytes(scenes(9)), {NAMES[0]}),
    "one picture": (np.repeat(GOOD[:1], N, axis=0), {NAMES[0], NAMES[1]}),
    "plain": (np.full_like(GOOD, 90), {NAMES[0], NAMES[1]}),
    "unchanged": (INPUTS.copy(), {NAMES[2]}),
    "nearly unchanged": (as_bytes(INPUTS.astype(np.float64) + 4.0), {NAMES[2]}),
    "negative": (255 - GOOD, {NAMES[3]}),
    "negative input": (255 - INPUTS, {NAMES[3]}),
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_examples(case: str) -> None:
    outputs, wrong = EXAMPLES[case]
    found = image_detectors(INPUTS, outputs)
    assert {name for name, fires in found.items() if fires} == wrong
    assert set(found) == set(NAMES)


def test_values_by_hand() -> None:
    assert detectors.ignores_input(INPUTS, GOOD).value == pytest.approx(1, abs=0.01)
    assert detectors.ignores_input(INPUTS, np.full_like(INPUTS, 7)).value == 0.5  # all ties
    assert detectors.equals_input(INPUTS, INPUTS).value == 0
    assert detectors.equals_input(np.full_like(INPUTS, 9), np.full_like(INPUTS, 12)).value == 3
    assert detectors.inverted_colours(INPUTS, 255 - INPUTS).value == pytest.approx(-1)
    assert detectors.inverted_colours(INPUTS, INPUTS).value == pytest.approx(1)
    assert detectors.all_the_same(INPUTS, INPUTS).value == pytest.approx(1)


def test_many_images_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = detectors.ignores_input(INPUTS, np.roll(GOOD, 1, axis=0)).value
    monkeypatch.setattr(detectors, "BLOCK", 5)
    assert detectors.ignores_input(INPUTS, np.roll(GOOD, 1, axis=0)).value == pytest.approx(whole)


def clusters(number: int, of: int, seed: int = 0) -> NDArray[np.float64]:
    """Vectors around the first `number` of `of` centers."""
    centers = 10 * np.random.default_rng(99).standard_normal((of, 5))
    return centers[np.arange(64) % number] + 0.1 * np.random.default_rng(seed).standard_normal((64, 5))


def test_collapse_by_features() -> None:
    real = clusters(8, 8)
    values = [detectors.collapses(real, clusters(number, 8, 1)).value for number in (8, 6, 4, 2, 1)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1, abs=0.05)
    fires = [detectors.collapses(real, clusters(number, 8, 1)).fires for number in (8, 6, 2, 1)]
    assert fires == [False, False, True, True], values
    assert detectors.collapses(real, np.repeat(real[:1], 64, axis=0)).fires
    assert not detectors.collapses(real, clusters(8, 8, 2)[:40]).fires  # other counts


def test_collapse_by_known_looks() -> None:
    target = np.full(8, 4)
    assert not detectors.few_looks(target, target).fires
    assert not detectors.few_looks(np.array([8, 8, 8, 8, 0, 0, 0, 8]), target).fires
    assert detectors.few_looks(np.array([29, 1, 1, 1, 0, 0, 0, 0]), target).fires


def test_reverse_kl_by_hand() -> None:
    even = np.full(8, 4)
    assert reverse_kl(even, even) == 0
    assert reverse_kl(np.array([4, 4, 0, 0, 0, 0, 0, 0]), even) == pytest.approx(math.log(4))
    q, p = np.array([3, 1]), np.array([1, 3])
    assert reverse_kl(q, p) == pytest.approx(0.75 * math.log(3) - 0.25 * math.log(3))
    assert reverse_kl(q, np.array([4, 0])) == math.inf
    assert math.isnan(reverse_kl(np.zeros(2, int), p))
    assert effective_number(even) == pytest.approx(8)
    assert effective_number(np.array([5, 0, 0])) == pytest.approx(1)


def test_figures_of_looks() -> None:
    matrix = confusion_matrix([0, 0, 1, 2], [0, 1, 1, 1], 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    looks = LookFigures(("a", "b", "c"), matrix, np.array([2, 1, 1]))
    assert (looks.covered, looks.hit_share, looks.shown.tolist()) == (2, 0.5, [1, 3, 0])
    assert looks.as_dict()["looks_covered"] == 2
    text = "\n".join(looks.lines())
    assert "looks covered 2 of 3" in text
    assert "true look 50.0 %" in text
