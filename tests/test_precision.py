"""bfloat16: training and translating in it are close to float32, and what has to stay float32 does."""

from pathlib import Path
from typing import Any

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.inference.translator import Translator
from coopcut.networks.layers import InstanceNorm2d
from tests.steps import Count, batch, method_with, step_and_gradients, trainer_with
from tests.tools import make_images, pixels
from tests.tools import run as script


def test_bf16_is_near_float32_and_its_revision_is_float32() -> None:
    flags = "--model coopcut --langevin_steps 3 --ngf 8 --ndf 8 --netF_nc 16 --langevin_adaptive False "
    flags += "--langevin_backtrack False"
    plain, half = trainer_with(flags), trainer_with(flags, "--amp bf16")
    seen: list[torch.dtype] = []
    first: Any = half.networks["D"].model[0]
    first.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    (output, gradients), (whole, of_whole) = (step_and_gradients(trainer) for trainer in (half, plain))
    losses, expected = output.losses, whole.losses
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    for name in ("D", "G", "NCE", "teach"):
        assert float(losses[name]) == pytest.approx(float(expected[name]), rel=0.05)
    assert seen == [torch.float32] * 3 + [torch.bfloat16]
    for name, gradient in gradients.items():
        assert float(torch.cosine_similarity(gradient, of_whole[name], dim=0)) > 0.9, name


def test_bf16_gradient_penalty_is_float32() -> None:
    seen: list[torch.dtype] = []
    trainer = trainer_with("--amp bf16 --gan_mode wgangp")
    first: Any = trainer.networks["D"].model[0]
    first.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    trainer.step(batch(), Position())
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_translating_in_bf16(a_run: Path) -> None:
    make_images(Path("photos"), 2, 40)
    for name, flags in (("full", []), ("half", ["--amp", "bf16"])):
        outcome = script(
            "test", "--name", "tiny", "--dataroot", "photos", "--gpu_ids", -1, "--results_dir", name, *flags
        )
        assert outcome.code == 0, outcome

    full, half = (pixels(next(Path(name).rglob("fake_B/0.png"))).astype(int) for name in ("full", "half"))
    assert abs(full - half).mean() < 2
    assert (full != half).any()


@pytest.mark.parametrize("flags", ["", "--no_antialias --no_antialias_up", "--normG batch"])
def test_bf16_translation_is_near_float32_and_each_image_for_itself(flags: str) -> None:
    nets = [method_with(flags, "--init_gain 1").G.net for _ in range(2)]
    full, half = (
        Translator(net, 3, torch.device("cpu"), amp=amp) for net, amp in zip(nets, ("none", "bf16"), strict=True)
    )
    images = batch(3)["A"]
    expected = full.translate(images)
    with Count(torch.ops.aten.batch_norm.default) as count:
        found = half.translate(images)
    norms = sum(isinstance(module, InstanceNorm2d | torch.nn.BatchNorm2d) for module in half.generator.modules())
    assert count.number == norms * (len(images) if "--normG" not in flags else 1)  # the fast way of `InstanceNorm2d`
    assert found.dtype == torch.float32
    assert float((found - expected).abs().mean()) < 0.02 < 0.1 * float(expected.std())
    assert torch.equal(half.translate(images[1:2]), found[1:2]) == ("--normG" not in flags)  # batch norm sees the batch
    kept = {
        type(module).__name__
        for module in half.generator.modules()
        for p in module.parameters(recurse=False)
        if p.dtype != torch.bfloat16
    }
    assert kept == ({"BatchNorm2d"} if "--normG" in flags else set())
