"""Options: whatever `--help` offers runs, for as long as asked, and keeps what was asked."""

from pathlib import Path

import pytest
import torch

from coopcut.options.saved import load_options
from tests.tools import TINY, losses_of, offered, run, two_steps, write_image

# -- whatever help offers runs ----------------------------------------------------------------------------------------

# `single` cannot train; fp16 is for GPUs, and refused elsewhere (tests/test_savings.py); what is of a start needs one
OF_A_START = ("coop_reset",)
REFUSED = (("dataset_mode", "single"), ("amp", "fp16"))
CHOICES = [pair for pair in offered("cut") if pair not in REFUSED and pair[0] not in OF_A_START]
IN_A_START = ("CUT_mode", "netD", "netF", "normG", "normD", "gan_mode", *OF_A_START)
COOP_CHOICES = [pair for pair in offered("coopcut") if pair[0] in IN_A_START]


@pytest.mark.parametrize(("flag", "value"), CHOICES)
def test_every_choice_trains(place: Path, flag: str, value: str) -> None:
    value = f"{value},files" if flag == "monitor" else value  # the records are what is looked at
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
    assert "--dataset_mode single has no target images to learn from; use unaligned" in outcome.err
    assert not (place / "checkpoints").exists()


@pytest.mark.parametrize(("flag", "value"), COOP_CHOICES)
def test_every_choice_trains_coopcut_in_both_phases(place: Path, flag: str, value: str) -> None:
    coop = ["--model", "coopcut", "--coop_iters", 1, "--coop_fade", 0, "--langevin_steps", 2]
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
