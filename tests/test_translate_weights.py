"""Translating with the weights of a run, of an epoch, of CUT, and averaged ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coopcut.networks import create_G
from coopcut.networks.infer import infer_generator_options
from tests.tools import CPU, FAKES, TINY, by_hand, generator_of, pixels, run, train_options, translate, tree


def test_checkpoint_by_folder_and_by_file(a_run: Path) -> None:
    translate("--dataroot", "data")
    expected = tree(FAKES)
    moved = a_run.rename(a_run.parents[1] / "moved run")
    flags = ["--dataroot", "data", *CPU]
    for path, results in (
        (moved, "results/moved run/test_latest"),
        (moved / "latest_net_G.pth", "results/moved run/test_latest"),
        (moved / "latest_net_G.pth", "results/by hand/test_latest"),
    ):
        name = ["--name", "by hand"] if "by hand" in results else []
        assert run("test", *flags, "--checkpoint", path, *name).code == 0
        assert tree(Path(results, "images/fake_B")) == expected


def test_results_of_two_epochs_do_not_mix(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--save_epoch_freq", 1, "--max_dataset_size", 1]
    assert run("train", *flags, "--max_iters", 3, "--init_gain", 0.3, "--lr", 0.01).code == 0
    found = []
    for epoch in ("1", "2"):
        translate("--dataroot", "data", "--epoch", epoch)
        checkpoint = ["--checkpoint", f"checkpoints/tiny/{epoch}_net_G.pth", "--results_dir", "again"]
        assert run("test", "--dataroot", "data", *CPU, *checkpoint).code == 0
        found.append(tree(Path(f"results/tiny/test_{epoch}/images/fake_B")))
        assert tree(Path(f"again/tiny/test_{epoch}/images/fake_B")) == found[-1]
    assert found[0] != found[1]
    outcome = run("test", "--dataroot", "data", *CPU, *checkpoint, "--epoch", "1")
    assert outcome.code == 2
    assert "--epoch 1 contradicts --checkpoint checkpoints/tiny/2_net_G.pth" in outcome.err


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("legacy", [False, True])
def test_weights_as_cut_writes_them(a_run: Path, prefix: str, legacy: bool) -> None:
    """No options beside them, the prefix of DataParallel or none, today's file format or that of torch before 1.6."""
    translate("--dataroot", "data")
    expected = tree(FAKES)
    weights = torch.load(a_run / "latest_net_G.pth", weights_only=True)
    folder = Path("checkpoints/pretrained")
    folder.mkdir()
    renamed = {prefix + name: value for name, value in weights.items()}
    torch.save(renamed, folder / "latest_net_G.pth", _use_new_zipfile_serialization=not legacy)
    flags = ["--dataroot", "data", *CPU, "--load_size", 32]
    assert run("test", *flags, "--name", "pretrained").code == 0
    assert tree(Path("results/pretrained/test_latest/images/fake_B")) == expected
    assert run("test", *flags, "--checkpoint", folder / "latest_net_G.pth").code == 0
    assert tree(Path("results/data_cut/test_latest/images/fake_B")) == expected
    for flag, value, found in (
        ("--ngf", 8, 4),
        ("--netG", "resnet_9blocks", "resnet_4blocks"),
        ("--normG", "batch", ""),
    ):
        outcome = run("test", *flags, "--name", "pretrained", flag, value)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert f"{flag} {value} contradicts checkpoints/pretrained/latest_net_G.pth, which has {found}" in outcome.err
    assert run("test", *flags, "--name", "pretrained", "--ngf", 4, "--netG", "resnet_4blocks").code == 0


@pytest.mark.parametrize("netG", ["resnet_9blocks", "resnet_6blocks", "resnet_4blocks"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("no_dropout", [True, False])
@pytest.mark.parametrize(
    ("no_antialias", "no_antialias_up"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_architecture_is_read_off_the_weights(
    netG: str, norm: str, no_dropout: bool, no_antialias: bool, no_antialias_up: bool
) -> None:
    wanted = {
        "netG": netG, "ngf": 2, "input_nc": 1, "output_nc": 3, "normG": norm, "no_dropout": no_dropout,
        "no_antialias": no_antialias, "no_antialias_up": no_antialias_up,
    }  # fmt: skip
    opt = train_options([])
    for name, value in wanted.items():
        setattr(opt, name, value)
    assert infer_generator_options(create_G(opt, 1, 3).state_dict()) == wanted


def test_averaged_weights_are_used(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--ema", 0.9, "--max_iters", 3, "--lr", 0.01]
    assert run("train", *flags, "--init_gain", 0.3).code == 0
    translate("--dataroot", "data")
    folder = Path("checkpoints/tiny")
    averaged = by_hand(generator_of(folder, "latest_net_G_ema.pth"), Path("data/testA/0.png"))
    last = by_hand(generator_of(folder), Path("data/testA/0.png"))
    assert not np.array_equal(averaged, last)
    assert np.array_equal(pixels(FAKES / "0.png"), averaged)


def test_averaged_weights_of_a_run_that_no_longer_averages(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--ema", 0.9, "--max_iters", 2, "--lr", 0.01]
    assert run("train", *flags, "--init_gain", 0.3).code == 0
    again = ["--name", "tiny", "--continue_train", "--gpu_ids", -1, "--ema", 0, "--max_iters", 4]
    assert run("train", *again).code == 0
    translate("--dataroot", "data")
    last = by_hand(generator_of(Path("checkpoints/tiny")), Path("data/testA/0.png"))
    assert np.array_equal(pixels(FAKES / "0.png"), last)


def test_no_training_flag_need_be_repeated(place: Path) -> None:
    flags = [
        *TINY,
        "--ngf",
        6,
        "--netG",
        "resnet_6blocks",
        "--normG",
        "batch",
        "--no_antialias",
        "--no_dropout",
        "False",
    ]
    flags += [
        "--no_antialias_up",
        "--nce_layers",
        "0,3",
        "--CUT_mode",
        "FastCUT",
        "--model",
        "coopcut",
        "--coop_iters",
        1,
    ]
    assert run("train", "--dataroot", "data", "--name", "tiny", *flags, "--max_iters", 1).code == 0
    assert "3 images translated" in translate("--dataroot", "data").out
