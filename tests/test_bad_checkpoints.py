"""Bad checkpoints: exit code 2, one line on stderr that names the file and what to do, and nothing changed."""

import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from coopcut.engine.checkpoint.files import read_file
from coopcut.util.errors import CheckpointError
from tests.tools import (
    CONTINUE,
    TEST,
    TRAIN,
    RunsCode,
    refused,
    run,
)


def test_nothing_to_continue(place: Path) -> None:
    again = "leave --continue_train out"
    refused("train", [*TRAIN, "--continue_train"], "--continue_train", "nothing to continue", "checkpoints/new", again)
    refused("train", ["--name", "new", "--continue_train"], "--continue_train", "nothing to continue", "--name", again)
    (place / "checkpoints" / "new").mkdir(parents=True)
    refused("train", [*TRAIN, "--continue_train"], "--continue_train", "nothing to continue", "checkpoints/new", again)


def test_continuing_a_run_whose_state_is_lost(a_run: Path) -> None:
    """Else it would begin again over the weights and figures that are there."""
    (a_run / "latest_state.pth").unlink()
    refused("train", CONTINUE, "latest_state.pth is missing", "--pretrained_name tiny", "another --name")
    assert run("train", *TRAIN, "--pretrained_name", "tiny").code == 0


def test_continuing_and_beginning_at_once(a_run: Path) -> None:
    refused("train", [*CONTINUE, "--pretrained_name", "tony"], "--pretrained_name", "--continue_train", "leave one out")


@pytest.mark.parametrize("name", ["latest_net_G.pth", "latest_state.pth"])
def test_a_flipped_bit_in_the_weights(a_run: Path, name: str) -> None:
    """torch reads such a file without a word."""
    path = a_run / name
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content[largest.header_offset + largest.file_size // 2] ^= 4
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    script, flags = ("test", TEST) if "net" in name else ("train", CONTINUE)
    refused(script, flags, name, "is damaged", "restore it")


def test_starting_anew_over_a_run(a_run: Path) -> None:
    again = [*TRAIN, "--name", "tiny"]
    for flags in (again, [*again, "--pretrained_name", "tiny"], [*again, "--ngf", 8]):
        refused("train", flags, "checkpoints/tiny already holds", "--continue_train", "another --name")


def test_run_that_does_not_exist(a_run: Path) -> None:
    refused("test", [*TEST, "--name", "tony"], "checkpoints/tony/latest_net_G.pth does not exist", "--name")
    refused("test", ["--name", "tony"], "checkpoints/tony: no such run; found: tiny")
    for epoch in (5, *range(10, 60, 5)):
        (a_run / f"{epoch}_net_G.pth").touch()
    says = (
        "holds ..., 25_net_G.pth, 30_net_G.pth, 35_net_G.pth, 40_net_G.pth, 45_net_G.pth, 50_net_G.pth, 55_net_G.pth, "
    )
    refused("test", [*TEST, "--epoch", "7"], "checkpoints/tiny/7_net_G.pth does not exist", f"{says}latest_net_G.pth\n")
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
    [
        ([1, 2], "a list"),
        (None, "nothing (None)"),
        ({1: torch.zeros(1)}, "a dictionary with 1"),
        ({}, "an empty dictionary"),
        (torch.zeros(3), "one tensor of shape (3,)"),
        ({"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}, "the state of an optimizer"),
    ],
    ids=["list", "none", "numbered", "empty", "tensor", "optimizer"],
)
def test_file_without_the_weights_of_a_network(a_run: Path, content: tuple[object, str]) -> None:
    torch.save(content[0], a_run / "latest_net_G.pth")
    refused("test", TEST, "latest_net_G.pth is not a file of one network's weights", f"it holds {content[1]}\n")


@pytest.mark.parametrize("with_options", [True, False])
def test_weights_of_another_architecture(a_run: Path, with_options: bool) -> None:
    if not with_options:
        (a_run / "train_opt.json").unlink()
    weights = torch.load(a_run / "latest_net_G.pth", weights_only=True)
    others: dict[str, dict[str, torch.Tensor]] = {
        "foreign": {"conv1.weight": torch.zeros(2, 3, 3, 3), "fc.weight": torch.zeros(2)},
        "no dots": {"weight": torch.zeros(2)},
        "one missing": {name: value for name, value in weights.items() if name != "model.1.bias"},
        "one more": weights | {"model.99.bias": torch.zeros(1)},
        "one of another shape": weights | {"model.1.bias": torch.zeros(5)},
        "scalars": {name: torch.zeros(()) for name in weights},
        "discriminator": torch.load(a_run / "latest_net_D.pth", weights_only=True),
        "projection": torch.load(a_run / "latest_net_F.pth", weights_only=True),
    }
    resembles = "it resembles --netG resnet_4blocks but has layers that no --netG has"
    says = {
        "one more": "holds unknown tensors: model.99.bias; ",
        "one of another shape": f"model.1.bias has shape (5,) instead of (4,); {resembles}",
        "one missing": "it belongs to a different architecture: it has --normG none" if with_options else resembles,
    }
    for name, content in others.items():
        torch.save(OrderedDict(content), a_run / "latest_net_G.pth")
        said = says.get(name, "it belongs to a different architecture (--netG, --netD, --netF)")
        refused("test", TEST, "checkpoints/tiny/latest_net_G.pth", said)


def test_continuing_with_another_architecture(a_run: Path) -> None:
    state = torch.load(a_run / "latest_state.pth", weights_only=True)
    state["model"]["networks"]["D"]["model.0.weight"] = torch.zeros(8, 3, 4, 4)
    torch.save(state, a_run / "latest_state.pth")
    refused("train", CONTINUE, "latest_state.pth", "model.0.weight", "(8, 3, 4, 4)", "a different architecture")
    refused("train", [*TRAIN, "--pretrained_name", "tiny", "--ngf", 8], "latest_net_G.pth", "a different architecture")


def test_continuing_with_the_state_of_another_model(a_run: Path) -> None:
    state = torch.load(a_run / "latest_state.pth", weights_only=True)
    networks = state["model"]["networks"]
    state["model"]["networks"] = {"G_A": networks["G"], "D_A": networks["D"]}
    torch.save(state, a_run / "latest_state.pth")
    refused("train", CONTINUE, "latest_state.pth holds the networks G_A, D_A, but this --model needs G, ", "--name")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(a_run: Path, value: float) -> None:
    weights = torch.load(a_run / "latest_net_G.pth", weights_only=True)
    weights["model.1.bias"][0] = value
    torch.save(weights, a_run / "latest_net_G.pth")
    refused("test", TEST, "checkpoints/tiny/latest_net_G.pth: model.1.bias is not finite", "--epoch")


def test_state_of_another_version(a_run: Path) -> None:
    state = torch.load(a_run / "latest_state.pth", weights_only=True)
    torch.save(state | {"format": 99}, a_run / "latest_state.pth")
    refused("train", CONTINUE, "checkpoints/tiny/latest_state.pth has format 99", "reads formats 1 to 2")


@pytest.mark.parametrize("state", [[1], {}, {"position": {}, "model": 3}, {"position": 3, "model": {}}])
def test_state_of_something_else(a_run: Path, state: object) -> None:
    torch.save(state, a_run / "latest_state.pth")
    refused("train", CONTINUE, "checkpoints/tiny/latest_state.pth")


@pytest.mark.parametrize(
    ("flag", "value"), [("ngf", 5), ("seed", 5), ("netF_nc", 5), ("ndf", 5), ("CUT_mode", "FastCUT")]
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


@pytest.mark.parametrize("content", ["", "[]", '{"ngf": 4', "\x00", '"text"', "3", "null"])
def test_options_that_are_no_json(a_run: Path, content: str) -> None:
    (a_run / "train_opt.json").write_text(content)
    says = "does not hold options by name" if content in ("[]", '"text"', "3", "null") else "cannot be read as JSON"
    for script, flags in (("test", TEST), ("train", CONTINUE)):
        refused(script, flags, "checkpoints/tiny/train_opt.json", says, "restore the file")
    (a_run / "train_opt.json").write_bytes(b"\xff\xfe")
    refused("test", TEST, "checkpoints/tiny/train_opt.json", "cannot be read as JSON")


@pytest.mark.parametrize(("name", "value"), [("model", "pix2pix"), ("netG", "unet"), ("lambda_NCE", -4.0)])
def test_saved_values_that_cannot_be_are_those_of_the_file(a_run: Path, name: str, value: object) -> None:
    """Not of a flag, which nobody typed; a typed one that is right stands in."""
    saved = json.loads((a_run / "train_opt.json").read_text())
    (a_run / "train_opt.json").write_text(json.dumps(saved | {name: value}))
    for script, flags in (("test", TEST), ("train", CONTINUE)):
        refused(script, flags, f"checkpoints/tiny/train_opt.json: {name}: ", str(value), "restore the file")


def test_continuing_on_fewer_images(place: Path) -> None:
    """In the middle of an epoch that was longer than the epochs are now."""
    assert run("train", *TRAIN, "--max_iters", 3).code == 0
    again = ["--name", "new", "--continue_train", "--gpu_ids", -1, "--max_iters", 5, "--max_dataset_size", 2]
    outcome = run("train", *again)
    assert outcome.code in (0, 2)
    assert outcome.err.count("\n") == (1 if outcome.code else 0)
