"""CoopCUT: the cooperative steps, the switch of phase, and CUT without a warm-up."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.losses.patchnce import patch_nce
from coopcut.objectives.patches import sample_patch_ids, sample_patches
from coopcut.util.errors import OptionError
from tests.steps import (
    COOP,
    batch,
    batch_of,
    context,
    cooperative,
    method_with,
    options_of,
    step_and_gradients,
    trainer_of,
    trainer_with,
)
from tests.training import run, same

PLAIN = ("--langevin_adaptive False", "--langevin_backtrack False")


@pytest.mark.parametrize("mode", ["CUT", "FastCUT"])
def test_coopcut_without_warmup_is_cut(images: Path, mode: str) -> None:
    flags = ["--CUT_mode", mode, "--max_iters", "8"]
    plain = run(images, "plain", "--model", "cut", *flags)
    coop = run(images, "coop", "--model", "coopcut", "--coop_epochs", "0", *flags)
    same(plain["model"], coop["model"])


def test_switch_has_no_jump_on_the_real_images() -> None:
    """With g = D - 1/2, LSGAN's loss on the real images is g^2 - g + 1/4 of the energy that the warm-up ends with."""
    trainer = trainer_with(COOP, "--coop_iters 1")
    D = trainer.method.networks["D"]
    D.net.score_bias.data += 0.3
    g = (D(batch()["B"]) - 0.5).detach()
    before, after = (step_and_gradients(trainer, position=Position(step=step))[0].losses for step in (0, 1))
    assert "f_real" in before
    assert "D_real" in after
    assert float(before["f_real"]) == pytest.approx(float(g.mean()), abs=1e-6)
    assert float(after["D_real"]) == pytest.approx(float((g.square() - g).mean()) + 0.25, rel=1e-5)
    assert float(before["f_fake"]) != pytest.approx(float(before["f_real"]), abs=1e-6)


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "nonsaturating", "hinge", "wgangp"])
def test_energies_start_at_zero_and_every_mode_takes_over(mode: str) -> None:
    method = method_with(COOP, "--init_gain 0.02 --coop_iters 2 --coop_fade 0.5 --langevin_steps 2 --gan_mode", mode)
    trainer, coop = trainer_of(method), method.adversarial
    first = trainer.step(batch(), Position(step=0)).losses
    assert abs(float(first["f_real"])) < 0.01
    trainer.step(batch(), Position(step=1))
    f_real = float(coop.reviser.f(batch()["B"]).detach().mean())
    scores = float(coop.D(batch()["B"]).detach().mean())
    assert scores - f_real == pytest.approx(0.5 if mode == "lsgan" else 0.0, abs=1e-6)
    fading = trainer.step(batch(), Position(step=2))
    assert {"f_revised", "D_fake", "G_GAN"} <= fading.losses.keys()
    after = trainer.step(batch(), Position(step=3))
    assert all(bool(loss.isfinite()) for loss in after.losses.values())
    assert "revised_B" not in after.images


def test_warmup_step_reports_and_shows() -> None:
    trainer = trainer_with(COOP, "--langevin_step_size 5")
    trainer.networks["D"].model[-1].weight.data.mul_(50)
    out = trainer.step(batch(), Position())
    assert float(out.losses["f_revised"]) > float(out.losses["f_fake"])
    assert float(out.losses["gap"]) == pytest.approx(float(out.losses["f_real"] - out.losses["f_revised"]), abs=1e-6)
    moved = (out.images["revised_B"] - out.images["fake_B"]).abs()
    assert float(moved.mean()) == pytest.approx(float(out.losses["displacement"]), rel=1e-5)
    assert float(moved.max()) <= 15 * 0.05 + 1e-6  # steps * clip
    assert float(out.losses["teach"]) == pytest.approx(float(moved.square().mean()), rel=1e-5)
    assert set(out.images) == {"real_A", "fake_B", "real_B", "idt_B", "revised_B"}
    for name, images in (("fake", "fake_B"), ("real", "real_B")):
        share = (out.images[images].abs() > 0.99).float().mean()
        assert float(out.losses[f"saturated_{name}"]) == pytest.approx(float(share))


def test_discriminator_learns_only_in_its_own_update() -> None:
    trainer = trainer_with(COOP)
    before = {name: value.clone() for name, value in trainer.networks["D"].state_dict().items()}
    trainer.optimizers.optimizers["D"].param_groups[0]["lr"] = 0.0
    seen: list[list[bool]] = []
    trainer.optimizers.optimizers["G"].register_step_pre_hook(
        lambda *_: seen.append([p.grad is None for p in trainer.networks["D"].parameters()])
    )
    trainer.step(batch(), Position())
    same(before, dict(trainer.networks["D"].state_dict()))
    assert len(seen) == 1
    assert all(seen[0])


@pytest.mark.parametrize(
    "length", ["--coop_epochs 1", "--coop_iters 1 --coop_epochs 0", "--coop_epochs 0 --coop_keep 1"]
)
def test_a_warmup_that_teaches_nothing_is_refused(length: str) -> None:
    flags = f"{COOP} --lambda_NCE 0 --nce_idt False --lambda_coop 0 {length}"
    with pytest.raises(OptionError, match="--lambda_coop 0 leave the warm-up nothing to teach"):
        options_of(flags)
    assert options_of(flags, "--coop_keep 0.5 --coop_epochs 0 --coop_iters 0").coop_keep == 0.5


def test_stage_and_weight_are_functions_of_the_position() -> None:
    coop = cooperative("--coop_epochs 2")
    assert [coop.stage(Position(epoch=e)) for e in (1, 2, 3)] == ["cooperative", "cooperative", "adversarial"]
    coop = cooperative("--coop_iters 5")
    assert [coop.stage(Position(step=s)) for s in (4, 5)] == ["cooperative", "adversarial"]
    coop = cooperative("--coop_epochs 2 --coop_fade 1")  # fades in two epochs
    assert [coop.stage(Position(epoch=e)) for e in (2, 3, 4, 5)] == ["cooperative", "fading", "fading", "adversarial"]
    assert [coop.weight(Position(epoch=e)) for e in (2, 3, 4, 5)] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    coop = cooperative("--coop_iters 2 --coop_fade 1.5")
    assert [coop.weight(Position(step=s)) for s in (1, 2, 3, 4, 5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_some_of_the_cooperation_can_stay() -> None:
    method = method_with(COOP, "--coop_iters 2 --coop_fade 1 --coop_keep 0.4")
    coop = method.adversarial
    assert [coop.weight(Position(step=s)) for s in (1, 2, 3, 4, 99)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.4])
    assert [coop.stage(Position(step=s)) for s in (1, 3, 4)] == ["cooperative", "fading", "mixed"]
    losses = trainer_of(method).step(batch(), Position(step=99)).losses
    assert {"f_revised", "D_fake", "G_GAN", "teach"} <= losses.keys()
    unwarmed = cooperative("--coop_iters 0 --coop_epochs 0 --coop_keep 0.4")
    assert unwarmed.stage(Position()) == "mixed"
    assert [*unwarmed.D.net.parameters()][-1].item() == unwarmed.offset  # the bias of the last layer


def gradients_at(weight: float) -> dict[str, torch.Tensor]:
    """Of D and G in a first step in which the cooperative losses have this weight."""
    method = method_with(COOP, "--langevin_steps 3 --lambda_NCE 0 --nce_idt False")
    method.adversarial.weight = lambda position: weight
    return step_and_gradients(trainer_of(method))[1]


def test_while_fading_the_gradients_are_a_mixture() -> None:
    ends, mixed = [gradients_at(share) for share in (0.0, 1.0)], gradients_at(0.25)
    for name in ("D", "G"):
        expected = 0.75 * ends[0][name] + 0.25 * ends[1][name]
        assert float((mixed[name] - expected).norm()) < 1e-3 * float(expected.norm())
        assert float((ends[0][name] - ends[1][name]).norm()) > 0.01 * float(expected.norm())


def test_revision_stops_at_the_score_of_the_real_image() -> None:
    further = "--langevin_displacement 1 --langevin_clip 0 --langevin_adaptive False"
    free, stopping = method_with(COOP, further), method_with(COOP, further, "--langevin_stop")
    generator = torch.Generator().manual_seed(3)
    A, B = (torch.rand(6, 3, 32, 32, generator=generator) - 0.5 for _ in "AB")
    moved, stopped = (
        method.adversarial.reviser(A, B, context(trainer_of(method), batch_of(A, B))) for method in (free, stopping)
    )
    f = stopping.adversarial.reviser.f
    start, limit, end = (f(x).detach().flatten(1).mean(1) for x in (A, B, stopped.x))
    assert 0 < int((start >= limit).sum()) < 6
    assert ((end == start) == (start >= limit)).all()
    assert float(stopped.displacement) < 0.9 * float(moved.displacement)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_revision_leaves_every_entry_of_D(norm: str) -> None:
    method = method_with(COOP, "--normD", norm, "--normG", norm)
    before = {name: value.clone() for name, value in method.networks["D"].net.state_dict().items()}
    real = batch()["B"]
    method.adversarial.reviser(real, real, context(trainer_of(method), batch()))
    same(before, dict(method.networks["D"].net.state_dict()))
    assert all(p.grad is None for p in method.networks["D"].net.parameters())


def test_flipped_fastcut_contrasts_with_the_unflipped_input() -> None:
    method = method_with("--CUT_mode FastCUT")
    trainer, contrastive, A = trainer_of(method), method.contrastive, batch()["A"]
    out = contrastive.translate([A], flipped=True)
    torch.testing.assert_close(out.outputs[0], method.G(A.flip(3)))
    before = trainer.rng.state_dict()
    (found,) = contrastive.nce(out, context(trainer, batch()))
    trainer.rng.load_state_dict(before)
    inputs = contrastive.taps.encode(A)
    ids = sample_patch_ids(inputs, method.opt.num_patches, trainer.rng.device)
    back = [feature.flip(3) for feature in contrastive.taps.encode(out.outputs[0])]  # to where the input shows the same
    queries, keys = (method.contrastive.F(list(map(sample_patches, features, ids))) for features in (back, inputs))
    losses = [patch_nce(q, k, method.opt.nce_T, False, 0) for q, k in zip(queries, keys, strict=True)]
    expected = method.opt.lambda_NCE * float(torch.stack(losses).mean().detach())
    assert float(found.detach()) == pytest.approx(expected, rel=1e-6)
    trainer.rng.load_state_dict(before)
    (unflipped,) = contrastive.nce(replace(out, flipped=False), context(trainer, batch()))
    assert float(unflipped.detach()) != pytest.approx(expected, rel=1e-3)


def test_instance_noise_is_on_everything_that_D_sees_in_the_adversarial_losses_and_on_nothing_else() -> None:
    trainer, real = trainer_with(COOP, "--instance_noise 0.5 --coop_iters 1 --langevin_steps 2", *PLAIN), batch()["B"]
    seen: list[torch.Tensor] = []
    trainer.networks["D"].register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0].detach().clone().split(2)))
    warm = trainer.step(batch(), Position(step=0))
    assert len(seen) == 4  # two of the revision, revised, real
    assert torch.equal(seen[0], warm.images["fake_B"])
    assert torch.equal(seen[3], real)
    seen.clear()
    images = trainer.step(batch(), Position(step=1)).images
    fake, real_B, again = (
        shown - clean for shown, clean in zip(seen, (images["fake_B"], real, images["fake_B"]), strict=True)
    )
    for noise in (fake, real_B, again):  # 6144 values: the standard error of the deviation is 0.0045
        assert noise.mean().abs() < 0.03
        assert noise.std().item() == pytest.approx(0.5, abs=0.02)
    assert not torch.allclose(fake, again, atol=0.1)
