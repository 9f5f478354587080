"""Bad input: exit code 2, one line on stderr that names the thing and what to do, and nothing created or changed."""

import errno
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from PIL import Image

from tests.tools import ROOT, TINY, Outcome, make_images, run, tree, truncate, write_image
from util.checkpoint import read_file
from util.errors import CheckpointError

TRAIN = ["--dataroot", "data", "--name", "new", *TINY, "--max_iters", 2]
CONTINUE = ["--name", "tiny", "--continue_train", "--gpu_ids", -1, "--max_iters", 4]
TEST = ["--dataroot", "data", "--name", "tiny", "--num_threads", 0, "--gpu_ids", -1]


def check_refusal(outcome: Outcome, says: tuple[str, ...]) -> None:
    """Exit code 2, and one line with all the words."""
    assert outcome.code == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.split(": ")[1] == "error"
    for word in says:
        assert word in outcome.err, f"{word!r} is not in {outcome.err!r}"


def refused(script: str, flags: list[Any], *says: str) -> None:
    """The script refuses `flags` in one line with all of `says`, and leaves the current folder as it is."""
    before = tree(Path.cwd())
    outcome = run(script, *flags)
    check_refusal(outcome, says)
    after = tree(Path.cwd())
    assert {name for name in {*before, *after} if before.get(name, 0) != after.get(name, 0)} == set()


class RunsCode:
    """What it is pickled as creates a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("code_was_run",)


# -- folders ----------------------------------------------------------------------------------------------------------


def test_folder_missing(place: Path) -> None:
    refused("train", [*TRAIN, "--dataroot", "dta"], "dta", "no such folder", "trainA", f"folders in {place}: data")
    refused("train", [*TRAIN, "--dataroot", "no/such/place"], "no/such/place", "no such folder")


def test_dataroot_missing_or_empty(place: Path) -> None:
    refused("train", TINY, "--dataroot is missing")
    refused("train", [*TRAIN, "--dataroot", ""], "--dataroot is missing")
    refused("train", [*TRAIN, "--dataroot"], "--dataroot: expected one argument")


def test_folder_empty(place: Path) -> None:
    (place / "empty").mkdir()
    refused("train", [*TRAIN, "--dataroot", "empty"], "empty/trainA: no such folder", "no sub-folders and no images")
    for name in ("trainA", "trainB"):
        (place / "empty" / name).mkdir()
    refused("train", [*TRAIN, "--dataroot", "empty"], "empty/trainA: no images", ".png")


def test_without_train_folders_says_what_it_found(place: Path) -> None:
    (place / "data" / "trainB").rename(place / "data" / "trainC")
    found = "found in data: testA (3 images), testB (2 images), trainA (4 images), trainC (3 images)"
    refused("train", TRAIN, "data/trainB: no such folder", "trainA and trainB", found)
    make_images(place / "flat", 2, 40)
    refused(
        "train", [*TRAIN, "--dataroot", "flat"], "found in flat: 2 images not in a sub-folder", "--dataset_mode single"
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
    check_refusal(outcome, ("data/trainA/link.png", "No such file", "replace or remove it"))


def test_image_truncated_at_the_first_step(place: Path) -> None:
    """Only decoding shows it, so that the run has begun; it can be begun again."""
    for index in range(4):
        truncate(place / "data" / "trainA" / f"{index}.png")
    outcome = run("train", *TRAIN)
    check_refusal(outcome, ("data/trainA/", ".png", "damaged", "replace or remove it"))
    assert "saved" not in outcome.err
    assert list(place.rglob("*.pth")) == []
    make_images(place / "data" / "trainA", 4, 40)
    assert run("train", *TRAIN).code == 0


def test_image_truncated_in_mid_training(place: Path) -> None:
    truncate(place / "data" / "trainA" / "2.png")
    flags = [*TRAIN, "--serial_batches", "--max_iters", 4]
    outcome = run("train", *flags)
    check_refusal(outcome, ("data/trainA/2.png", "damaged", "replace or remove it", "the 2 steps before it are saved"))
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


# -- flags ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--batch_sise", "did you mean --batch_size?"),
        ("--lamda_NCE", "did you mean --lambda_NCE?"),
        ("--nce-idt", "did you mean --nce_idt?"),
        ("-name", "did you mean --name?"),
        ("--completely_else", "see python train.py --help"),
        ("--ng", "unknown flag --ng"),  # no abbreviations: a typing error must not become another flag
    ],
)
def test_unknown_flag(place: Path, flag: str, hint: str) -> None:
    refused("train", [*TRAIN, flag, "1"], f"unknown flag {flag}", hint)


def test_words_without_a_flag(place: Path) -> None:
    refused("train", [*TRAIN, "stray"], "unexpected 'stray'", "--help")
    refused("train", [*TRAIN, "--dataroot", "my", "photos"], "unexpected 'photos'")


def test_a_flag_of_the_other_script(a_run: Path) -> None:
    refused("test", [*TEST, "--continue_train"], "unknown flag --continue_train")
    refused("test", [*TEST, "--lr", "1"], "unknown flag --lr")
    refused("train", [*TRAIN, "--num_test", "1"], "unknown flag --num_test")


def test_unknown_model_lists_the_known_ones(place: Path) -> None:
    refused("train", [*TRAIN, "--model", "cyclegan"], "--model", "'cyclegan'", "coopcut, cut")
    refused("train", [*TRAIN, "--model", ""], "--model", "coopcut, cut")


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("netG", "resnet_7blocks", "resnet_4blocks, resnet_6blocks, resnet_9blocks"),
        ("netD", "stylegan2", "basic, n_layers, pixel"),
        ("netF", "reshape", "mlp_sample, sample"),
        ("gan_mode", "wgan", "lsgan, vanilla, nonsaturating, hinge, wgangp"),
        ("normG", "layer", "instance, batch, none"),
        ("init_type", "", "normal, xavier, kaiming, orthogonal"),
        ("lr_policy", "poly", "linear, step, plateau, cosine"),
        ("dataset_mode", "aligned", "single, unaligned"),
        ("preprocess", "resize", "resize_and_crop, crop, scale_width"),
        ("direction", "atob", "AtoB, BtoA"),
        ("CUT_mode", "SinCUT", "CUT, FastCUT"),
    ],
)
def test_unknown_choice_lists_the_known_ones(place: Path, flag: str, value: str, says: str) -> None:
    refused("train", [*TRAIN, f"--{flag}", value], f"--{flag}: '{value}' is not one of", says)


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("batch_size", "0", "the least is 1"),
        ("batch_size", "-2", "the least is 1"),
        ("crop_size", "3", "the least is 4"),
        ("crop_size", "1" * 30, "the most is"),
        ("load_size", "1" * 30, "the most is"),
        ("ngf", "0", "the least is 1"),
        ("ngf", "1" * 30, "the most is"),
        ("netF_nc", "1" * 30, "the most is"),
        ("n_layers_D", "0", "the least is 1"),
        ("n_layers_D", "7", "the most is 6"),
        ("input_nc", "4", "the most is 3"),
        ("lr", "0", "it must be above 0"),
        ("lr", "-0.1", "it must be above 0"),
        ("lr", "nan", "'nan' is not a finite number"),
        ("lr", "inf", "'inf' is not a finite number"),
        ("beta1", "1", "it must be below 1"),
        ("beta2", "-0.5", "the least is 0"),
        ("ema", "1", "it must be below 1"),
        ("init_gain", "0", "it must be above 0"),
        ("lambda_NCE", "-1", "the least is 0"),
        ("nce_T", "0", "it must be above 0"),
        ("num_patches", "0", "the least is 1"),
        ("pool_size", "-1", "the least is 0"),
        ("max_iters", "0", "the least is 1"),
        ("max_dataset_size", "0", "the least is 1"),
        ("n_epochs", "-1", "the least is 0"),
        ("n_epochs", "1" * 400, "the most is"),
        ("epoch_count", "0", "the least is 1"),
        ("print_freq", "0", "the least is 1"),
        ("save_latest_freq", "0", "the least is 1"),
        ("save_epoch_freq", "0", "the least is 1"),
        ("seed", "-1", "the least is 0"),
        ("seed", "4294967296", "the most is"),
        ("num_threads", "-1", "the least is 0"),
        ("random_scale_max", "0.5", "the least is 1"),
        ("display_port", "70000", "the most is 65535"),
        ("batch_size", "2.5", "'2.5'"),
        ("batch_size", "two", "'two'"),
        ("batch_size", "", "''"),
        ("lr", "fast", "'fast'"),
        ("lr", "1,5", "'1,5'"),
        ("max_iters", "1e3", "'1e3'"),
        ("nce_idt", "perhaps", "'perhaps' is not a boolean: write True or False"),
        ("no_html", "", "'' is not a boolean"),
    ],
)
def test_value_out_of_range_or_of_another_type(place: Path, flag: str, value: str, says: str) -> None:
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
    refused("train", [*TRAIN, "--n_epochs", 0, "--n_epochs_decay", 0], "--n_epochs 0")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0", "there is no GPU 0 here"),
        ("0,1", "there is no GPU 0 here"),
        ("-2", "there is no GPU -2 here"),
        ("mps", "no Apple GPU"),
        ("gpu", "write auto, -1 (CPU), mps, or GPU numbers"),
        ("", "write auto"),
        ("0;1", "write auto"),
    ],
)
def test_gpu_asked_for_and_absent(a_run: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for script, flags in (("train", TRAIN), ("train", CONTINUE), ("test", TEST)):
        refused(script, [*flags, f"--gpu_ids={value}"], f"--gpu_ids {value}", says)


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_nothing_to_continue(place: Path) -> None:
    again = "leave --continue_train out"
    refused("train", [*TRAIN, "--continue_train"], "--continue_train", "nothing to continue", "checkpoints/new", again)
    refused("train", ["--name", "new", "--continue_train"], "--continue_train", "nothing to continue", "--name", again)
    (place / "checkpoints" / "new").mkdir(parents=True)
    refused("train", [*TRAIN, "--continue_train"], "--continue_train", "nothing to continue", "checkpoints/new", again)


def test_starting_anew_over_a_run(a_run: Path) -> None:
    again = [*TRAIN, "--name", "tiny"]
    for flags in (again, [*again, "--pretrained_name", "tiny"], [*again, "--ngf", 8]):
        refused("train", flags, "checkpoints/tiny already holds", "--continue_train", "another --name")


def test_run_that_does_not_exist(a_run: Path) -> None:
    refused("test", [*TEST, "--name", "tony"], "checkpoints/tony/latest_net_G.pth does not exist", "--name")
    refused("test", [*TEST, "--epoch", "7"], "checkpoints/tiny/7_net_G.pth does not exist", "holds", "latest_net_G.pth")
    refused("train", [*TRAIN, "--pretrained_name", "tony"], "checkpoints/tony", "does not exist", "--pretrained_name")
    flags = [*TEST[:2], *TEST[4:]]
    for path in ("checkpoints/tony", "checkpoints/tiny/7_net_G.pth", "nowhere/latest_net_G.pth"):
        refused("test", [*flags, "--checkpoint", path], f"--checkpoint {path} does not exist")


def test_dataroot_is_needed_for_translating(a_run: Path) -> None:
    refused("test", ["--name", "tiny"], "--dataroot is missing")
    refused("test", [*TEST, "--dataroot", "nowhere"], "nowhere: no such folder")
    (a_run.parents[1] / "empty").mkdir()
    refused("test", [*TEST, "--dataroot", "empty"], "empty: no images", ".png")


DAMAGE = {
    "zero bytes": lambda content: b"",
    "ten bytes": lambda content: content[:10],
    "half": lambda content: content[: len(content) // 2],
    "all but the end": lambda content: content[:-50],
    "zeros": lambda content: bytes(len(content)),
    "a web page": lambda content: b"<!DOCTYPE html><html><body>404</body></html>",
    "a pointer of git LFS": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a picture": lambda content: b"\x89PNG\r\n\x1a\n" + bytes(99),
    "overwritten": lambda content: content[:300] + b"\xff" * 200 + content[500:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint(a_run: Path, damage: str) -> None:
    for name in ("latest_net_G.pth", "latest_state.pth"):
        (a_run / name).write_bytes(DAMAGE[damage]((a_run / name).read_bytes()))
    size = (a_run / "latest_net_G.pth").stat().st_size
    said = ("checkpoints/tiny/latest_net_G.pth", "damaged or not a checkpoint", f"({size} bytes)", "restore it")
    refused("test", TEST, *said)
    refused("test", [*TEST, "--checkpoint", "checkpoints/tiny/latest_net_G.pth"], *said)
    refused("train", [*TRAIN, "--pretrained_name", "tiny"], *said)
    refused("train", CONTINUE, "checkpoints/tiny/latest_state.pth", "damaged or not a checkpoint", "restore it")


def test_reading_survives_any_damage(a_run: Path) -> None:
    """Whatever byte is wrong, the answer is weights or a `CheckpointError`."""
    zipped, legacy = a_run / "latest_net_F.pth", a_run / "old.pth"
    torch.save(torch.load(zipped, weights_only=True), legacy, _use_new_zipfile_serialization=False)
    generator = torch.Generator().manual_seed(0)
    refusals = 0
    for path in (zipped, legacy):
        content = path.read_bytes()
        for _ in range(150):
            damaged = bytearray(content)
            for place in torch.randint(len(content), (4,), generator=generator).tolist():
                damaged[place] ^= 255
            path.write_bytes(damaged)
            try:
                read_file(path)
            except CheckpointError:
                refusals += 1
    assert refusals > 100


def pickles() -> dict[str, bytes]:
    """Files that would create the folder code_was_run when they are loaded as pickles."""
    torch.save({"weight": RunsCode()}, "zip.pth")
    torch.save({"weight": RunsCode()}, "legacy.pth", _use_new_zipfile_serialization=False)
    contents = {name: Path(name).read_bytes() for name in ("zip.pth", "legacy.pth")}
    for name in contents:
        Path(name).unlink()
    for protocol in (2, 3, 4, 5):
        contents[f"protocol {protocol}"] = pickle.dumps(RunsCode(), protocol=protocol)
    return contents


def test_pickle_that_would_run_code(a_run: Path) -> None:
    pickle.loads(pickle.dumps(RunsCode()))
    assert Path("code_was_run").is_dir()  # so the pickles of this test do run code
    Path("code_was_run").rmdir()
    for content in pickles().values():
        for name in ("latest_net_G.pth", "latest_state.pth"):
            (a_run / name).write_bytes(content)
        said = ("could run code when loaded", "refused", "state_dict")
        refused("test", TEST, "checkpoints/tiny/latest_net_G.pth", *said)
        refused("test", [*TEST, "--checkpoint", "checkpoints/tiny/latest_net_G.pth"], *said)
        refused("train", [*TRAIN, "--pretrained_name", "tiny"], *said)
        refused("train", CONTINUE, "checkpoints/tiny/latest_state.pth", *said)
    assert not Path("code_was_run").exists()


def test_whole_model_instead_of_weights(a_run: Path) -> None:
    torch.save(torch.nn.Conv2d(1, 1, 1), a_run / "latest_net_G.pth")
    refused("test", TEST, "latest_net_G.pth", "holds more than tensors", "state_dict")


@pytest.mark.parametrize(
    "content",
    [[1, 2], None, {1: torch.zeros(1)}, {"state_dict": {"model.1.weight": torch.zeros(1)}}, torch.zeros(3)],
    ids=["list", "none", "numbered", "nested", "tensor"],
)
def test_file_without_the_weights_of_a_network(a_run: Path, content: object) -> None:
    torch.save(content, a_run / "latest_net_G.pth")
    refused("test", TEST, "latest_net_G.pth", "is not a file of one network's weights")


@pytest.mark.parametrize("with_options", [True, False])
def test_weights_of_another_architecture(a_run: Path, with_options: bool) -> None:
    if not with_options:
        (a_run / "train_opt.json").unlink()
    weights = torch.load(a_run / "latest_net_G.pth", weights_only=True)
    others: dict[str, dict[str, torch.Tensor]] = {
        "foreign": {"conv1.weight": torch.zeros(2, 3, 3, 3), "fc.weight": torch.zeros(2)},
        "no dots": {"weight": torch.zeros(2)},
        "empty": {},
        "one missing": {name: value for name, value in weights.items() if name != "model.1.bias"},
        "one more": weights | {"model.99.bias": torch.zeros(1)},
        "one of another shape": weights | {"model.1.bias": torch.zeros(5)},
        "scalars": {name: torch.zeros(()) for name in weights},
        "discriminator": torch.load(a_run / "latest_net_D.pth", weights_only=True),
        "projection": torch.load(a_run / "latest_net_F.pth", weights_only=True),
    }
    for content in others.values():
        torch.save(OrderedDict(content), a_run / "latest_net_G.pth")
        refused("test", TEST, "checkpoints/tiny/latest_net_G.pth", "another architecture", "--netG")


def test_continuing_with_another_architecture(a_run: Path) -> None:
    state = torch.load(a_run / "latest_state.pth", weights_only=True)
    state["model"]["networks"]["D"]["model.0.weight"] = torch.zeros(8, 3, 4, 4)
    torch.save(state, a_run / "latest_state.pth")
    refused("train", CONTINUE, "latest_state.pth", "model.0.weight", "(8, 3, 4, 4)", "another architecture")
    refused("train", [*TRAIN, "--pretrained_name", "tiny", "--ngf", 8], "latest_net_G.pth", "another architecture")


@pytest.mark.parametrize("state", [[1], {}, {"position": {}, "model": 3}, {"position": 3, "model": {}}])
def test_state_of_something_else(a_run: Path, state: object) -> None:
    torch.save(state, a_run / "latest_state.pth")
    refused("train", CONTINUE, "checkpoints/tiny/latest_state.pth")


@pytest.mark.parametrize(
    ("flag", "value"), [("ngf", 5), ("seed", 5), ("netF_nc", 5), ("n_layers_D", 5), ("CUT_mode", "FastCUT")]
)
def test_flag_that_contradicts_the_run_to_continue(a_run: Path, flag: str, value: object) -> None:
    """FastCUT's preset too would come too late: the options that it sets are those of the run."""
    saved = json.loads((a_run / "train_opt.json").read_text())[flag]
    says = (f"--{flag} {value} contradicts checkpoints/tiny", f"--{flag} {saved}", f"leave --{flag} out")
    refused("train", [*CONTINUE, f"--{flag}", value], *says)


@pytest.mark.parametrize(
    ("flag", "value", "saved"),
    [
        ("ngf", 8, 4),
        ("netG", "resnet_9blocks", "resnet_4blocks"),
        ("model", "coopcut", "cut"),
        ("lambda_NCE", 5.0, 1.0),
        ("nce_idt", False, True),
        ("direction", "BtoA", "AtoB"),
        ("no_dropout", False, True),
    ],
)
def test_flag_that_contradicts_the_checkpoint(a_run: Path, flag: str, value: object, saved: object) -> None:
    says = (f"--{flag} {value} contradicts", f"--{flag} {saved}", f"leave --{flag} out")
    refused("test", [*TEST, f"--{flag}", value], *says)


@pytest.mark.parametrize("content", ["", "[]", '{"ngf": 4', "\x00", '"text"'])
def test_options_that_are_no_json(a_run: Path, content: str) -> None:
    (a_run / "train_opt.json").write_text(content)
    for script, flags in (("test", TEST), ("train", CONTINUE)):
        refused(script, flags, "checkpoints/tiny/train_opt.json", "cannot be read as JSON", "restore it")
    (a_run / "train_opt.json").write_bytes(b"\xff\xfe")
    refused("test", TEST, "checkpoints/tiny/train_opt.json", "cannot be read as JSON")


def test_continuing_on_fewer_images(place: Path) -> None:
    """In the middle of an epoch that was longer than the epochs are now."""
    assert run("train", *TRAIN, "--max_iters", 3).code == 0
    again = ["--name", "new", "--continue_train", "--gpu_ids", -1, "--max_iters", 5, "--max_dataset_size", 2]
    outcome = run("train", *again)
    assert outcome.code in (0, 2)
    assert outcome.err.count("\n") == (1 if outcome.code else 0)


# -- disks ------------------------------------------------------------------------------------------------------------


def test_checkpoint_folder_not_writable(place: Path) -> None:
    """Below a file, which not even root can write to."""
    for folder in ("data/trainA/0.png", "data/trainA/0.png/deeper"):
        refused("train", [*TRAIN, "--checkpoints_dir", folder], folder, "cannot be written", "--checkpoints_dir")


def test_files_where_the_folders_of_runs_and_results_are_expected(a_run: Path) -> None:
    (a_run.parent / "new").write_text("a file")
    refused("train", TRAIN, "checkpoints/new cannot be written (File exists)", "--checkpoints_dir")
    refused("train", [*TRAIN, "--continue_train"], "checkpoints/new", "nothing to continue")
    refused("test", [*TEST, "--name", "new"], "checkpoints/new/latest_net_G.pth does not exist")
    Path("results").mkdir()
    Path("results/tiny").write_text("a file")
    refused("test", TEST, "results/tiny/test_latest cannot be written", "--results_dir")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_checkpoint_folder_without_permission(place: Path) -> None:
    (place / "checkpoints").mkdir(mode=0o500)
    refused("train", TRAIN, "checkpoints", "Permission denied", "--checkpoints_dir")


def test_results_folder_not_writable(a_run: Path) -> None:
    folder = "data/trainA/0.png"
    refused("test", [*TEST, "--results_dir", folder], folder, "cannot be written", "--results_dir")


class FullDisk:
    """A file that takes no byte."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> int:
        self.file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=["every file", "the last file"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for checkpoints, or none for the last of their files, the full state."""
    opened = Path.open

    def open_full(self: Path, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        file = opened(self, mode, *arguments, **keywords)
        full = "_state." in self.name if request.param == "the last file" else ".pth" in self.name
        return FullDisk(file) if mode == "wb" and full else file

    monkeypatch.setattr(Path, "open", open_full)


def check_previous_checkpoint_is_whole(a_run: Path, before: dict[str, bytes | None], outcome: Outcome) -> None:
    check_refusal(outcome, ("could not be written", "the previous checkpoint is as it was", "--continue_train"))
    after = tree(a_run)
    weights = [name for name in before if name.endswith(".pth")]
    assert len(weights) == 4
    assert {name: after[name] for name in weights} == {name: before[name] for name in weights}
    assert sorted(name for name in after if ".pth" in name or "tmp" in name) == sorted(weights)


@pytest.mark.usefixtures("full_disk")
def test_disk_full_while_saving(a_run: Path) -> None:
    before = tree(a_run)
    outcome = run("train", *CONTINUE, "--no_html")
    assert "No space left on device" in outcome.err
    check_previous_checkpoint_is_whole(a_run, before, outcome)


def test_training_goes_on_when_there_is_room_again(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        check_refusal(run("train", *CONTINUE, "--no_html"), ("checkpoints/tiny/", "could not be written"))
    outcome = run("train", *CONTINUE, "--no_html")
    assert (outcome.code, outcome.err) == (0, "")
    assert "step 2" in outcome.out
    assert torch.load(a_run / "latest_state.pth", weights_only=True)["position"]["step"] == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_disk_that_is_really_full(a_run: Path) -> None:
    before = tree(a_run)
    (a_run / f".latest_state.pth.{os.getpid()}.tmp").symlink_to("/dev/full")
    outcome = run("train", *CONTINUE, "--no_html")
    assert "latest_state.pth" in outcome.err
    assert "No space left on device" in outcome.err
    check_previous_checkpoint_is_whole(a_run, before, outcome)


@pytest.fixture
def small_files(a_run: Path) -> Iterator[None]:
    """The system refuses to let a file grow beyond what the weights need; the full state needs more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_file_that_the_system_refuses_to_enlarge(a_run: Path) -> None:
    before = tree(a_run)
    outcome = run("train", *CONTINUE, "--no_html")
    assert "File too large" in outcome.err
    check_previous_checkpoint_is_whole(a_run, before, outcome)


def test_checkpoint_folder_removed_while_training(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = os.fsync

    def remove(descriptor: int) -> None:
        synced(descriptor)
        shutil.rmtree(place / "checkpoints", ignore_errors=True)

    monkeypatch.setattr(os, "fsync", remove)
    outcome = run("train", *TRAIN, "--no_html")
    check_refusal(outcome, ("checkpoints/new", "cannot be written"))


# -- what the scripts make of errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee the documentation"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_out_of_memory_names_the_flags(a_run: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: object) -> None:
        raise error

    before = tree(a_run)
    monkeypatch.setattr("models.cut.CUT.step", fail)
    outcome = run("train", *CONTINUE)
    check_refusal(outcome, ("out of memory", "--batch_size", "--crop_size", "--ngf", "--num_patches"))
    after = tree(a_run)
    assert all(after[name] == before[name] for name in before if name.endswith(".pth"))


def test_mistakes_in_the_code_keep_their_traceback(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("models.cut.CUT.step", fail)
    with pytest.raises(RuntimeError, match="a mistake"):
        run("train", *CONTINUE)


def test_paths_that_no_terminal_can_show(place: Path) -> None:
    """A file name that is not UTF-8 in messages on stdout, in the name of the run, and on its page."""
    root = place / os.fsdecode(b"caf\xe9")
    try:
        (place / "data").rename(root)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    outcome = run("train", "--dataroot", root, *TINY, "--max_iters", 1)
    assert (outcome.code, outcome.err) == (0, "")
    assert "caf\\udce9_cut" in outcome.out
    assert (place / "checkpoints" / os.fsdecode(b"caf\xe9_cut") / "latest_net_G.pth").is_file()
    (root / "trainA" / "0.png").write_bytes(b"")
    check_refusal(run("train", "--dataroot", root, "--name", "b", *TINY), ("caf\\udce9/trainA/0.png: empty file",))


# -- as separate programs ---------------------------------------------------------------------------------------------


def test_one_line_on_the_real_stderr(place: Path) -> None:
    """Nothing of torch, warnings or tracebacks comes with it; the pickle's warning is the loudest of them."""
    folder = place / "checkpoints" / "evil"
    folder.mkdir(parents=True)
    (folder / "latest_net_G.pth").write_bytes(pickle.dumps(RunsCode(), protocol=4))
    before = tree(place)
    command = [sys.executable, str(ROOT / "test.py"), "--dataroot", "data", "--name", "evil", "--gpu_ids", "-1"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    check_refusal(Outcome(done.returncode, done.stdout, done.stderr), ("evil/latest_net_G.pth", "could run code"))
    assert done.stderr.startswith("test.py: error: ")
    assert tree(place) == before
