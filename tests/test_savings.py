"""What is chosen to save time and memory: close to the plain computation, or equal to it, and exactly continued."""

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from data import create_loader
from models import Translator, create_model
from models.cut import CUT
from models.networks import fused
from models.networks.blur import Downsample, blur
from models.networks.layers import InstanceNorm2d
from models.networks.patch_sampler import sample_patch_ids, sample_patches
from tests.tools import make_images, pixels, refused, train_options
from tests.tools import run as script
from tests.training import run, same
from util.position import Position

TINY = "--ngf 8 --ndf 8 --netF_nc 16 --num_patches 16 --netG resnet_4blocks --load_size 32 --crop_size 32 --gpu_ids -1"


def model_with(*flags: str) -> CUT:
    torch.manual_seed(0)
    model = create_model(train_options([*TINY.split(), "--init_gain", "0.3", *flags]), [torch.device("cpu")])
    assert isinstance(model, CUT)
    return model


def batch(number: int = 2) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(1)
    A, B = (torch.rand(number, 3, 32, 32, generator=generator) * 2 - 1 for _ in "AB")
    return SimpleNamespace(A=A, B=B, A_paths=["a"] * number, B_paths=["b"] * number)


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


def gradients(model: CUT) -> torch.Tensor:
    return torch.cat(
        [p.grad.flatten() for net in model.networks.values() for p in net.parameters() if p.grad is not None]
    )


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


class Count(TorchDispatchMode):
    """How often one of `operators` is called within the block."""

    def __init__(self, *operators: Any) -> None:
        super().__init__()
        self.operators, self.number = operators, 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += operator in self.operators
        return operator(*args, **(kwargs or {}))


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


def pass_of(model: CUT) -> None:
    """A pass of G and its gradients."""
    model.G(batch().A).mean().backward()


def peak_bytes(work: Callable[[], None]) -> int:
    """The most that tensors made by `work` held at one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    assert record.profiler
    assert record.profiler.kineto_results
    changes = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in changes))


TORCHS_OWN: dict[str, tuple[Any, str, Any]] = {
    "norm and rectifier": (InstanceNorm2d, "rectified", lambda self, x: functional.relu(self(x))),
    "blur": (Downsample, "forward", lambda self, x: blur(x, self.filt)),
    "upsampling": (fused, "convolve_upsampled", lambda up, convolution, x: convolution(up(x))),
}


def keep_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for way in TORCHS_OWN.values():
        monkeypatch.setattr(*way)


def test_checkpointing_holds_less_at_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, selective, full = (
        peak_bytes(partial(pass_of, model_with(*flags)))
        for flags in ([], ["--selective_checkpointing"], ["--activation_checkpointing"])
    )
    assert plain > 32 * 32 * 8 * 4
    assert selective < 0.9 * plain
    assert full < 0.9 * selective
    keep_as_torch_does(monkeypatch)
    assert selective < 0.65 * peak_bytes(partial(pass_of, model_with()))


def test_norms_blurs_and_upsampling_keep_less_than_torch_would(monkeypatch: pytest.MonkeyPatch) -> None:
    lean = peak_bytes(partial(pass_of, model_with()))
    for name, way in TORCHS_OWN.items():  # each for itself
        with monkeypatch.context() as patch:
            patch.setattr(*way)
            assert lean < 0.95 * peak_bytes(partial(pass_of, model_with())), name
    keep_as_torch_does(monkeypatch)
    assert lean < 0.8 * peak_bytes(partial(pass_of, model_with()))


def test_vectors_are_taken_while_the_generator_encodes() -> None:
    """Afterwards, the gradients of all layers would be maps at one time."""
    model = model_with("--nce_layers", "0,1,4,5,8,9,12", "--netF", "sample")
    images = batch().A
    with torch.no_grad():
        ids = sample_patch_ids(model.G(images, model.layers, True), 16, model.rng.device)

    def late() -> None:
        vectors = model.F(
            [sample_patches(*pair) for pair in zip(model.G(images, model.layers, True), ids, strict=True)]
        )
        torch.cat([v.flatten() for v in vectors]).square().mean().backward()

    def early() -> None:
        (vectors,) = model.queries([images], [ids])
        torch.cat([v.flatten() for v in vectors]).square().mean().backward()

    late()  # the gradients of the weights are there from now on
    assert peak_bytes(early) < 0.85 * peak_bytes(late)


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


def test_bf16_is_near_float32_and_its_revision_is_float32() -> None:
    flags = ["--model", "coopcut", "--langevin_steps", "3"]
    plain, half = model_with(*flags), model_with(*flags, "--amp", "bf16")
    seen: list[torch.dtype] = []
    first: Any = half.networks["D"].model[0]  # type: ignore[index]
    first.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    losses, expected = (model.step(batch(), Position()).losses for model in (half, plain))
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    for name in ("D", "G", "NCE", "teach"):
        assert float(losses[name]) == pytest.approx(float(expected[name]), rel=0.05)
    assert seen == [torch.float32] * 3 + [torch.bfloat16]
    cosine = torch.cosine_similarity(gradients(half), gradients(plain), dim=0)
    assert float(cosine) > 0.9


def test_bf16_gradient_penalty_is_float32() -> None:
    seen: list[torch.dtype] = []
    model = model_with("--amp", "bf16", "--gan_mode", "wgangp")
    first: Any = model.networks["D"].model[0]  # type: ignore[index]
    first.register_forward_hook(lambda module, given, output: seen.append(output.dtype))
    model.step(batch(), Position())
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16]


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


@pytest.mark.parametrize("flags", [[], ["--no_antialias", "True", "--no_antialias_up", "True"], ["--normG", "batch"]])
def test_bf16_translation_is_near_float32_and_each_image_for_itself(flags: list[str]) -> None:
    nets = [model_with(*flags, "--init_gain", "1").networks["G"] for _ in range(2)]
    full, half = (
        Translator(net, 3, torch.device("cpu"), amp=amp) for net, amp in zip(nets, ("none", "bf16"), strict=True)
    )
    images = batch(3).A
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
