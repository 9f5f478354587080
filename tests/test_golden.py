"""CUT and FastCUT compute what the published implementation computes (figures in `golden/`, see `golden/README.md`)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from coopcut.data.batch import Batch
from coopcut.engine.position import Position
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.engine.trainer import Trainer
from coopcut.models import create_method
from coopcut.models.cut import CUT
from coopcut.networks.layers import InstanceNorm2d
from coopcut.objectives.contrastive import Contrastive, nce_layers
from tests.steps import batch_of, context, step_and_gradients, trainer_of
from tests.tools import train_options

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "cut_public.json").read_text())
ARRAYS = np.load(GOLDEN / "cut_public.npz")


def golden_method(case: str) -> CUT:
    opt = train_options(["--gpu_ids", "-1", "--crop_size", "32", "--load_size", "32", *CASES[case]["args"]])
    method = create_method(opt, Runtime.from_options(opt, Peers()))
    assert isinstance(method, CUT)
    for place, name in enumerate("GFD"):
        fill(method.networks[name].net, CASES[case]["seed"] + place)
    return method


def golden_trainer(case: str) -> Trainer:
    trainer = trainer_of(golden_method(case))
    if case == "fastcut_noflip":
        trainer.rng.coin = lambda: False  # type: ignore[method-assign]
    return trainer


def fill(net: torch.nn.Module, seed: int) -> None:
    trained = {name: p for name, p in net.state_dict().items() if not name.endswith("filt") and p.is_floating_point()}
    for i, name in enumerate(sorted(trained)):
        values = np.random.RandomState(1000 * seed + i).standard_normal(trained[name].numel()) * 0.05
        trained[name].copy_(torch.from_numpy(values.astype(np.float32)).reshape(trained[name].shape))


def golden_batch(case: str) -> Batch:
    c = CASES[case]
    shape = (c["batch"], 3, c["size"], c["size"])
    return batch_of(
        *(
            torch.from_numpy(np.random.RandomState(c["seed"] + p).uniform(-1, 1, shape).astype(np.float32))
            for p in (0, 1)
        )
    )


@pytest.mark.parametrize("case", CASES)
def test_state_names_and_shapes(case: str) -> None:
    method = golden_method(case)
    for name in "GFD":
        ours = [[key, list(value.shape)] for key, value in method.networks[name].net.state_dict().items()]
        assert ours == CASES[case]["state"][name]


@pytest.mark.parametrize("case", CASES)
def test_forward_and_features(case: str) -> None:
    method, batch = golden_method(case), golden_batch(case)
    A, B = batch["A"], batch["B"]
    flipped = method.contrastive.flips(context(golden_trainer(case), batch))
    out = method.contrastive.translate([A, B] if method.opt.nce_idt else [A], flipped)
    for output, name in zip(out.outputs, ("fake_B", "idt_B"), strict=False):
        close(output, ARRAYS[f"{case}/{name}"], 1e-4)
    D = method.networks["D"]
    close(D(out.outputs[0]), ARRAYS[f"{case}/D_fake"], 1e-4)
    close(D(B), ARRAYS[f"{case}/D_real"], 1e-4)
    encoded = method.contrastive.taps.encode(A)
    for layer, feature, met in zip(nce_layers(method.opt), encoded, out.features[0], strict=True):
        assert list(feature.shape) == CASES[case]["feat_shapes"][str(layer)]
        statistics = torch.stack([feature.mean(), feature.std()])
        close(statistics, ARRAYS[f"{case}/feat_{layer}_mean_std"], 1e-4)
        if not flipped:  # a batch of one and of two are computed differently
            assert torch.allclose(feature, met, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_losses_before_an_update(case: str) -> None:
    losses = golden_trainer(case).step(golden_batch(case), Position()).losses
    first = {name: CASES[case]["losses"][name] for name in ("D_real", "D_fake", "NCE")}
    assert {name: float(losses[name]) for name in first} == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients(case: str, strides_of_cut: None) -> None:
    output, gradients = step_and_gradients(golden_trainer(case), golden_batch(case))
    losses, expected = output.losses, CASES[case]["losses"]
    assert set(losses) == set(expected) - {"D_total"}
    for name in losses:
        assert float(losses[name]) == pytest.approx(expected[name], rel=1e-4)
    assert float(losses["D_real"] + losses["D_fake"]) / 2 == pytest.approx(expected["D_total"], rel=1e-4)
    for name in "GFD":
        assert float(gradients[name].norm()) == pytest.approx(float(ARRAYS[f"{case}/grad_norm_{name}"]), rel=1e-3)


@pytest.mark.parametrize("case", [c for c in CASES if "step_losses" in CASES[c]])
def test_successive_steps(case: str, strides_of_cut: None) -> None:
    """Adam divides a gradient by its own size, so that rounding decides the sign of steps where there is none.

    With inputs changed by 1e-7 some runs part from the others by up to 2 % in the third step; which do, depends on the
    processor. The published figures must be those of one of 12 such runs, to 1e-3 in every loss of every step.
    """
    expected = CASES[case]["step_losses"]
    worst = []
    for seed in range(12):
        trainer, batch = golden_trainer(case), golden_batch(case)
        noise = torch.Generator().manual_seed(seed)
        if seed:
            batch = batch_of(
                *(batch[name] * (1 + 1e-7 * torch.randn(batch[name].shape, generator=noise)) for name in "AB")
            )
        steps = [trainer.step(batch, Position(step=number)).losses for number in range(len(expected))]
        assert all(step.keys() == given.keys() for step, given in zip(steps, expected, strict=True))
        off = [abs(float(s[n]) / given[n] - 1) for s, given in zip(steps, expected, strict=True) for n in given]
        worst.append(max(off))
        if worst[-1] <= 1e-3:
            return
    raise AssertionError(f"the closest run is off by {min(worst):.1e}")


def instance_norm_backward_is_wrong() -> bool:
    """Whether this torch has the fault below: B = 1, CPU, a gradient with the strides of [B, H, W, C]."""
    norm, x = torch.nn.InstanceNorm2d(4), torch.randn(1, 4, 3, 3, requires_grad=True)
    gradient = torch.randn(1, 3, 3, 4).permute(0, 3, 1, 2)
    strided, contiguous = (torch.autograd.grad(norm(x), x, g)[0] for g in (gradient, gradient.contiguous()))
    return not torch.allclose(strided, contiguous, atol=1e-4)


@pytest.fixture
def strides_of_cut(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Sample the features as CUT does, through [B, H*W, C], once all are there.

    The recorded gradients of batches of one hold a fault of torch: on a CPU the backward of InstanceNorm2d is wrong
    for a gradient with such strides, and CUT's sampling gives it one at the residual blocks. Ours has neither (see
    `test_gradient_of_the_contrastive_loss_is_right`); to meet the recorded figures the test has to bring them back, and
    to encode translation and identity in two batches of one, as CUT does.
    """
    if not instance_norm_backward_is_wrong() and request.node.callspec.params["case"] != "cut_batch2":
        pytest.skip("this torch has mended InstanceNorm2d's backward; the recorded gradients hold the old fault")

    def queries(self: Contrastive, outputs: list[Tensor], ids: list[list[Tensor]]) -> Iterator[list[Tensor]]:
        for output, of_one in zip(outputs, ids, strict=True):
            maps = [f.permute(0, 2, 3, 1).flatten(1, 2) for f in self.taps.encode(output)]
            yield self.F([f[:, p, :] for f, p in zip(maps, of_one, strict=True)])

    monkeypatch.setattr(InstanceNorm2d, "forward", lambda self, x: torch.nn.functional.instance_norm(x))
    monkeypatch.setattr(InstanceNorm2d, "rectified", lambda self, x: self(x).relu())
    monkeypatch.setattr(Contrastive, "queries", queries)


def test_gradient_of_the_contrastive_loss_is_right() -> None:
    """Ours agrees with finite differences where the recorded one, with torch's fault in it, is 1 % off."""
    trainer, batch = golden_trainer("cut"), golden_batch("cut")
    for net in trainer.networks.values():
        net.double()
    contrastive = trainer.method.objectives["contrastive"]
    assert isinstance(contrastive, Contrastive)
    A = batch["A"].double()
    out = contrastive.translate([A], flipped=False)
    ctx, before = context(trainer, batch), trainer.rng.state_dict()

    def loss(images: Tensor) -> Tensor:
        trainer.rng.load_state_dict(before)
        return contrastive.nce(replace(out, outputs=[images]), ctx)[0]

    output = out.outputs[0].detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(output), output)
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        up, down = (float(loss(output + e * direction)) for e in (1e-6, -1e-6))
    assert float((gradient * direction).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-6)


def close(actual: torch.Tensor | None, expected: np.ndarray, rel: float) -> None:
    assert actual is not None
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=rel * scale)
