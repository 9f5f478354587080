"""--model cycle_gan as users of the published code meet it: its checkpoints, both ways, and its flags."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coopcut.engine.position import Position
from coopcut.networks.resnet_generator import Resnet6
from coopcut.options.option import Options
from tests.steps import batch, trainer_with
from tests.tools import CPU, by_hand, losses_of, pixels, refused, run, tiny, train_options
from tests.training import same


@pytest.fixture
def published(place: Path) -> dict[str, Resnet6]:
    """checkpoints/maps as the published code leaves it, without our options: weights of both generators."""
    folder = place / "checkpoints" / "maps"
    folder.mkdir(parents=True)
    nets = {}
    for seed, name in enumerate(("G_A", "G_B")):
        torch.manual_seed(seed)
        nets[name] = Resnet6(3, 3, ngf=4, antialias=(False, False))
        torch.save(nets[name].state_dict(), folder / f"latest_net_{name}.pth")
    return nets


TEST = ["--model", "cycle_gan", "--dataroot", "data", "--name", "maps", "--load_size", 32, "--crop_size", 32, *CPU]


@pytest.mark.parametrize(("export", "network", "source"), [("A2B", "G_A", "testA"), ("B2A", "G_B", "testB")])
def test_published_checkpoints_translate_both_ways(
    published: dict[str, Resnet6], export: str, network: str, source: str
) -> None:
    outcome = run("test", *TEST, *(["--export", export] if export == "B2A" else []))
    assert (outcome.code, outcome.err) == (0, ""), outcome
    folder = Path("results/maps") / ("test_latest" if export == "A2B" else "test_latest_B2A") / "images"
    images = sorted(Path("data", source).iterdir())
    assert sorted(path.name for path in (folder / "fake_B").iterdir()) == [path.name for path in images]
    for path in images:
        assert np.array_equal(pixels(folder / "fake_B" / path.name), by_hand(published[network], path))


def test_a_run_is_evaluated_both_ways(place: Path, no_plot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    assert run("train", "--dataroot", "data", "--name", "r", *tiny("cycle_gan"), "--max_iters", 1).code == 0
    for export in ("A2B", "B2A"):
        assert run("test", "--dataroot", "data", "--name", "r", "--export", export, *CPU).code == 0
        outcome = run("evaluate", "--name", "r", "--export", export, "--json", f"{export}.json")
        assert outcome.code == 0, outcome
        assert Path(f"{export}.json").is_file()


def test_what_is_missing_or_meant_otherwise_is_one_line(published: dict[str, Resnet6]) -> None:
    Path("checkpoints/maps/latest_net_G_B.pth").unlink()
    refused("test", [*TEST, "--export", "B2A"], "latest_net_G_B.pth")
    refused("test", [*TEST, "--export", "C2D"], "--export C2D is unknown: this --model offers A2B, B2A")
    way = ["--model", "test", "--model_suffix", "_A", "--dataroot", "data", "--name", "maps"]
    refused("test", way, "--model test", "--model cycle_gan --export B2A")
    refused(
        "train", ["--model", "cycle_gan", "--dataroot", "data", "--name", "n", "--output_nc", 1], "--lambda_identity"
    )


@pytest.mark.parametrize(
    ("start", "stages"),
    [
        ("--coop_iters 0", ["adversarial"] * 6),
        ("--coop_iters 0 --coop_epochs 1 --coop_fade 1", ["cooperative"] * 4 + ["fading"] * 2),
    ],
)
def test_it_continues_bit_for_bit(place: Path, start: str, stages: list[str]) -> None:
    """Stopped in the middle of the first epoch, of four steps, and in the second; the pool is full by then.

    With --coop_iters it is one of the methods of test_every_method.py.
    """
    flags = ["--dataroot", "data", *tiny("cycle_gan"), "--pool_size", 2, "--print_freq", 1, *start.split()]
    assert run("train", *flags, "--name", "whole", "--max_iters", 6).code == 0
    assert run("train", *flags, "--name", "parts", "--max_iters", 3).code == 0
    for steps in (5, 6):
        assert run("train", "--name", "parts", "--continue_train", *CPU, "--max_iters", steps).code == 0
    folders = [Path("checkpoints", name) for name in ("whole", "parts")]
    whole, parts = (torch.load(folder / "latest_state.pth", weights_only=True) for folder in folders)
    for part in ("model", "position", "mean_loss"):
        same(whole[part], parts[part], part)
    logs = [losses_of(folder) for folder in folders]
    assert [(r["step"], r["losses"]) for r in logs[0]] == [(r["step"], r["losses"]) for r in logs[1]]
    assert [record["phase"] for record in logs[0]] == stages


def test_a_cooperative_duel_adds_its_diagnostics_to_the_published_names() -> None:
    """Without one these are all; see test_golden_cycle_gan.py."""
    flags = "--model cycle_gan --coop_iters 1 --coop_fade 1 --langevin_steps 2"
    trainer = trainer_with(flags)
    first, fading, after = (trainer.step(batch(), Position(step=step)).losses.keys() for step in range(3))
    published = {f"{kind}_{side}" for kind in ("D", "G", "cycle", "idt") for side in "AB"} | {"G"}
    assert after == published
    assert {"teach_A", "teach_B", "gap_A", "gap_B"} <= first - published
    assert {"D_fake_A", "D_real_B"} <= fading - first  # its parts, which the advice looks at
    assert not {"D_fake_A", "D_real_B"} & first


def test_presets_are_as_published() -> None:
    opt: Options = train_options(["--model", "cycle_gan"])
    published = {
        "n_epochs": 100, "n_epochs_decay": 100, "pool_size": 50, "init_type": "normal", "init_gain": 0.02,
        "netG": "resnet_9blocks", "netD": "basic", "ngf": 64, "ndf": 64, "normG": "instance", "normD": "instance",
        "no_dropout": True, "no_antialias": True, "no_antialias_up": True, "gan_mode": "lsgan", "lr": 0.0002,
        "beta1": 0.5, "lr_policy": "linear", "lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5,
        "batch_size": 1, "load_size": 286, "crop_size": 256, "coop_epochs": 0,
    }  # fmt: skip
    assert {name: getattr(opt, name) for name in published} == published
