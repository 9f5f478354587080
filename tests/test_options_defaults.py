"""Options: names and defaults of CUT, typed, in the help and as they are saved."""

import argparse
import json
import math
from collections.abc import Iterable
from pathlib import Path

import pytest

from coopcut.data import DATASETS
from coopcut.models import MODELS
from coopcut.networks.registry import CRITICS, DISCRIMINATORS, GENERATORS, NOISE_GENERATORS, PROJECTIONS
from coopcut.options.components import component_groups
from coopcut.options.option import Option
from coopcut.options.saved import load_options
from coopcut.util.errors import OptionError
from tests.tools import (
    TINY,
    offered,
    run,
    train_options,
    translation_options,
)

# What the issue asks for, and CUT's defaults (its options/*.py and models/cut_model.py).
BASE = {
    "easy_label": "", "checkpoints_dir": "./checkpoints", "model": "cut", "input_nc": 3, "output_nc": 3,
    "ngf": 64, "ndf": 64, "netD": "basic", "netG": "resnet_9blocks", "normG": "instance",
    "normD": "instance", "init_type": "xavier", "init_gain": 0.02, "no_dropout": True, "no_antialias": False,
    "no_antialias_up": False, "dataset_mode": "unaligned", "direction": "AtoB", "serial_batches": False,
    "num_threads": 4, "batch_size": 1, "load_size": 286, "crop_size": 256, "max_dataset_size": math.inf,
    "preprocess": "resize_and_crop", "no_flip": False, "display_winsize": 256, "random_scale_max": 3.0,
    "epoch": "latest", "verbose": False, "suffix": "",
}  # fmt: skip
TRAIN = {
    "display_freq": 400, "display_ncols": 4, "display_id": None, "display_server": "http://localhost",
    "display_env": "main", "display_port": 8097, "update_html_freq": 1000, "print_freq": 100, "no_html": False,
    "save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False, "continue_train": False, "epoch_count": 1,
    "phase": "train", "pretrained_name": "", "n_epochs": 200, "n_epochs_decay": 200, "beta1": 0.5, "beta2": 0.999,
    "lr": 0.0002, "gan_mode": "lsgan", "pool_size": 0, "lr_policy": "linear", "lr_decay_iters": 50,
}  # fmt: skip
CUT = {
    "CUT_mode": "CUT", "lambda_GAN": 1.0, "lambda_NCE": 1.0, "nce_idt": True, "nce_layers": "0,4,8,12,16",
    "nce_includes_all_negatives_from_minibatch": False, "netF": "mlp_sample", "netF_nc": 256, "nce_T": 0.07,
    "num_patches": 256, "flip_equivariance": False,
}  # fmt: skip
NEW = {"seed": 0, "deterministic": False, "max_iters": math.inf, "ema": 0.0}
COOP = [
    "coop_epochs", "coop_iters", "langevin_steps", "langevin_step_size", "langevin_noise", "langevin_clip",
    "lambda_coop", "lambda_energy", "coop_data_noise",
]  # fmt: skip
# CUT's test.py scales to the crop size (it sets load_size so), reads testA, does not flip and does not shuffle
TEST = {
    "results_dir": "./results", "eval": False, "num_test": math.inf, "phase": "test", "load_size": 256,
    "crop_size": 256, "no_flip": True, "serial_batches": True, "batch_size": 1, "preprocess": "resize_and_crop",
}  # fmt: skip


# -- names and defaults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "default"), (BASE | TRAIN | CUT | NEW).items())
def test_defaults_of_training_are_those_of_cut(name: str, default: object) -> None:
    value = getattr(train_options([]), name)
    assert value == default
    assert type(value) is type(default)


@pytest.mark.parametrize(("name", "default"), (BASE | CUT | TEST).items())
def test_defaults_of_translating_are_those_of_cut(name: str, default: object) -> None:
    assert getattr(translation_options(), name) == default


def test_every_default_can_be_typed() -> None:
    """That is: each name is a flag, and its default is a value that it accepts."""
    values = {name: value for name, value in (BASE | TRAIN | CUT | NEW).items() if value not in (None, "")}
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value)) if name != "continue_train"]
    opt = train_options(flags)
    assert {name: getattr(opt, name) for name in values} == values
    assert set(opt.given) == {*values, "dataroot"} - {"continue_train"}


def test_coopcut_has_the_options_of_cut_and_its_own() -> None:
    opt = train_options(["--model", "coopcut"])
    for name in COOP:
        assert getattr(opt, name) >= 0
    assert {name: getattr(opt, name) for name in CUT} == CUT
    assert (opt.coop_epochs, train_options([]).coop_epochs) == (10, 0)
    assert train_options(["--coop_epochs", "1"]).coop_epochs == 1


@pytest.mark.parametrize(
    ("flag", "default", "owner"), [("n_layers_D", 3, "netD n_layers"), ("netF_nc", 256, "netF mlp_sample")]
)
def test_an_option_of_a_component_is_there_with_the_component(flag: str, default: int, owner: str) -> None:
    chosen, other = [f"--{owner}".split(), {"netD": ["--netD", "basic"], "netF": ["--netF", "sample"]}[owner[:4]]]
    assert getattr(train_options(chosen), flag) == default
    assert getattr(train_options([*chosen, f"--{flag}", "4"]), flag) == 4
    with pytest.raises(OptionError, match=f"^unknown flag --{flag}; it belongs to --{owner}$"):
        train_options([*other, f"--{flag}", "4"])


def test_deliberate_differences() -> None:
    opt = train_options([])
    assert opt.gpu_ids == "auto"
    assert opt.name == "none_cut"  # of --dataroot ./datasets/none
    assert train_options(["--model", "coopcut", "--dataroot", "a b/c d/"]).name == "c d_coopcut"
    assert translation_options().num_test == math.inf


def test_fastcut_preset_and_typed_flags_above_it() -> None:
    preset = {"nce_idt": False, "lambda_NCE": 10.0, "flip_equivariance": True, "n_epochs": 150, "n_epochs_decay": 50}
    for model in ("cut", "coopcut"):
        for mode in ("FastCUT", "fastcut"):
            opt = train_options(["--CUT_mode", mode, "--model", model])
            assert {name: getattr(opt, name) for name in preset} == preset
    typed = ["--nce_idt", "True", "--lambda_NCE", "3", "--flip_equivariance", "False", "--n_epochs", "7"]
    for flags in (["--CUT_mode", "FastCUT", *typed], [*typed, "--CUT_mode", "FastCUT"]):
        opt = train_options(flags)
        assert (opt.nce_idt, opt.lambda_NCE, opt.flip_equivariance) == (True, 3.0, False)
        assert (opt.n_epochs, opt.n_epochs_decay) == (7, 50)


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--nce_idt", "False"], False),
        (["--nce_idt", "no"], False),
        (["--nce_idt=0"], False),
        (["--nce_idt", "TRUE"], True),
        (["--CUT_mode", "FastCUT", "--nce_idt"], True),
        (["--nce_idt", "--no_flip"], True),
        (["--nce_idt", "False", "--nce_idt"], True),  # the last one counts
    ],
)
def test_flag_booleans(flags: list[str], value: bool) -> None:
    assert train_options(flags).nce_idt is value


def test_dropout_is_a_double_negative_as_in_cut() -> None:
    assert train_options(["--no_dropout"]).no_dropout is True
    assert train_options(["--no_dropout", "False"]).no_dropout is False


@pytest.mark.parametrize(("text", "value"), [("inf", math.inf), ("all", math.inf), ("INF", math.inf), ("7", 7)])
def test_counts_without_limit(text: str, value: float) -> None:
    assert train_options(["--max_dataset_size", text]).max_dataset_size == value
    assert translation_options("--num_test", text).num_test == value


def test_text_is_checked_by_what_parses_it() -> None:
    def even(text: str) -> str:
        if len(text) % 2:
            raise argparse.ArgumentTypeError(f"'{text}' is odd")
        return text

    option = Option("pairs", "", "text of even length", parse=even)
    assert [option.complaint(value) for value in ("", "ab", "abc", 4)] == [None, None, "'abc' is odd", "4 is not text"]


# -- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "model"), [("train", "cut"), ("train", "coopcut"), ("test", "cut")])
def test_help_is_grouped_and_tells_units_and_defaults(place: Path, name: str, model: str) -> None:
    outcome = run(name, "--model", model, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    words = " ".join(outcome.out.split())
    groups = ["experiment:", "channels:", "data:"]
    groups += ["training:", "checkpoints:", "display:"] if name == "train" else ["translation:"]
    for group in groups:
        assert f"\n{group}\n" in outcome.out
    assert "scale images to this size [pixels] [default: 286]" in words
    assert "[default: ./checkpoints]" in words
    assert "--nce_idt [BOOL]" in words
    assert "--langevin_steps N" in words
    own = component_groups(model, MODELS[model], {})
    for section in own:
        assert f"\n{section.title}:\n" in outcome.out
    declared = [*(TRAIN if name == "train" else TEST), *(option.name for group in own for option in group.options)]
    missing = [flag for flag in declared if f"\n  --{flag} " not in outcome.out]
    assert missing == []
    entries = outcome.out.split("\n  --")[1:]
    assert [entry.split()[0] for entry in entries if "[default:" not in " ".join(entry.split())] == []
    assert sorted(path.name for path in place.iterdir()) == ["data"]


@pytest.mark.parametrize(
    ("model", "choices"),
    [
        ("cut", {"netG": GENERATORS, "netD": DISCRIMINATORS, "netF": PROJECTIONS}),
        ("gan", {"netG": NOISE_GENERATORS, "netD": CRITICS}),
    ],
)
def test_help_offers_what_is_registered(model: str, choices: dict[str, Iterable[str]]) -> None:
    values = offered(model)
    trained_on = [
        name for name in DATASETS if DATASETS[name].trains and DATASETS[name].purpose == MODELS[model].purpose
    ]
    for flag, names in {**choices, "dataset_mode": trained_on}.items():
        assert {value for name, value in values if name == flag} == set(names)


# -- JSON -------------------------------------------------------------------------------------------------------------


def refuse_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


def test_options_are_saved_as_json(place: Path) -> None:
    flags = ["--name", "inf", "--lr", "0.001", "--nce_idt", "False", "--easy_label", "Ünïcode", "--num_patches", "9"]
    assert run("train", "--dataroot", "data", *TINY, *flags, "--max_iters", 1).code == 0
    folder = place / "checkpoints" / "inf"
    raw = json.loads((folder / "train_opt.json").read_text(encoding="utf-8"), parse_constant=refuse_constant)
    assert (raw["max_dataset_size"], raw["max_iters"], raw["lr"], raw["ngf"]) == ("inf", 1, 0.001, 4)
    assert not {"given", "isTrain"} & set(raw)
    saved = load_options(folder)
    assert saved["max_dataset_size"] == math.inf
    assert (saved["name"], saved["easy_label"], saved["nce_idt"], saved["display_id"]) == ("inf", "Ünïcode", False, 0)
    wanted = {*BASE, *TRAIN, *CUT, *NEW, "dataroot", "gpu_ids"} - {"continue_train"}
    assert wanted <= set(saved)
