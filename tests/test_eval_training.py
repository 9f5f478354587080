"""Evaluation in training: figures, the best weights, and that nothing of the training changes."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coopcut.engine.evaluation import read_metrics
from coopcut.metrics.distribution import FIGURES, figures
from coopcut.metrics.features import create_features
from coopcut.metrics.sets import read
from coopcut.options.train_options import EVALUATION
from tests.tools import TINY, make_images, refused, write_image
from tests.tools import run as run_script
from tests.training import run, same

pytestmark = pytest.mark.slow
for _package in ("torchmetrics", "prdc"):
    pytest.importorskip(_package, reason=f"the package {_package} is not installed")

SHORT = ["--num_threads", "0", "--n_epochs", "2", "--n_epochs_decay", "1", "--save_epoch_freq", "9"]
EVERY = ["--eval_freq", "1"]


@pytest.fixture
def images(images: Path) -> Path:
    """With held-out images of both domains."""
    make_images(images / "testA", 4, 40, seed=7)
    make_images(images / "testB", 5, 40, seed=8)
    return images


def of(images: Path, name: str) -> Path:
    return images.parent / "checkpoints" / name


def test_choices_are_the_figures() -> None:
    (metric,) = (option for option in EVALUATION.options if option.name == "eval_metric")
    assert tuple(metric.choices) == FIGURES


@pytest.mark.parametrize(
    "flags", [["--ema", "0.5", "--no_dropout", "False"], ["--normG", "batch"]], ids=["ema", "batch"]
)
def test_training_is_the_same_bit_for_bit(images: Path, flags: list[str]) -> None:
    """Dropout draws from torch's global generator, batch norm has running statistics: both would show a disturbance."""
    without = run(images, "without", *SHORT, *flags)
    measured = run(images, "measured", *SHORT, *flags, *EVERY)
    same(without["model"], measured["model"])
    assert [line["epoch"] for line in read_metrics(of(images, "measured") / "metrics.jsonl")] == [1, 2, 3]
    assert not list(of(images, "without").glob("best_*"))


@pytest.mark.parametrize("first", [10, 14])  # within the second epoch of 7 samples; at its end
def test_a_continued_training_is_the_same_too(images: Path, first: int) -> None:
    whole = run(images, "whole", *SHORT, *EVERY)
    run(images, "parts", *SHORT, *EVERY, "--max_iters", str(first))
    parts = run(images, "parts", "--continue_train")
    same(whole["model"], parts["model"])
    same(whole["best"], parts["best"])
    for name in ("best_net_G.pth", "best_net_D.pth"):
        same(_weights(of(images, "whole") / name), _weights(of(images, "parts") / name))
    lines = [(of(images, name) / "metrics.jsonl").read_text() for name in ("whole", "parts")]
    assert lines[0] == lines[1]


def _weights(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def test_best_is_the_best_and_is_kept(images: Path) -> None:
    flags = [*SHORT, *EVERY, "--eval_metric", "FID", "--ema", "0.5", "--save_epoch_freq", "1", "--lr", "0.01"]
    state = run(images, "r", *flags)
    folder = of(images, "r")
    lines = read_metrics(folder / "metrics.jsonl")
    best = min(lines, key=lambda line: line["FID"])
    assert state["best"] == {"A2B": {"metric": "FID", "value": best["FID"], "epoch": best["epoch"]}}
    for net in ("G", "G_ema"):
        same(_weights(folder / f"best_net_{net}.pth"), _weights(folder / f"{best['epoch']}_net_{net}.pth"))
    run(images, "r", "--continue_train", "--n_epochs_decay", "2", "--lr", "1e-30", "--ema", "0.5")
    again = read_metrics(folder / "metrics.jsonl")
    assert again[:3] == lines
    assert len(again) == 4


def test_figures_are_those_of_the_saved_translations(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What test.py writes with the same weights gives the same figures."""
    run(images, "r", *SHORT, *EVERY, "--max_iters", "7", "--init_gain", "0.3")
    monkeypatch.chdir(images.parent)
    flags = ["--name", "r", "--dataroot", images, "--epoch", "best", "--num_threads", 0, "--gpu_ids", -1]
    outcome = run_script("test", *flags)
    assert outcome.code == 0, outcome
    features = create_features("builtin")
    fakes = sorted(Path("results/r/test_best/images/fake_B").glob("*.png"))
    reals = [read(path) for path in sorted((images / "testB").glob("*.png"))]
    scaled = [np.asarray(Image.fromarray(r).resize((32, 32), Image.Resampling.BICUBIC)) for r in reals]
    found = figures(features(scaled), features([read(path) for path in fakes]))
    (line,) = read_metrics(of(images, "r") / "metrics.jsonl")
    assert {name: line[name] for name in FIGURES} == pytest.approx(found, rel=1e-6, abs=1e-9)
    assert (line["real_images"], line["fake_images"], line["step"]) == (5, 4, 7)


def test_figures_go_to_the_monitors(images: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    run(images, "r", *SHORT, "--eval_freq", "2", "--monitor", "console,files,tensorboard")
    records = [json.loads(line) for line in (of(images, "r") / "losses.jsonl").read_text().splitlines()]
    measured = [record for record in records if "KID" in record["losses"]]
    assert [record["epochs"] for record in measured] == [2.0]
    assert set(measured[0]["losses"]) == set(FIGURES)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(of(images, "r") / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("losses/coverage")] == [14]


def test_val_stands_in_for_test_and_the_number_is_capped(images: Path) -> None:
    for domain in "AB":
        (images / f"test{domain}").rename(images / f"val{domain}")
    run(images, "r", *SHORT, *EVERY, "--max_iters", "7", "--eval_num", "3")
    (line,) = read_metrics(of(images, "r") / "metrics.jsonl")
    assert (line["real_images"], line["fake_images"]) == (3, 3)


FLAGS = ["--dataroot", "data", "--name", "new", *TINY, "--eval_freq", 1]


def test_nothing_held_out(place: Path) -> None:
    (place / "data/testB").rename(place / "data/other")
    refused("train", FLAGS, "--eval_freq 1", "testA and testB", "valA and valB")


def test_too_few_held_out(place: Path) -> None:
    refused("train", [*FLAGS, "--eval_num", 1], "--eval_num", "too small")
    (place / "data/testB/0.png").unlink()
    refused("train", FLAGS, "1 image in", "testB", "at least 2")


def test_unreadable_held_out(place: Path) -> None:
    path = write_image(place / "data/testA/3.png", 40, 40)
    path.write_bytes(path.read_bytes()[:900])
    refused("train", FLAGS, "3.png", "damaged")


def test_unknown_figure_or_features(place: Path) -> None:
    refused("train", [*FLAGS, "--eval_metric", "IS"], "--eval_metric", "KID")
    refused("train", [*FLAGS, "--eval_features", "vgg"], "--eval_features", "builtin", "inception")


def test_missing_package(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prdc", None)
    refused("train", FLAGS, "prdc", "not installed", "[metrics]")
    assert run_script("train", *FLAGS[:-2], "--max_iters", 1).code == 0
