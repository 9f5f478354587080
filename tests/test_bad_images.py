"""Bad folders and images: exit code 2, and one line on stderr that names the file and what to do."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.tools import TINY, TRAIN, check_refusal, make_images, refused, run, truncate, write_image

# -- folders ----------------------------------------------------------------------------------------------------------


def test_folder_missing(place: Path) -> None:
    refused("train", [*TRAIN, "--dataroot", "dta"], "dta", "no such folder", "trainA", f"folders in {place}: data")
    refused("train", [*TRAIN, "--dataroot", "no/such/place"], "no/such/place", "no such folder")
    refused("train", [*TRAIN, "--dataroot", "data/trainA/0.png"], f"{place}/data/trainA/0.png is a file")


def test_dataroot_missing_or_empty(place: Path) -> None:
    refused("train", TINY, "--dataroot is missing")
    refused("train", [*TRAIN, "--dataroot", ""], "--dataroot is missing")
    refused("train", [*TRAIN, "--dataroot"], "--dataroot: expected one argument")


def test_folder_empty(place: Path) -> None:
    (place / "empty").mkdir()
    refused("train", [*TRAIN, "--dataroot", "empty"], "empty/trainA: no such folder", "no subfolders and no images")
    for name in ("trainA", "trainB"):
        (place / "empty" / name).mkdir()
    refused("train", [*TRAIN, "--dataroot", "empty"], "empty/trainA: no images", ".png")


def test_without_train_folders_says_what_it_found(place: Path) -> None:
    (place / "data" / "trainB").rename(place / "data" / "trainC")
    found = "found in data: testA (3 images), testB (2 images), trainA (4 images), trainC (3 images)"
    refused("train", TRAIN, "data/trainB: no such folder", "trainA and trainB", found)
    make_images(place / "flat", 2, 40)
    refused(
        "train", [*TRAIN, "--dataroot", "flat"], "found in flat: 2 images not in a subfolder", "--dataset_mode single"
    )


def test_files_where_folders_are_expected(place: Path) -> None:
    refused("train", [*TRAIN, "--dataroot", "data/trainA/0.png"], "data/trainA/0.png", "no such folder")
    (place / "odd").mkdir()
    (place / "odd" / "trainA").write_text("a file")
    make_images(place / "odd" / "trainB", 2, 40)
    refused("train", [*TRAIN, "--dataroot", "odd"], "odd/trainA", "no such folder")


# -- images -----------------------------------------------------------------------------------------------------------


def test_file_that_is_no_image(place: Path) -> None:
    (place / "data" / "trainB" / "1.png").write_text("not an image")
    refused("train", TRAIN, "data/trainB/1.png", "not a readable", "convert or remove it")


def test_several_unusable_files_are_counted(place: Path) -> None:
    for index in range(3):
        (place / "data" / "trainA" / f"{index}.png").write_text("not an image")
    refused("train", TRAIN, "data/trainA/0.png", "the first of 3 unusable files in data/trainA")


def test_image_of_zero_bytes(place: Path) -> None:
    (place / "data" / "trainA" / "3.png").write_bytes(b"")
    refused("train", TRAIN, "data/trainA/3.png: empty file (0 bytes)", "replace or remove it")


def test_link_to_nowhere(place: Path) -> None:
    (place / "data" / "trainA" / "link.png").symlink_to(place / "gone.png")
    outcome = run("train", *TRAIN)
    check_refusal(outcome, ("data/trainA/link.png", "No such file", "check the file"))


@pytest.mark.parametrize("made", ["", "checkpoints", "checkpoints/new"])
def test_image_truncated_at_the_first_step(place: Path, made: str) -> None:
    """Only decoding shows it, when the run has its folder: a folder that was there before stays, one it made goes."""
    for index in range(4):
        truncate(place / "data" / "trainA" / f"{index}.png")
    (place / made).mkdir(parents=True, exist_ok=True)
    if made.endswith("new"):
        (place / made / "notes.txt").write_text("mine")
        check_refusal(run("train", *TRAIN), ("data/trainA/", "damaged"))
        assert (place / made / "notes.txt").read_text() == "mine"
    else:
        refused("train", TRAIN, "data/trainA/", ".png", "damaged", "replace or remove it")
    assert list(place.rglob("*.pth")) == []
    make_images(place / "data" / "trainA", 4, 40)
    assert run("train", *TRAIN).code == 0


def test_image_truncated_in_mid_training(place: Path) -> None:
    truncate(place / "data" / "trainA" / "2.png")
    flags = [*TRAIN, "--serial_batches", "--max_iters", 4]
    outcome = run("train", *flags)
    check_refusal(
        outcome, ("data/trainA/2.png", "damaged", "replace or remove it", "2 steps before it are saved: resume")
    )
    assert torch.load("checkpoints/new/latest_state.pth", weights_only=True)["position"]["step"] == 2
    write_image(place / "data" / "trainA" / "2.png", 40, 40)
    again = run("train", *flags, "--continue_train")
    assert again.code == 0
    assert "done: 4 steps" in again.out


@pytest.mark.parametrize("mode", ["crop", "zoom_and_crop", "scale_width_and_crop", "scale_shortside_and_crop"])
def test_image_smaller_than_the_crop_is_scaled_up(place: Path, mode: str) -> None:
    """As documented in data/transforms.py."""
    for domain in "AB":
        for index in range(4):
            write_image(place / "data" / f"train{domain}" / f"{index}.png", 9, 20)
    outcome = run("train", *TRAIN, "--preprocess", mode, "--update_html_freq", 1)
    assert (outcome.code, outcome.err) == (0, "")
    for label in ("real_A", "fake_B", "real_B"):
        with Image.open(place / "checkpoints" / "new" / "web" / "images" / f"epoch001_{label}.png") as img:
            assert img.size == (32, 32)


def test_image_too_small_for_the_discriminator(place: Path) -> None:
    write_image(place / "data" / "trainA" / "0.png", 16, 40)
    outcome = run("train", *TRAIN, "--preprocess", "none", "--serial_batches")
    check_refusal(outcome, ("data/trainA/0.png", "16x40 pixels", "--preprocess", "--netD", "32"))
