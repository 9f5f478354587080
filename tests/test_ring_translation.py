"""The bed of points: what the true map, a wrong one and a short training get there."""

import json
from pathlib import Path

import pytest
from torch import nn

from benchmarks import ring_translation
from benchmarks.ring_translation import MODES, measure, references


def test_the_true_map_is_right_and_the_input_is_not() -> None:
    """Of a Gaussian in the plane 1 - exp(-9 / 2) = 98.9 % lie within 3 standard deviations."""
    found = references()
    assert found["true map"]["matching"] == pytest.approx(0.989, abs=0.01)
    assert found["true map"]["modes"] == MODES
    assert found["input unchanged"]["matching"] == 0


def test_a_map_to_the_wrong_modes_covers_all_and_matches_none() -> None:
    turned = nn.Linear(2, 2, bias=False)
    turned.weight.data = ring_translation.true_map().T.flip(0)  # and mirrored
    found = measure(turned)
    assert found["modes"] == MODES
    assert found["matching"] < 0.3


def test_runs_are_made_once_and_repeat(tmp_path: Path) -> None:
    flags = ["--seeds", "1", "--budget", "8", "--equal", "steps", "--runs", "gan", "neg --coop_negatives 0.5"]
    assert ring_translation.main([*flags, "--out", str(tmp_path / "a")]) == 0
    assert ring_translation.main([*flags, "--out", str(tmp_path / "b")]) == 0
    runs = sorted((tmp_path / "a").rglob("1.json"))
    assert len(runs) == 2
    before = {path: path.stat().st_mtime_ns for path in runs}
    assert ring_translation.main([*flags, "--out", str(tmp_path / "a")]) == 0
    for path in runs:
        assert path.stat().st_mtime_ns == before[path]
        one, other = (json.loads(p.read_text()) for p in (path, tmp_path / "b" / path.relative_to(tmp_path / "a")))
        assert [row["figures"] for row in one["rows"]] == [row["figures"] for row in other["rows"]]
    assert len({path.read_text() for path in runs}) == 2
