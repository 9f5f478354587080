"""Options that continuing and translating take from the run."""

import json
import math
from pathlib import Path

import pytest
import torch

from coopcut.options.saved import FILE, load_options, to_dict
from coopcut.util.errors import CheckpointError
from tests.tools import (
    TINY,
    losses_of,
    make_images,
    run,
    train_options,
    translation_options,
    tree,
)

# -- JSON -------------------------------------------------------------------------------------------------------------


def test_continuing_takes_its_flags_from_the_run(place: Path) -> None:
    own = ["--batch_size", 2, "--nce_idt", "False", "--print_freq", 1, "--ema", 0.5, "--no_html", "--lambda_NCE", 2]
    assert run("train", "--dataroot", "data", "--name", "r", *TINY, *own, "--max_iters", 1).code == 0
    before = load_options(place / "checkpoints" / "r")
    outcome = run(
        "train", "--name", "r", "--continue_train", "--gpu_ids", -1, "--max_iters", 3, "--display_winsize", 99
    )
    assert (outcome.code, outcome.err) == (0, "")
    after = load_options(place / "checkpoints" / "r")
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed == {"max_iters", "display_winsize"}
    records = losses_of(place / "checkpoints" / "r")
    assert [record["images"] for record in records] == [2, 4, 6]
    assert "NCE_Y" not in records[-1]["losses"]


def test_continuing_a_copied_run_leaves_the_original_alone(a_run: Path, trained: Path) -> None:
    """The run in the current folder is a copy; its options tell where the original was."""
    assert load_options(a_run)["checkpoints_dir"] == str(trained)
    before = tree(trained)
    outcome = run("train", "--name", "tiny", "--continue_train", "--gpu_ids", -1, "--max_iters", 3)
    assert "done: 3 steps; weights and options are in checkpoints/tiny" in outcome.out
    assert tree(trained) == before
    assert torch.load(a_run / "latest_state.pth", weights_only=True)["position"]["step"] == 3


def test_continuing_for_no_step_changes_nothing(a_run: Path) -> None:
    before = tree(a_run)
    flags = ["--max_iters", 2, "--lr", 0.1, "--n_epochs", 1, "--n_epochs_decay", 0]
    outcome = run("train", "--name", "tiny", "--continue_train", "--gpu_ids", -1, *flags)
    assert (outcome.code, outcome.err) == (0, "")
    assert "all epochs or steps are done" in outcome.out
    after = tree(a_run)
    assert [name for name in after if name.endswith((".pth", "opt.json")) and after[name] != before[name]] == []


def test_max_iters_is_not_inherited(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "r", *TINY, "--no_html", "--n_epochs", 1, "--n_epochs_decay", 0]
    assert run("train", *flags, "--max_iters", 1).code == 0
    assert "done: 4 steps" in run("train", "--name", "r", "--continue_train", "--gpu_ids", -1).out


@pytest.mark.parametrize(
    ("flag", "value", "effect"), [("lr", 0.1, "lr"), ("beta1", 0.9, "betas"), ("beta2", 0.9, "betas")]
)
def test_rates_typed_when_continuing_count(place: Path, flag: str, value: float, effect: str) -> None:
    """The message of a loss that is not finite advises to lower --lr and to continue."""
    assert run("train", "--dataroot", "data", "--name", "r", *TINY, "--max_iters", 1, "--no_html").code == 0
    again = ["--name", "r", "--continue_train", "--gpu_ids", -1, "--max_iters", 2, f"--{flag}", value]
    assert run("train", *again).code == 0
    state = torch.load("checkpoints/r/latest_state.pth", weights_only=True)
    for optimizer in state["model"]["optimizers"].values():
        found = optimizer["param_groups"][0][effect]
        assert value in (found if effect == "betas" else [found])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ngf": "4"}, "ngf: '4' is not a whole number"),
        ({"ngf": 4.0}, "ngf: 4.0 is not a whole number"),
        ({"ngf": None}, "ngf: None is not a whole number"),
        ({"ngf": -3}, "ngf: -3 is too small"),
        ({"ngf": True}, "ngf: True is not a whole number"),
        ({"no_dropout": "False"}, "no_dropout: 'False' is not true or false"),
        ({"model": ["cut"]}, "model: ['cut'] is not text"),
        ({"value_range": [0, 1]}, "value_range: [0, 1] is not text"),
        ({"value_range": "1,0"}, "value_range: '1,0'"),
        ({"lr": "fast"}, "lr: 'fast' is not a finite number"),
        ({"normG": "layer"}, "normG: 'layer' is not one of"),
        ({"max_dataset_size": 1.5}, "max_dataset_size: 1.5 is not a whole number"),
    ],
)
def test_json_edited_by_hand_is_checked(a_run: Path, changes: dict[str, object], says: str) -> None:
    values = json.loads((a_run / "train_opt.json").read_text())
    (a_run / "train_opt.json").write_text(json.dumps(values | changes))
    with pytest.raises(CheckpointError) as caught:
        load_options(a_run)
    assert str(caught.value).startswith(f"{a_run / 'train_opt.json'}: {says}")
    outcome = run("test", "--dataroot", "data", "--name", "tiny")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert says in outcome.err


def test_whole_numbers_that_a_hand_wrote_for_fractions(a_run: Path) -> None:
    """Adam refuses betas of which one is 0 and the other 0.999."""
    values = json.loads((a_run / "train_opt.json").read_text())
    (a_run / "train_opt.json").write_text(json.dumps(values | {"beta1": 0}))
    found = load_options(a_run)["beta1"]
    assert (found, type(found)) == (0.0, float)


# -- translating takes what it needs from the run ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained_with", "typed", "expected"),
    [
        ({}, [], ("resize_and_crop", 32, 32)),
        ({}, ["--load_size", "64"], ("resize_and_crop", 64, 64)),
        ({}, ["--crop_size", "48"], ("resize_and_crop", 48, 48)),
        ({}, ["--load_size", "64", "--crop_size", "48"], ("resize_and_crop", 64, 48)),
        ({}, ["--preprocess", "none"], ("none", 32, 32)),
        ({"preprocess": "crop"}, [], ("none", 32, 32)),
        ({"preprocess": "crop"}, ["--preprocess", "resize_and_crop"], ("resize_and_crop", 32, 32)),  # no random crop
        ({"preprocess": "zoom_and_crop"}, [], ("none", 32, 32)),
        ({"preprocess": "none"}, [], ("none", 32, 32)),
        ({"preprocess": "scale_width_and_crop"}, [], ("scale_width", 36, 32)),
        ({"preprocess": "scale_width"}, ["--load_size", "20"], ("scale_width", 20, 20)),
        ({"preprocess": "scale_width"}, ["--load_size", "64"], ("scale_width", 64, 32)),
    ],
)
def test_sizes_when_translating(
    a_run: Path, trained_with: dict[str, str], typed: list[str], expected: tuple[str, int, int]
) -> None:
    values = json.loads((a_run / "train_opt.json").read_text())
    (a_run / "train_opt.json").write_text(json.dumps(values | trained_with))
    opt = translation_options("--name", "tiny", *typed)
    assert (opt.preprocess, opt.load_size, opt.crop_size) == expected


def test_training_data_flags_are_not_taken_over(place: Path) -> None:
    make_images(place / "data" / "testA", 5, 40, 9)
    flags = ["--batch_size", 2, "--max_dataset_size", 2, "--serial_batches", "--direction", "AtoB"]
    assert run("train", "--dataroot", "data", "--name", "r", *TINY, *flags, "--max_iters", 1).code == 0
    opt = translation_options("--name", "r")
    assert (opt.batch_size, opt.max_dataset_size, opt.phase, opt.no_flip) == (1, math.inf, "test", True)
    assert (opt.ngf, opt.netG, opt.direction) == (4, "resnet_4blocks", "AtoB")
    assert "5 images translated" in run("test", "--dataroot", "data", "--name", "r").out


def test_a_run_from_before_an_option_keeps_what_it_did_then(tmp_path: Path) -> None:
    """The sampler of a run that was saved without --langevin_adaptive took steps of one length, and goes on so."""
    opt = train_options(["--model", "coopcut"])
    assert opt.langevin_adaptive
    saved = to_dict(opt)
    (tmp_path / FILE).write_text(json.dumps(saved), encoding="utf-8")
    assert load_options(tmp_path)["langevin_adaptive"]
    del saved["langevin_adaptive"]
    (tmp_path / FILE).write_text(json.dumps(saved), encoding="utf-8")
    assert not load_options(tmp_path)["langevin_adaptive"]
