"""Curves of runs as pictures, for people without a browser."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coopcut.engine.position import Position
from coopcut.monitors import plot_run
from coopcut.monitors.curves import Record, Thinned, grouped, of_its_kind, paces, read_records, smoothed, switches
from coopcut.monitors.text import LossFiles
from coopcut.util.errors import DataError, OptionError
from tests.tools import ROOT
from tests.visdom_tools import ADVERSARIAL, COOPERATIVE, record

pytest.importorskip("matplotlib", reason="the package matplotlib is not installed")


def make_run(folder: Path, steps: int = 40, switch: int = 15) -> Path:
    folder.mkdir(parents=True)
    files = LossFiles(folder, Position(), 1)
    for step in range(1, steps + 1):
        losses = {"G": math.nan, "NCE": 4 + math.sin(step)}
        more = COOPERATIVE | {"saturated": 0.0} if step <= switch else ADVERSARIAL
        files.log(record(step, more | losses, "cooperative" if step <= switch else "adversarial"))
    return folder


def test_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(tmp_path / "checkpoints" / "a $b_1$")
    assert plot_run.main(["a $b_1$", "--checkpoints_dir", str(tmp_path / "checkpoints")]) == 0
    assert capsys.readouterr().out == f"{folder / 'losses.png'}\n"
    with Image.open(folder / "losses.png") as img:
        assert img.width > 1000
        assert np.asarray(img.convert("L")).std() > 5  # something is drawn
    assert sorted(path.name for path in folder.iterdir()) == [
        "loss_log.txt",
        "losses.csv",
        "losses.jsonl",
        "losses.png",
    ]


def test_paces_are_medians_of_the_first_and_last_epoch() -> None:
    def one(epoch: int, phase: str, seconds: float, **losses: float) -> Record:
        return {"epoch": epoch, "phase": phase, "seconds": seconds, "waiting": seconds / 10, "losses": losses}

    warm = [one(1, "cooperative", seconds, D=0.1) for seconds in (0.5, 0.3, 9.0)]
    later = [one(epoch, "adversarial", epoch / 10, D_real=0.1) for epoch in (2, 3, 4)]
    evaluation = {"epoch": 4, "phase": "adversarial", "losses": {"FID": 3.0}}
    assert paces([*warm, *later, evaluation]) == [
        "cooperative: 0.5 s per image in epoch 1; 10.0 % of it waiting for images",
        "adversarial: 0.2 s per image in epoch 2, 0.4 in epoch 4; 10.0 % of it waiting for images",
    ]
    assert paces([evaluation]) == []


def test_what_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both runs in each plot, the phases marked where they begin, the learning rate and the speed."""
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    make_run(tmp_path / "one", switch=15)
    make_run(tmp_path / "two", switch=25)
    runs = {name: plot_run.read_run(tmp_path, name) for name in ("one", "two")}
    plot_run.draw(runs, tmp_path / "both.svg")
    axes = {axis.get_title(): axis for axis in drawn[0].axes}
    assert set(axes) == {
        "adversarial losses",
        "generator: total and contrastive",
        "warm-up: scores f = \u2212energy",
        "warm-up: sampler",
        "learning rate",
        "images per second",
    }
    legend = axes["generator: total and contrastive"].get_legend_handles_labels()[1]
    assert legend == ["one: NCE", "two: NCE"]  # G never was a number
    sampler = axes["warm-up: sampler"].get_legend_handles_labels()[1]
    assert sampler == [f"{run}: {name}" for run in ("one", "two") for name in ("teach", "saturated (always 0)")]
    for axis in axes.values():
        dotted = [np.asarray(line.get_xdata(), float) for line in axis.lines if line.get_linestyle() == ":"]
        assert sorted(x[0] for x in dotted if len(x) == 2) == [1.5, 2.5]
    assert set(np.asarray(axes["learning rate"].lines[0].get_ydata(), float)) == {2e-4}
    assert "<svg" in (tmp_path / "both.svg").read_text()


@pytest.mark.parametrize(
    ("flags", "error", "says"),
    [
        (["none"], DataError, "no such run; found in .*: one"),
        (["empty"], DataError, "holds no losses yet"),
        (["one", "--out", "x.bmp"], OptionError, r"must end in \.png"),
        (["one", "--out", "/proc/no/x.png"], DataError, "cannot be written"),
        ([], OptionError, "NAME"),
        (["one", "--outt", "x"], OptionError, "unrecognized arguments"),
    ],
)
def test_bad_input(tmp_path: Path, flags: list[str], error: type[Exception], says: str) -> None:
    make_run(tmp_path / "one", 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=says):
        plot_run.main([*flags, "--checkpoints_dir", str(tmp_path)])
    assert not list(tmp_path.rglob("*.png"))


def test_a_run_by_its_folder_and_one_of_a_single_record(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "one", 1)
    assert plot_run.main([str(folder), "--out", str(tmp_path / "new" / "a.png")]) == 0
    assert (tmp_path / "new" / "a.png").is_file()


# -- the curves -------------------------------------------------------------------------------------------------------


def test_groups() -> None:
    names = ["D", "G", "f_real", "gap", "NCE_Y", "D_gp", "saturated", "teach", "cycle_A", "G_GAN"]
    assert dict(grouped(names)) == {
        "adversarial losses": ["D", "D_gp", "G_GAN"],
        "generator: total and contrastive": ["G", "NCE_Y"],
        "warm-up: scores f = \u2212energy": ["f_real", "gap"],
        "warm-up: sampler": ["saturated", "teach"],
        "other losses": ["cycle_A"],
    }


def test_smoothing_has_no_bias_and_passes_over_gaps() -> None:
    assert smoothed(np.full(5, 3.0)) == pytest.approx(np.full(5, 3.0))
    curve = np.array([1.0, np.nan, 2.0])
    out = smoothed(curve)
    assert math.isnan(out[1])
    assert out[[0, 2]] == pytest.approx([1.0, (0.9 * 1 + 2) / 1.9])


def test_broken_lines_are_left_out(tmp_path: Path) -> None:
    sound: dict[str, Any] = {"epoch": 1, "epochs": 1.0, "step": 1, "phase": "a", "lr": 0.1, "seconds": 1, "waiting": 0}
    sound["losses"] = {"G": 1.0, "D": None}
    changed: list[dict[str, Any]] = [
        {"step": "1"},
        {"epochs": None},
        {"phase": 3},
        {"lr": []},
        {"losses": [1]},
        {"losses": {"G": "high"}},
    ]
    lines = [json.dumps(sound), "[1]", "null", '{"step": 1}', "\x00\x00", '{"epochs": 1.0, "ste']
    lines += [json.dumps(sound | change) for change in changed]
    (tmp_path / "losses.jsonl").write_text("\n".join(lines))
    assert read_records(tmp_path / "losses.jsonl") == [sound]
    assert read_records(tmp_path / "none.jsonl") == []


def test_switches_and_thinning() -> None:
    thinned = Thinned(10)
    for step in range(101):
        thinned.add({"epochs": step / 10, "step": step, "phase": "a" if step < 50 else "b", "losses": {}})
        assert len(thinned.records) <= 10
    steps = [entry["step"] for entry in thinned.records]
    assert (steps[0], steps[-1]) == (0, 100)
    ((at, phase),) = switches(thinned.records)
    assert (phase, 3.0 < at < 5.0) == ("b", True)


def test_figures_of_evaluations_leave_no_gaps() -> None:
    """They come in records of their own, between those of training steps."""
    records: list[Record] = [{"losses": losses} for losses in ({"G": 1.0}, {"FID": 3.0, "recall": 0.5}, {"G": 2.0}, {})]
    assert of_its_kind(records, "G") == [records[0], records[2], records[3]]
    assert of_its_kind(records, "FID") == of_its_kind(records, "recall") == [records[1]]
    assert [title for title, _ in grouped(["KID", "coverage", "G"])][1:] == [
        "held-out images: distances",
        "held-out images: shares",
    ]


def test_the_command_says_nothing_but_its_help() -> None:
    command = [sys.executable, "-m", "coopcut.monitors.plot_run", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: coopcut.monitors.plot_run ")
