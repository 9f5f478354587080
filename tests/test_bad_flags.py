"""Bad flags: exit code 2, one line on stderr that names the thing and what to do, and nothing created or changed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools import CONTINUE, METHODS, TEST, TRAIN, refused


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--batch_sise", "did you mean --batch_size?"),
        ("--lamda_NCE", "did you mean --lambda_NCE?"),
        ("--nce-idt", "did you mean --nce_idt?"),
        ("-name", "did you mean --name?"),
        ("--quite_unlike_any", "see python train.py --help"),
        ("--lambda_A", "it belongs to --model cycle_gan"),
        ("--ng", "unknown flag --ng"),  # no abbreviations: a typing error must not become another flag
    ],
)
def test_unknown_flag(place: Path, flag: str, hint: str) -> None:
    refused("train", [*TRAIN, flag, "1"], f"unknown flag {flag}", hint)


def test_words_without_a_flag(place: Path) -> None:
    refused("train", [*TRAIN, "stray"], "unexpected 'stray'", "--help")
    refused("train", [*TRAIN, "--dataroot", "my", "photos"], "unexpected 'photos'")


def test_a_flag_of_the_other_script(a_run: Path) -> None:
    refused("train", [*TRAIN, "--lambda_nce", 3], "unknown flag --lambda_nce; did you mean --lambda_NCE?")
    refused("train", [*TRAIN, "--cache_images", "1e300"], "--cache_images")
    refused("test", [*TEST, "--continue_train"], "unknown flag --continue_train; it is a flag of train.py")
    refused("test", [*TEST, "--accumulation_steps", "1"], "--accumulation_steps; it is a flag of train.py")
    refused("train", [*TRAIN, "--num_test", "1"], "unknown flag --num_test; it is a flag of test.py")


def test_unknown_model_lists_the_known_ones(place: Path) -> None:
    refused("train", [*TRAIN, "--model", "cyclegan"], "--model", "'cyclegan'", ", ".join(METHODS))
    refused("train", [*TRAIN, "--model", ""], "--model", ", ".join(METHODS))


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("netG", "resnet_7blocks", "resnet_4blocks, resnet_6blocks, resnet_9blocks"),
        ("ngf", "1" * 30, "the maximum is"),
        ("lr", "0", "it must be above 0"),
        ("no_html", "", "'' is not a boolean"),
    ],
)
def test_a_value_that_an_option_refuses(place: Path, flag: str, value: str, says: str) -> None:
    """tests/test_options_bounds.py does the same for every declared option."""
    refused("train", [*TRAIN, f"--{flag}={value}"], f"--{flag}:", says)


@pytest.mark.parametrize("flag", ["checkpoints_dir", "phase", "epoch"])
def test_empty_text(place: Path, flag: str) -> None:
    refused("train", [*TRAIN, f"--{flag}", ""], f"--{flag} is empty", "leave it out")


def test_empty_or_slashed_text_when_translating(a_run: Path) -> None:
    refused("test", [*TEST, "--results_dir", ""], "--results_dir is empty")
    refused("test", [*TEST, "--phase", "../../up"], "--phase '../../up'", "without slashes")
    refused("test", [*TEST, "--epoch", "../other/latest"], "--epoch '../other/latest'", "without slashes")


@pytest.mark.parametrize("name", ["../up", "..", ".", "a/b", "/tmp/absolute", "a/"])
def test_hostile_name(place: Path, name: str) -> None:
    refused("train", [*TRAIN, "--name", name], f"--name '{name}'", "one folder name, without slashes")


def test_hostile_suffix_and_long_name(place: Path) -> None:
    refused("train", [*TRAIN, "--suffix", "/../../up"], "--name 'new_/../../up'", "without slashes")
    refused("train", [*TRAIN, "--name", "n" * 300], "--name 'nnnn", "at most 255 bytes")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0,27", "--netG resnet_4blocks has the layers 0 to 26"),
        ("0,4,8,12,99", "--netG resnet_4blocks has the layers 0 to 26"),
        ("4,4", "must differ"),
        ("-1", "not be negative"),
        ("", "write layer numbers with commas"),
        ("0,,4", "write layer numbers with commas"),
        ("0;4", "write layer numbers with commas"),
        ("0,4.5", "write layer numbers with commas"),
    ],
)
def test_nce_layers(place: Path, value: str, says: str) -> None:
    refused("train", [*TRAIN, "--nce_layers", value], f"--nce_layers {value}", says)


def test_crop_larger_than_load_size(place: Path) -> None:
    refused("train", [*TRAIN, "--crop_size", 64], "--crop_size 64", "--load_size 36", "raise or lower one")
    for mode in ("scale_width_and_crop", "scale_shortside_and_crop"):
        refused("train", [*TRAIN, "--crop_size", 64, "--preprocess", mode], "--crop_size 64", "--load_size 36")


@pytest.mark.parametrize(
    "flags",
    [
        ["--crop_size", 16],  # the 70x70 PatchGAN cannot judge it
        ["--netD", "n_layers", "--n_layers_D", 6],
        ["--crop_size", 4, "--netD", "pixel"],  # nor can the generator pad it
    ],
)
def test_crop_smaller_than_the_networks_need(place: Path, flags: list[Any]) -> None:
    refused("train", [*TRAIN, *flags], "--crop_size")


def test_batch_larger_than_the_data_set(place: Path) -> None:
    refused("train", [*TRAIN, "--batch_size", 5], "--batch_size 5", "4 images", "--batch_size 4 or less")
    refused("train", [*TRAIN, "--max_dataset_size", 2, "--batch_size", 3], "--batch_size 3", "2 images")


def test_channels_that_do_not_fit(place: Path) -> None:
    refused("train", [*TRAIN, "--input_nc", 2, "--output_nc", 2], "1 (gray) or 3 (RGB)", "--input_nc")
    refused("train", [*TRAIN, "--output_nc", 1], "--input_nc 3", "--output_nc 1", "--lambda_NCE 0")


def test_nothing_to_learn_from(place: Path) -> None:
    refused("train", [*TRAIN, "--lambda_NCE", 0, "--lambda_GAN", 0], "--lambda_NCE", "--lambda_GAN")


def test_epochs_that_are_over_before_they_begin(place: Path) -> None:
    refused("train", [*TRAIN, "--epoch_count", 500], "--epoch_count 500", "--n_epochs 200", "--n_epochs_decay 200")
    refused("train", [*TRAIN, "--epoch", 3], "--epoch 3", "--pretrained_name")
    refused("train", [*TRAIN, "--n_epochs", 0, "--n_epochs_decay", 0], "--n_epochs 0")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0", "there is no GPU 0 here"),
        ("0,1", "there is no GPU 0 here"),
        ("-2", "there is no GPU -2 here"),
        ("mps", "no Apple GPU"),
        ("gpu", "use auto, -1 (CPU), mps, or a GPU number"),
        ("", "use auto"),
        ("0;1", "use auto"),
    ],
)
def test_gpu_asked_for_and_absent(a_run: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for script, flags in (("train", TRAIN), ("train", CONTINUE), ("test", TEST)):
        refused(script, [*flags, f"--gpu_ids={value}"], f"--gpu_ids {value}", says)
