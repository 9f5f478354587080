"""Options: names and defaults of CUT, where the values come from, and that whatever `--help` offers runs."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from data import DATASET_CHOICES
from models import MODELS, NETWORK_CHOICES
from options.option import Options
from options.parser import OptionParser
from options.saved import load_options
from tests.tools import TINY, make_images, run, train_options, tree, write_image
from util.errors import CheckpointError, OptionError

# What the issue asks for, and CUT's defaults (its options/*.py and models/cut_model.py).
BASE = {
    "easy_label": "", "checkpoints_dir": "./checkpoints", "model": "cut", "input_nc": 3, "output_nc": 3,
    "ngf": 64, "ndf": 64, "netD": "basic", "netG": "resnet_9blocks", "n_layers_D": 3, "normG": "instance",
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


def translation_options(*flags: str) -> Options:
    return OptionParser(False, MODELS, NETWORK_CHOICES | DATASET_CHOICES).parse(["--dataroot", "./none", *flags])


def losses_of(run_folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_folder / "losses.jsonl").read_text().splitlines()]


def two_steps(*flags: object) -> list[dict[str, Any]]:
    """Train `cut` for two steps in the current folder; the records of the steps, every loss a finite number."""
    outcome = run("train", "--dataroot", "data", "--name", "r", *TINY, "--max_iters", 2, "--print_freq", 1, *flags)
    assert (outcome.code, outcome.err) == (0, "")
    records = losses_of(Path("checkpoints/r"))
    assert [record["step"] for record in records] == [1, 2]
    assert all(value is not None for record in records for value in record["losses"].values()), records
    weights = torch.load("checkpoints/r/latest_net_G.pth", weights_only=True)
    assert all(bool(value.isfinite().all()) for value in weights.values())
    return records


def offered(model: str) -> list[tuple[str, str]]:
    """Every value that `train.py --model <model> --help` offers in braces, with its flag."""
    text = run("train", "--model", model, "--help").out.split("\nexperiment:\n")[1]
    found = re.findall(r"^  --(\w+) \{([^}]+)\}", text, re.MULTILINE)
    return [(name, value) for name, values in found for value in values.split(",") if name != "model"]


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
    with pytest.raises(OptionError, match="unknown flag --coop_epochs"):
        train_options(["--model", "cut", "--coop_epochs", "1"])


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


# -- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "model"), [("train", "cut"), ("train", "coopcut"), ("test", "cut")])
def test_help_is_grouped_and_tells_units_and_defaults(place: Path, name: str, model: str) -> None:
    outcome = run(name, "--model", model, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    words = " ".join(outcome.out.split())
    groups = ["experiment:", "networks:", "data:", "method:"]
    groups += ["training:", "checkpoints:", "display:"] if name == "train" else ["translation:"]
    for group in groups:
        assert f"\n{group}\n" in outcome.out
    assert "scale images to this size [pixels] [default: 286]" in words
    assert "[default: ./checkpoints]" in words
    assert "--nce_idt [BOOL]" in words
    assert ("--langevin_steps N" in words) == (model == "coopcut")
    own = MODELS[model].options()
    declared = [*BASE, *(TRAIN if name == "train" else TEST), *(option.name for option in own)]
    missing = [flag for flag in declared if f"\n  --{flag} " not in outcome.out]
    assert missing == []
    entries = outcome.out.split("\n  --")[1:]
    assert [entry.split()[0] for entry in entries if "[default:" not in " ".join(entry.split())] == []
    assert sorted(path.name for path in place.iterdir()) == ["data"]


def test_help_offers_the_registered_networks() -> None:
    values = offered("cut")
    for flag, names in (NETWORK_CHOICES | DATASET_CHOICES).items():
        assert {value for name, value in values if name == flag} == set(names)


# -- whatever help offers runs ----------------------------------------------------------------------------------------

CHOICES = [pair for pair in offered("cut") if pair != ("dataset_mode", "single")]
COOP_CHOICES = [
    pair for pair in offered("coopcut") if pair[0] in ("CUT_mode", "netD", "netF", "normG", "normD", "gan_mode")
]


@pytest.mark.parametrize(("flag", "value"), CHOICES)
def test_every_choice_trains(place: Path, flag: str, value: str) -> None:
    # one image in each domain: both steps end an epoch, so that the schedules move as well
    records = two_steps(f"--{flag}", value, "--max_dataset_size", 1, "--no_html")
    assert [record["epoch"] for record in records] == [1, 2]
    assert load_options(place / "checkpoints" / "r")[flag] == value


def test_preprocess_none_trains_on_any_sizes(place: Path) -> None:
    write_image(place / "data" / "trainA" / "odd.png", 41, 35)
    write_image(place / "data" / "trainA" / "long.png", 34, 90)
    flags = ["--preprocess", "none", "--print_freq", 1, "--no_html", "--n_epochs", 1, "--n_epochs_decay", 0]
    assert run("train", "--dataroot", "data", "--name", "r", *TINY, *flags).code == 0
    assert [record["step"] for record in losses_of(place / "checkpoints" / "r")] == [1, 2, 3, 4, 5, 6]


def test_single_is_for_translating(place: Path) -> None:
    outcome = run("train", "--dataroot", "data/trainA", "--dataset_mode", "single", *TINY)
    assert outcome.code == 2
    assert "--dataset_mode single" in outcome.err
    assert "use unaligned" in outcome.err
    assert not (place / "checkpoints").exists()


@pytest.mark.parametrize(("flag", "value"), COOP_CHOICES)
def test_every_choice_trains_coopcut_in_both_phases(place: Path, flag: str, value: str) -> None:
    coop = ["--model", "coopcut", "--coop_iters", 1, "--langevin_steps", 2]
    records = two_steps(*coop, f"--{flag}", value, "--no_html")
    assert [record["phase"] for record in records] == ["cooperative", "adversarial"]


@pytest.mark.parametrize(
    "flags",
    [
        "--lambda_NCE 0",
        "--lambda_NCE 0 --nce_idt False",
        "--lambda_GAN 0",
        "--nce_includes_all_negatives_from_minibatch --batch_size 3",
        "--no_dropout False --normG batch",
        "--no_antialias --no_antialias_up",
        "--pool_size 2",
        "--serial_batches --no_flip",
        "--crop_size 30 --load_size 33",
        "--netD n_layers --n_layers_D 1",
        "--nce_layers 0",
        "--nce_layers 16,4,0",
        "--num_patches 1",
        "--num_patches 100000",
        "--verbose",
        "--ema 0.9",
        "--deterministic",
        "--flip_equivariance --nce_idt",
        "--epoch_count 3",
        "--display_winsize 16 --update_html_freq 1",
        "--phase test",
    ],
)
def test_other_options_train(place: Path, flags: str) -> None:
    two_steps(*flags.split())


def test_gray_images(place: Path) -> None:
    two_steps("--input_nc", 1, "--output_nc", 1)
    weights = torch.load("checkpoints/r/latest_net_G.pth", weights_only=True)
    assert weights["model.1.weight"].shape[1] == 1


def test_different_channels_without_contrastive_loss(place: Path) -> None:
    two_steps("--input_nc", 1, "--output_nc", 3, "--lambda_NCE", 0, "--nce_idt", "False")


def test_a_last_partial_batch_of_one(place: Path) -> None:
    everything = ["--nce_includes_all_negatives_from_minibatch", "--netD", "pixel", "--normG", "batch"]
    for number, extra in enumerate([[], everything, ["--gan_mode", "wgangp", "--pool_size", "2"]]):
        records = two_steps("--batch_size", 3, "--name", "r", *extra, "--checkpoints_dir", "checkpoints")
        assert [record["samples"] for record in records] == [3, 4]  # of the 4 images in trainA
        (place / "checkpoints" / "r").rename(place / f"done_{number}")


def test_max_dataset_size_and_direction(place: Path) -> None:
    outcome = run(
        "train", "--dataroot", "data", *TINY, "--max_dataset_size", 2, "--direction", "BtoA", "--max_iters", 1
    )
    assert "A: 2 of 3 images in data/trainB, B: 2 of 4 images in data/trainA" in outcome.out


def test_verbose_prints_the_networks(place: Path) -> None:
    outcome = run("train", "--dataroot", "data", *TINY, "--max_iters", 1, "--verbose")
    assert "ResnetBlock" in outcome.out
    assert "ResnetBlock" not in run("train", "--dataroot", "data", "--name", "b", *TINY, "--max_iters", 1).out


# -- how long, and what is kept ---------------------------------------------------------------------------------------


def test_max_iters_counts_all_steps(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "r", *TINY, "--no_html"]
    for given, extra in ((3, []), (5, ["--continue_train"]), (5, ["--continue_train"])):
        outcome = run("train", *flags, "--max_iters", given, *extra)
        assert (outcome.code, outcome.err) == (0, "")
        assert f"done: {given} steps" in outcome.out
        state = torch.load("checkpoints/r/latest_state.pth", weights_only=True)
        assert state["position"]["step"] == given


def test_weights_by_iteration_and_by_epoch(place: Path) -> None:
    """'Every N images' means whenever N is crossed: a batch of 3 crosses 2 and, with the last 1, 4."""
    flags = ["--batch_size", 3, "--save_latest_freq", 2, "--save_by_iter", "--save_epoch_freq", 2, "--no_html"]
    assert run("train", "--dataroot", "data", "--name", "r", *TINY, "--max_iters", 4, *flags).code == 0
    found = {path.name.removesuffix("_net_G.pth") for path in Path("checkpoints/r").glob("*_net_G.pth")}
    assert found == {"latest", "2", "iter_3", "iter_4", "iter_7", "iter_8"}


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        ("v2", "r_v2"),
        ("{model}_{netG}_size{load_size}", "r_cut_resnet_9blocks_size286"),
        ("{lambda_NCE}_{nce_idt}", "r_10.0_False"),  # as FastCUT presets them
        ("{lr:.0e}", "r_2e-04"),
    ],
)
def test_suffix(suffix: str, name: str) -> None:
    assert train_options(["--name", "r", "--suffix", suffix, "--CUT_mode", "FastCUT"]).name == name


@pytest.mark.parametrize("suffix", ["{nothing}", "{", "{0}", "{model.foo}", "{ngf[0]}", "{ngf:zzz}"])
def test_suffix_that_is_no_pattern(suffix: str) -> None:
    with pytest.raises(OptionError, match=r"^--suffix '.*' \(.*\): write options in braces") as caught:
        train_options(["--suffix", suffix])
    assert suffix in str(caught.value)


def test_a_run_with_suffix_is_found_again(place: Path) -> None:
    flags = ["--name", "r", "--suffix", "{netG}_{num_patches}", *TINY]
    assert run("train", "--dataroot", "data", *flags, "--max_iters", 1).code == 0
    assert [path.name for path in (place / "checkpoints").iterdir()] == ["r_resnet_4blocks_8"]
    more = run("train", "--dataroot", "data", *flags, "--max_iters", 2, "--continue_train")
    assert "step 1" in more.out
    assert "done: 2 steps" in more.out
    assert run("test", "--dataroot", "data", "--name", "r_resnet_4blocks_8", "--num_threads", 0).code == 0
    assert [path.name for path in (place / "results").iterdir()] == ["r_resnet_4blocks_8"]


@pytest.mark.parametrize("name", ["a b", "größe", "inf", "True", "-dash", "{model}", "%s", "*", ".hidden"])
def test_unusual_names_train_and_translate(place: Path, name: str) -> None:
    assert run("train", "--dataroot", "data", f"--name={name}", *TINY, "--max_iters", 1).code == 0
    assert (place / "checkpoints" / name / "latest_net_G.pth").is_file()
    assert run("train", f"--name={name}", "--gpu_ids", -1, "--max_iters", 2, "--continue_train").code == 0
    outcome = run("test", "--dataroot", "data", "--checkpoint", f"checkpoints/{name}", "--num_threads", 0)
    assert outcome.code == 0
    assert (place / "results" / name / "test_latest" / "index.html").is_file()


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
