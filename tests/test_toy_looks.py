"""Which look of the toy data set a picture shows is read back from it, and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from coopcut.datasets import make_toy
from coopcut.datasets.toy import (
    N_LOOKS,
    classify_look,
    compose,
    count_results,
    coverage,
    draw_layers,
    make_scene,
    scene_from_truth,
    scene_truth,
)
from tests.tools import pixels

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pairs() -> list[tuple[dict, np.ndarray, np.ndarray]]:
    """16 test scenes of 64 px, every look twice: record, picture in A, picture in B."""
    made = []
    for index in range(2 * N_LOOKS):
        scene = make_scene(0, "test", index)
        layers = draw_layers(scene, 64)
        made.append((scene_truth(scene), compose(layers, "A"), compose(layers, "B")))
    return made


def blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0.0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


CHANGES = {
    "truth": lambda p: p,
    "blur of 1 px": lambda p: blurred(p, 1.0),
    "blur of 2 px": lambda p: blurred(p, 2.0),
    "noise of 25": lambda p: noisy(p, 25.0),
    "moved by 1 px": lambda p: np.roll(p, (1, -1), axis=(0, 1)),
    "twice as large": lambda p: np.asarray(Image.fromarray(p).resize((128, 128), Image.Resampling.BICUBIC)),
    "paler": lambda p: (0.85 * p + 0.15 * 128).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_classify_look_is_right_on_every_counterpart(change: str, pairs: list) -> None:
    shown = [classify_look(CHANGES[change](b), truth) for truth, _, b in pairs]
    assert shown == [truth["look"] for truth, _, _ in pairs]


def test_coverage_counts_looks(pairs: list) -> None:
    truths = [truth for truth, _, _ in pairs]
    assert coverage([b for _, _, b in pairs], truths).tolist() == [2] * N_LOOKS
    # A collapsed translator that paints every animal in one look.
    collapsed = [compose(draw_layers(scene_from_truth(t), 64, every_look=True), "B", 3) for t in truths[:4]]
    assert coverage(collapsed, truths[:4]).tolist() == [0, 0, 0, 4, 0, 0, 0, 0]
    assert coverage([], []).tolist() == [0] * N_LOOKS
    with pytest.raises(ValueError, match=r"\(h, w, 3\)"):
        classify_look(np.zeros((8, 8), dtype=np.uint8), truths[0])


def test_count_reports_true_looks_and_distance(small_toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    perfect = count_results(small_toy / "testB", small_toy)
    assert (perfect.counted, perfect.expected, perfect.covered, perfect.hits, perfect.rmse) == (9, 9, 8, 9, 0.0)
    for index in range(4):  # a wrong brightness by 10, at twice the size, and a file that is no test image
        picture = (pixels(small_toy / "testB" / f"{index:05d}.png").clip(10, 255) - 10).astype(np.uint8)
        Image.fromarray(picture).resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / f"{index:05d}.png")
    (tmp_path / "notes.txt").write_text("x")
    report = count_results(tmp_path, small_toy)
    assert (report.counted, report.hits) == (4, 4)
    assert 8.0 < report.rmse < 14.0
    assert make_toy.main(["--count", str(tmp_path), "--out", str(small_toy)]) == 0
    text = capsys.readouterr().out
    assert "images counted       4 of 9" in text
    assert "looks covered        4 of 8" in text
    assert "true look            100.0 %" in text
