"""What is chosen to save time and memory gives the same numbers, is computed once, and is continued exactly."""

from pathlib import Path

import pytest
import torch

from coopcut.data import create_loader
from coopcut.engine.position import Position
from coopcut.models.cut import CUT
from tests.steps import Count, batch, gradients, model_with, pass_of
from tests.tools import make_images, refused, train_options
from tests.training import run, same


@pytest.mark.parametrize("flipped", [False, True])
def test_contrasting_both_outputs_at_once_changes_nothing(flipped: bool) -> None:
    results = []
    for joined in (True, False):
        model = model_with()
        model.joins_batches = joined
        images = batch(3)
        out = model.forward(images.A, images.B, flipped)
        loss, parts = model.contrastive_loss(out)
        loss.backward()
        results.append((float(parts["NCE"]), float(parts["NCE_Y"]), float(loss.detach()), gradients(model)))
    assert results[0][:3] == pytest.approx(results[1][:3], rel=1e-5)
    assert results[0][2] == pytest.approx(sum(results[0][:2]) / 2, rel=1e-6)
    torch.testing.assert_close(results[0][3], results[1][3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--model coopcut --langevin_steps 3",
        "--model coopcut --langevin_steps 3 --coop_epochs 0 --coop_keep 0.5 --instance_noise 0.1 --coop_data_noise 0.1",
        "--CUT_mode FastCUT",
    ],
)
def test_batches_joined_and_apart_agree(flags: str) -> None:
    """D sees real and fake, and the encoder translation and identity, in one pass; the gradients are the same."""
    joined, apart = model_with(*flags.split()), model_with(*flags.split())
    apart.judge = lambda *images: [apart.D(each) for each in images]  # type: ignore[method-assign]
    apart.joins_batches = False
    losses, expected = (model.step(batch(), Position()).losses for model in (joined, apart))
    for name in expected:
        assert float(losses[name]) == pytest.approx(float(expected[name]), rel=1e-4, abs=1e-6)
    scale = float(gradients(apart).abs().max())
    torch.testing.assert_close(gradients(joined), gradients(apart), rtol=0, atol=1e-3 * scale)


@pytest.mark.parametrize("flag", ["--activation_checkpointing", "--selective_checkpointing"])
@pytest.mark.parametrize("more", ["", "--no_antialias --no_antialias_up --CUT_mode FastCUT", "--nce_layers 2,7,9"])
def test_checkpointing_gives_the_same_numbers(flag: str, more: str) -> None:
    plain, saving = model_with(*more.split()), model_with(flag, *more.split())
    losses, expected = (model.step(batch(), Position()).losses for model in (saving, plain))
    assert {n: float(v) for n, v in losses.items()} == pytest.approx(
        {n: float(v) for n, v in expected.items()}, rel=1e-6
    )
    torch.testing.assert_close(gradients(saving), gradients(plain), rtol=1e-4, atol=1e-6)


def convolutions_of(model: CUT) -> int:
    """Convolutions, not counting those of the gradients, in the generator's passes forward and backward."""
    with Count(torch.ops.aten.convolution.default) as count:
        pass_of(model)
    return count.number


@pytest.mark.parametrize(
    "flags",
    [
        "--lambda_color 3",
        "--gan_mode wgangp --nce_includes_all_negatives_from_minibatch",
        "--batch_size 2 --accumulation_steps 2",
        "--model coopcut --langevin_steps 2 --langevin_stop --langevin_noise 0.1 --coop_data_noise 0.1",
        "--model coopcut --langevin_steps 2 --coop_epochs 0 --coop_keep 0.5 --instance_noise 0.1",
    ],
)
def test_a_step_waits_for_no_value_of_a_tensor(flags: str) -> None:
    """On a GPU each would hold up all that comes after. (FastCUT's flips, the pool and EMA read tensors of the CPU.)"""
    model = model_with(*flags.split())
    with Count(torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default) as count:
        output = model.step(batch(), Position())
        assert count.number == 0
        float(output.losses["G"])
        assert count.number == 1


def test_selective_checkpointing_computes_no_convolution_again() -> None:
    plain, selective, full = (
        convolutions_of(model_with(*flags))
        for flags in ([], ["--selective_checkpointing"], ["--activation_checkpointing"])
    )
    assert selective == plain
    assert full > 1.5 * plain


def test_features_met_on_the_way_are_the_keys() -> None:
    """Of one pass, and of its gradients' side only: a second pass through the encoder is not needed."""
    model = model_with()
    images = batch()
    with Count(torch.ops.aten.convolution.default) as once:
        model.G(torch.cat([images.A, images.B]), model.layers)
    with Count(torch.ops.aten.convolution.default) as count:
        model.forward(images.A, images.B, False)
    assert count.number == once.number
    with Count(torch.ops.aten.convolution.default) as count:
        model.forward(images.A, images.B, True)  # but flipped inputs have other features
    assert count.number > once.number


@pytest.mark.parametrize(
    "flags",
    [
        "--amp bf16 --model coopcut --coop_iters 2 --coop_fade 1 --instance_noise 0.1",
        "--activation_checkpointing",
        "--selective_checkpointing --model coopcut --coop_iters 2 --accumulation_steps 2 --batch_size 2",
        "--accumulation_steps 2 --batch_size 2 --pool_size 2 --CUT_mode FastCUT",
    ],
)
def test_continued_exactly(images: Path, flags: str) -> None:
    common = ["--num_threads", "0", *flags.split()]
    whole = run(images, "whole", *common, "--max_iters", "4")
    run(images, "parts", *common, "--max_iters", "2")
    parts = run(images, "parts", "--continue_train", "--max_iters", "4")
    same(whole["model"], parts["model"])


def test_what_the_device_lacks_is_refused(place: Path) -> None:
    common = ["--dataroot", "data", "--name", "new", "--gpu_ids", -1, "--num_threads", 0]
    refused("train", [*common, "--amp", "fp16"], "--amp fp16", "bf16")
    refused("train", [*common, "--tf32"], "--tf32")
    refused("train", [*common, "--amp", "fp8"], "--amp")
    selective = [*common, "--selective_checkpointing"]
    refused("train", [*selective, "--compile"], "--selective_checkpointing", "--compile")
    refused("train", [*selective, "--activation_checkpointing"], "with --activation_checkpointing", "one of them")
    for flag in ("--selective_checkpointing", "--activation_checkpointing"):
        refused("train", [*common, flag, "--normG", "batch"], flag, "batch norm")


def test_cached_images_are_the_same_and_stay_within_the_budget(tmp_path: Path) -> None:
    make_images(tmp_path / "trainA", 4, 64)
    make_images(tmp_path / "trainB", 4, 64)
    flags = ["--dataroot", str(tmp_path), "--num_threads", "0", "--load_size", "40", "--crop_size", "32"]
    plain = create_loader(train_options(flags))
    cached = create_loader(train_options([*flags, "--cache_images", str(5 * 64 * 64 * 3 / 2**30)]))  # 5 of 8 images
    for epoch in (1, 2, 3):
        for one, other in zip(plain.epoch(epoch), cached.epoch(epoch), strict=True):
            assert torch.equal(one.A, other.A)
            assert one.B is not None
            assert other.B is not None
            assert torch.equal(one.B, other.B)
    assert len(cached.dataset.cache) == 5
    assert len(plain.dataset.cache) == 0
