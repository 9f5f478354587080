"""What once went wrong in silence when images were made from noise."""

from pathlib import Path
from typing import Any

import pytest
import torch

from coopcut.data.image_sources import evenly
from coopcut.engine.position import Position
from coopcut.objectives.reviser import Reviser
from tests.steps import batch, context, method_with, step_and_gradients, trainer_of, trainer_with
from tests.tools import make_images, refused, run, tiny

RUN = ["--num_threads", 0, "--gpu_ids", -1, "--display_id", 0]


@pytest.mark.parametrize(("gan_mode", "factor"), [("relativistic", 0.5), ("lsgan", 0.25)])
def test_penalties_have_the_scale_of_the_loss(gan_mode: str, factor: float) -> None:
    """gamma / 2 of the slope beside a whole loss, half of that beside half a sum (R3GAN, eq. 2)."""
    trainer = trainer_with(f"--gan_mode {gan_mode} --lambda_R1 3")
    images = batch()
    x = images["B"].clone().requires_grad_(True)
    D = trainer.networks["D"]
    (slope,) = torch.autograd.grad(D(x).flatten(1).mean(1).sum(), x)
    expected = factor * 3 * float(slope.square().flatten(1).sum(1).mean())
    output, _ = step_and_gradients(trainer, images)
    assert float(output.losses["D_R1"]) == pytest.approx(expected, rel=1e-4)


def test_the_reference_density_is_part_of_the_slope_and_not_of_the_log() -> None:
    method: Any = method_with("--model coopcut --coop_iters 9 --langevin_reference 0.5")
    reviser: Reviser = method.adversarial.reviser
    x = batch()["A"].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad((reviser.f(x) - (reviser.D(x) - reviser.offset)).sum(), x)
    torch.testing.assert_close(slope, -x.detach() / 0.5**2, rtol=1e-4, atol=1e-4)
    images = batch()
    revision = reviser(images["A"], images["B"], context(trainer_of(method), images, Position()))
    assert float(revision.f_start) == pytest.approx(float((reviser.D(images["A"]) - reviser.offset).mean()), abs=1e-5)


def test_a_part_of_sorted_images_is_spread_evenly() -> None:
    assert evenly(10, 4) == [0, 3, 6, 9]
    assert evenly(3, 10) == [0, 1, 2]
    assert len(set(evenly(997, 100))) == 100


def test_what_completion_and_restoration_refuse(place: Path) -> None:
    for name in ("cat", "dog"):
        make_images(place / "pets" / name, 2, 16)
    small = "--crop_size 16 --ngf 4 --ndf 4 --nz 6 --batch_size 2 --max_iters 1".split()
    train = ["--model", "gan", "--dataroot", "pets", *small, *RUN]
    assert run("train", *train, "--conditional", "--name", "c").code == 0
    assert run("train", *train, "--name", "g").code == 0
    assert run("train", *tiny("descriptor"), "--dataroot", "data", "--name", "e", "--max_iters", 1).code == 0
    assert run("train", "--model", "gan", "--dataroot", "ring:8", "--name", "p", *RUN, "--max_iters", 1).code == 0
    task = ["--dataroot", "pets", "--gpu_ids", -1, "--task"]
    for name in ("complete", "restore"):
        refused("test", ["--name", "c", *task, name], "say which one with --class_id")
        refused("test", ["--name", "g", *task, name, "--amp", "bf16"], "leave --amp out")
        refused("test", ["--name", "p", *task, name], "this run makes points")
    assert run("test", "--name", "c", *task, "restore", "--class_id", "dog", "--search_steps", 1).code == 0
    refused("test", ["--name", "e", *task, "complete", "--dataroot", "data/trainB"], "has no noise to look for")
    refused("test", ["--name", "g", "--mask", "left"], "--mask is for --task complete")
    refused("test", ["--name", "g", "--interpolate", 1], "a way has 2 images or more")
    refused("test", ["--name", "p", "--class_id", "a"], "--class_id is for images")
    refused("evaluate", ["--name", "p"], "makes points")
    make_images(place / "little", 1, 8)
    refused("test", ["--name", "g", *task, "complete", "--dataroot", "little"], "8x8 pixels, smaller")
