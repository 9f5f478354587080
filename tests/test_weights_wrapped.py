"""Weights in wrappers, containers and other formats: read if nothing can be wrong with them, else refused."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from coopcut.inference.translator import Translator
from coopcut.networks import create_D, create_G
from coopcut.util.errors import CheckpointError
from tests.tools import TEST, TINY, refused, run, train_options

Weights = dict[str, Tensor]


def generator(*flags: str) -> Weights:
    torch.manual_seed(1)
    net: nn.Module = create_G(train_options([*TINY, "--init_gain", "0.3", *flags]), 3, 3)
    return net.state_dict()


def discriminator() -> Weights:
    net: nn.Module = create_D(train_options(TINY), 3)
    return net.state_dict()


def under(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def inside(name: str, weights: Weights) -> dict[str, Weights]:
    return {name: weights}


def lightning(weights: Weights) -> dict[str, Any]:
    more = under("netD.", discriminator()) | {"loss.vgg.weight": torch.zeros(2)}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2), "step": torch.zeros(())}}, "param_groups": [{"lr": 0.1}]}
    arguments = argparse.Namespace(lr=0.1, name="r")
    return {
        "state_dict": under("netG.", weights) | more,
        "hyper_parameters": arguments,
        "optimizer_states": [optimizer],
    }


PREFIXES = (
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "netG.",
    "model.",
    "generator.",
    "a.b.c.",
)
CONTAINERS = ("state_dict", "model", "generator", "netG", "params", "params_ema", "ema", "g_ema", "anything")
READ: dict[str, Callable[[Weights], Any]] = {
    **{f"prefix {prefix}": partial(under, prefix) for prefix in PREFIXES},
    **{f"in {name}": partial(inside, name) for name in CONTAINERS},
    "prefix in a container": lambda weights: {"model": {"ema": under("module.", weights)}},
    "compiled within": lambda weights: {n.replace("model.", "model._orig_mod.", 1): w for n, w in weights.items()},
    "lightning": lightning,
    "an epoch beside them": lambda weights: weights | {"epoch": 3},
    "the same twice": lambda weights: {"params": weights, "params_ema": dict(weights)},
    "counters": lambda weights: weights | {"model.2.num_batches_tracked": torch.tensor(7)},
    "counters of thop": lambda weights: (
        {name: torch.zeros(1, dtype=torch.double) for name in ("total_ops", "total_params")}
        | {f"{name.rpartition('.')[0]}.total_ops": torch.zeros(1) for name in weights}
        | weights
    ),
    "statistics of old instance norms": lambda weights: (
        weights | {"model.2.running_mean": torch.ones(4), "model.2.running_var": torch.ones(4)}
    ),
    "D and a loss beside them": lambda weights: (
        weights | under("netD.", discriminator()) | {"criterion.weight": torch.ones(1)}
    ),
    "in double precision": lambda weights: {name: value.double() for name, value in weights.items()},
}


def answer(path: Path) -> Tensor:
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Translator.load(path, gpu_ids=-1).translate(images)


@pytest.mark.parametrize("case", READ)
def test_wrapped_weights_are_read(case: str, tmp_path: Path) -> None:
    weights = generator()
    torch.save(weights, tmp_path / "plain.pth")
    torch.save(READ[case](weights), tmp_path / "wrapped.pth")
    assert torch.equal(answer(tmp_path / "wrapped.pth"), answer(tmp_path / "plain.pth"))


@pytest.mark.parametrize("prefix", ["", "netG."])
def test_safetensors_are_read_whatever_their_name(prefix: str, tmp_path: Path) -> None:
    weights = generator()
    torch.save(weights, tmp_path / "plain.pth")
    for name in ("weights.safetensors", "weights.pth"):
        save_file(under(prefix, weights), tmp_path / name)
        assert torch.equal(answer(tmp_path / name), answer(tmp_path / "plain.pth"))
    content = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors is damaged .* truncated or altered safetensors"):
        answer(tmp_path / "cut.safetensors")


def test_batch_norm_of_a_torch_without_counters(tmp_path: Path) -> None:
    weights = generator("--normG", "batch")
    torch.save(weights, tmp_path / "plain.pth")
    older = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    assert len(older) < len(weights)
    torch.save(under("netG.", older), tmp_path / "older.pth")
    assert torch.equal(answer(tmp_path / "older.pth"), answer(tmp_path / "plain.pth"))


def test_what_is_left_aside_is_counted(place: Path) -> None:
    torch.save(lightning(generator()), place / "epoch=3.ckpt")
    flags = ["--dataroot", "data", "--num_threads", 0, "--gpu_ids", -1, "--load_size", 16]
    outcome = run("test", *flags, "--checkpoint", "epoch=3.ckpt")
    assert (outcome.code, outcome.err) == (0, "")
    others = len(discriminator()) + 1 + 2
    number = len(generator())
    said = f"epoch=3.ckpt: {number} tensors under state_dict.netG are used, {others} are ignored\n"
    assert said in outcome.out


REFUSED: dict[str, tuple[Callable[[Weights], Any], str]] = {
    "two": (
        lambda weights: under("netG_A.", weights) | under("netG_B.", generator("--ngf", "6")),
        "holds 2 networks that fit (netG_A, netG_B): save",
    ),
    "averaged and not": (
        lambda weights: {"params": weights, "params_ema": {n: w * 2 for n, w in weights.items()}},
        "holds 2 networks that fit (params, params_ema): save",
    ),
    "norms with weights": (
        lambda weights: under("netG.", weights | {"model.2.weight": torch.ones(4), "model.2.bias": torch.zeros(4)}),
        "has the unexpected model.2.weight; it resembles --netG resnet_4blocks but has",
    ),
    "an attention": (
        lambda weights: weights | {"attention.weight": torch.ones(4)},
        "w.pth holds unknown tensors: attention.weight; if its network needs them, it cannot",
    ),
    "buffers of a wrapper": (
        lambda weights: weights | {"mean": torch.zeros(3), "std": torch.ones(3)},
        "w.pth holds unknown tensors: mean, std; ",
    ),
    "many more tensors": (
        lambda weights: under("netG.", weights | under("head.", {name: torch.ones(1) for name in "abcde"})),
        "w.pth holds unknown tensors: head.a, head.b, head.c and 2 more; ",
    ),
    "whole numbers": (
        lambda weights: {name: value.to(torch.int8) for name, value in weights.items()},
        "model.1.weight holds torch.int8 instead of torch.float32: save the weights as floating-point numbers",
    ),
    "no values": (
        lambda weights: {name: value.to("meta") for name, value in weights.items()},
        "model.1.weight has a shape but no values",
    ),
    "a discriminator": (
        lambda weights: discriminator(),
        "it belongs to a different architecture (--netG, --netD, --netF): it is a discriminator (netD) of --ndf 4",
    ),
    "a U-Net": (
        lambda weights: {"model.model.0.weight": torch.zeros(4, 3, 4, 4)},
        "it is a U-Net as in pix2pix, which no --netG offers",
    ),
    "another library's class": (
        lambda weights: {"state_dict": weights, "root": Path("x")},
        "holds more than tensors (pathlib.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_be_wrong_is_refused(case: str, tmp_path: Path) -> None:
    make, says = REFUSED[case]
    torch.save(make(generator()), tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as caught:
        answer(tmp_path / "w.pth")
    assert str(caught.value).startswith(f"{tmp_path / 'w.pth'}")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--normG", "batch"), "it has --normG batch, but this run has --normG instance"),
        (("--netG", "resnet_6blocks"), "it has --netG resnet_6blocks, but this run has --netG resnet_4blocks"),
        (
            ("--netG", "resnet_9blocks", "--ngf", "5"),
            "--netG resnet_9blocks --ngf 5, but this run has --netG resnet_4blocks",
        ),
    ],
)
@pytest.mark.parametrize("prefix", ["", "netG."])
def test_another_architecture_is_named(a_run: Path, flags: tuple[str, ...], says: str, prefix: str) -> None:
    """Of weights beside the options of a run, in translating and as --pretrained_name."""
    torch.save(under(prefix, generator(*flags)), a_run / "latest_net_G.pth")
    refused("test", TEST, "latest_net_G.pth", "a different architecture", says)
    start = ["--dataroot", "data", "--name", "new", *TINY, "--pretrained_name", "tiny"]
    refused("train", start, "latest_net_G.pth", "a different architecture", says)


def test_starting_from_wrapped_weights(a_run: Path) -> None:
    weights, other = generator(), discriminator()
    torch.save(lightning(weights), a_run / "latest_net_G.pth")
    torch.save({"netD": under("module.", other)}, a_run / "latest_net_D.pth")
    flags = ["--dataroot", "data", "--name", "new", *TINY, "--pretrained_name", "tiny", "--max_iters", 1, "--lr", 1e-12]
    assert run("train", *flags, "--no_html").code == 0
    for name, expected in (("G", weights), ("D", other)):
        found = torch.load(f"checkpoints/new/latest_net_{name}.pth", weights_only=True)
        assert all(torch.allclose(found[key], expected[key], atol=1e-9) for key in expected)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_full_state_as_a_checkpoint(place: Path, ema: float) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--ema", ema, "--max_iters", 2, "--lr", 0.01, "--no_html"]
    assert run("train", *flags).code == 0
    folder = place / "checkpoints" / "tiny"
    best = folder / ("latest_net_G_ema.pth" if ema else "latest_net_G.pth")
    (place / "elsewhere").mkdir()
    moved = (folder / "latest_state.pth").rename(place / "elsewhere" / "latest_state.pth")  # without train_opt.json
    assert torch.equal(answer(moved), answer(best))
    outcome = run("test", "--dataroot", "data", "--num_threads", 0, "--gpu_ids", -1, "--checkpoint", moved)
    what = "averaged netG" if ema else "netG"
    assert outcome.code == 0
    assert f"latest_state.pth is the full training state: using its {what}\n" in outcome.out
    assert "ignored" not in outcome.out
