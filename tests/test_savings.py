"""What is chosen to save time and memory gives the same numbers, is computed once, and is continued exactly."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from coopcut.data import create_loader
from coopcut.engine.position import Position
from coopcut.objectives.contrastive import Contrastive
from tests.steps import Count, batch, context, method_with, pass_of, step_and_gradients, trainer_of, trainer_with
from tests.tools import make_images, refused, train_options
from tests.training import run, same


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
    method = method_with(flags)
    adversarial = method.adversarial.adversarial
    adversarial.judge = lambda D, *images: [adversarial.D(each) for each in images]
    method.contrastive.pure = False
    (apart, expected), (joined, found) = (
        step_and_gradients(trainer) for trainer in (trainer_of(method), trainer_with(flags))
    )
    assert list(joined.losses) == list(apart.losses)
    for name, loss in apart.losses.items():
        assert float(joined.losses[name]) == pytest.approx(float(loss), rel=1e-4, abs=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-3 * float(gradient.abs().max()))


@pytest.mark.parametrize("flag", ["--activation_checkpointing", "--selective_checkpointing"])
@pytest.mark.parametrize("more", ["", "--no_antialias --no_antialias_up --CUT_mode FastCUT", "--nce_layers 2,7,9"])
def test_checkpointing_gives_the_same_numbers(flag: str, more: str) -> None:
    (plain, expected), (saving, found) = (step_and_gradients(trainer_with(flags, more)) for flags in ("", flag))
    assert {n: float(v) for n, v in saving.losses.items()} == pytest.approx(
        {n: float(v) for n, v in plain.losses.items()}, rel=1e-6
    )
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def convolutions_of(work: Callable[[], object]) -> int:
    """Convolutions, not counting those of the gradients, in passes forward and backward."""
    with Count(torch.ops.aten.convolution.default) as count:
        work()
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
    trainer = trainer_with(flags)
    with Count(torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default) as count:
        output = trainer.step(batch(), Position())
        assert count.number == 0
        float(output.losses["G"])
        assert count.number == 1


def test_selective_checkpointing_computes_no_convolution_again() -> None:
    plain, selective, full = (
        convolutions_of(partial(pass_of, trainer_with(flags)))
        for flags in ("", "--selective_checkpointing", "--activation_checkpointing")
    )
    assert selective == plain
    assert full > 1.5 * plain


def test_features_met_on_the_way_are_the_keys() -> None:
    """Of one pass, and of its gradients' side only: a second pass through the encoder is not needed."""
    trainer, images = trainer_with(), batch()
    contrastive = trainer.method.objectives["contrastive"]
    assert isinstance(contrastive, Contrastive)
    sources, ctx = [images["A"], images["B"]], context(trainer, images)
    translating = convolutions_of(lambda: contrastive.G(torch.cat(sources)))
    out, flipped = (contrastive.translate(sources, mirrored) for mirrored in (False, True))
    assert convolutions_of(lambda: contrastive.translate(sources, False)) == translating
    queries = convolutions_of(lambda: contrastive.nce(out, ctx))
    assert 0 < queries < translating
    assert convolutions_of(lambda: contrastive.nce(flipped, ctx)) == 3 * queries  # mirrored inputs have other features


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
    common = flags.split()
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
            same(one.tensors, other.tensors)
    assert len(cached.dataset.cache) == 5
    assert len(plain.dataset.cache) == 0
