"""CoopCUT: the cooperative steps, the switch of phase, and CUT without a warm-up."""

from pathlib import Path

import pytest
import torch
from coopcut.networks.patch_sampler import sample_patch_ids, sample_patches

from coopcut.data.batch import Batch
from coopcut.engine.position import Position
from coopcut.losses.patchnce import patch_nce
from coopcut.models import create_model
from coopcut.models.coopcut import CoopCUT
from coopcut.util.errors import OptionError
from tests.tools import TINY, train_options
from tests.training import run, same


@pytest.mark.parametrize("mode", ["CUT", "FastCUT"])
def test_coopcut_without_warmup_is_cut(images: Path, mode: str) -> None:
    flags = ["--CUT_mode", mode, "--num_threads", "0", "--max_iters", "8"]
    plain = run(images, "plain", "--model", "cut", *flags)
    coop = run(images, "coop", "--model", "coopcut", "--coop_epochs", "0", *flags)
    same(plain["model"], coop["model"])


def coop_model(*flags: str) -> CoopCUT:
    opt = train_options(["--model", "coopcut", *TINY, *flags])
    torch.manual_seed(0)
    model = create_model(opt, [torch.device("cpu")])
    assert isinstance(model, CoopCUT)
    return model


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    A, B = (torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    return Batch(A, B, ["a", "b"], ["c", "d"])


def real() -> torch.Tensor:
    B = batch().B
    assert B is not None
    return B


def test_switch_has_no_jump_on_the_real_images() -> None:
    """With g = D - 1/2, LSGAN's loss on the real images is g^2 - g + 1/4 of the energy that the warm-up ends with."""
    model = coop_model("--coop_iters", "1", "--coop_fade", "0")
    model.networks["D"].last.bias.data += 0.3  # type: ignore[union-attr, operator]
    for optimizer in model.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0
    g = (model.D(batch().B) - 0.5).detach()
    before = model.step(batch(), Position(step=0)).losses
    after = model.step(batch(), Position(step=1)).losses
    assert "f_real" in before
    assert "D_real" in after
    assert float(before["f_real"]) == pytest.approx(float(g.mean()), abs=1e-6)
    assert float(after["D_real"]) == pytest.approx(float((g.square() - g).mean()) + 0.25, rel=1e-5)
    assert float(before["f_fake"]) != pytest.approx(float(before["f_real"]), abs=1e-6)


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "nonsaturating", "hinge", "wgangp"])
def test_energies_start_at_zero_and_every_mode_takes_over(mode: str) -> None:
    model = coop_model("--coop_iters", "2", "--coop_fade", "0.5", "--gan_mode", mode, "--langevin_steps", "2")
    first = model.step(batch(), Position(step=0)).losses
    assert abs(float(first["f_real"])) < 0.01
    model.step(batch(), Position(step=1))
    f_real = float(model.f(real()).detach().mean())
    scores = float(model.D(batch().B).detach().mean())
    assert scores - f_real == pytest.approx(0.5 if mode == "lsgan" else 0.0, abs=1e-6)
    fading = model.step(batch(), Position(step=2))
    assert {"f_revised", "D_fake", "G_GAN"} <= fading.losses.keys()
    after = model.step(batch(), Position(step=3))
    assert all(bool(loss.isfinite()) for loss in after.losses.values())
    assert "revised_B" not in after.images


def test_warmup_step_reports_and_shows() -> None:
    model = coop_model("--langevin_step_size", "5")
    model.networks["D"].last.weight.data.mul_(50)  # type: ignore[union-attr, operator]
    out = model.step(batch(), Position())
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
    model = coop_model()
    model.optimizers["D"].param_groups[0]["lr"] = 0.0
    before = {name: value.clone() for name, value in model.networks["D"].state_dict().items()}
    model.step(batch(), Position())
    same(before, dict(model.networks["D"].state_dict()))
    gradients = [p.grad.clone() for p in model.networks["D"].parameters() if p.grad is not None]
    model.revise(real(), real())
    same(gradients, [p.grad for p in model.networks["D"].parameters() if p.grad is not None])


HEALTHY = {"D": -0.1, "f_revised": 0.1, "f_fake": 0.0, "displacement": 0.05, "gap": 0.1}
HEALTHY |= {"saturated": 0.0, "saturated_fake": 0.0, "saturated_real": 0.0}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, None),
        ({"f_revised": -0.1}, "lower --langevin_displacement"),
        ({"displacement": 0.0001}, "raise --langevin_displacement"),
        ({"displacement": 0.5}, "lower --langevin_displacement"),
        ({"saturated": 0.9}, "revision saturates"),
        ({"saturated": 0.9, "saturated_fake": 0.8}, "lower --lr"),  # they were so before the revision
        ({"saturated_fake": 0.09}, None),
        ({"saturated_fake": 0.5, "saturated": 0.5, "saturated_real": 0.45}, None),
        ({"D": 0.4}, None),
        ({"gap": 0.005, "f_revised": 0.005}, "lower --langevin_displacement, or add --langevin_stop"),
        ({"gap": 0.005, "f_revised": 0.02}, None),
        ({"gap": 0.02, "f_revised": 0.005}, None),
        ({"D": 0.6}, "lower --lr"),
        ({"gap": 3.0}, "--lambda_energy"),
        ({"gap": 0.97}, "--langevin_displacement"),  # measured with a displacement of 0.02
        ({"gap": 0.6}, None),
    ],
)
def test_advice_names_the_option(change: dict[str, float], word: str | None) -> None:
    advice = coop_model().advice({**HEALTHY, **change}, Position(step=500))
    assert len(advice) == (word is not None)
    assert word is None or word in advice[0]
    if word and "displacement" in word:
        (advised,) = coop_model("--langevin_step_size", "1").advice({**HEALTHY, **change}, Position(step=500))
        assert "--langevin_step_size" in advised


def advised(change: dict[str, float], *flags: str, step: int = 500) -> list[str]:
    return coop_model(*flags).advice({**HEALTHY, **change}, Position(step=step))


def test_advice_on_flat_energies() -> None:
    (flat,) = advised({"gap": 0.0, "f_revised": 0.0001}, "--langevin_stop")
    assert "or begin with --init_type kaiming" in flat
    assert advised({"gap": 0.0, "f_revised": 0.0001, "displacement": 0.003}, "--langevin_stop") == [flat]
    assert not advised({"gap": 0.0, "f_revised": 0.0, "displacement": 0.0}, "--langevin_stop")  # all at rest
    assert not advised({"gap": 0.0, "f_revised": 0.02}, "--lambda_energy", "0")  # as without a penalty too
    assert not advised({"gap": 0.0, "f_revised": 0.001}, step=199)  # D begins so
    assert not advised({"gap": 0.0, "f_revised": 0.001, "D_fake": 0.1})


def test_what_no_slope_excuses_is_said_from_the_first_step() -> None:
    for change in ({"displacement": 0.5}, {"saturated": 0.9}, {"saturated_fake": 0.5, "saturated": 0.5}, {"gap": 3.0}):
        assert advised(change, step=1) == advised(change) != []
    for change in ({"f_revised": -0.1}, {"displacement": 0.0001}, {"gap": 0.97}, {"D": 0.6}):
        assert advised(change) != [] == advised(change, step=99)


def test_advice_follows_the_penalty_and_the_phase() -> None:
    assert not advised({"D": 3.0, "gap": 0.5}, "--lambda_energy", "0.1")
    assert "lower --lr" in advised({"D": 6.0, "gap": 0.5}, "--lambda_energy", "0.1")[0]
    assert not advised({"D": 0.6, "D_fake": 0.1})
    assert not advised({"gap": 3.0, "D_fake": 0.1})  # wanted, while fading


@pytest.mark.parametrize(
    "length", ["--coop_epochs 1", "--coop_iters 1 --coop_epochs 0", "--coop_epochs 0 --coop_keep 1"]
)
def test_a_warmup_that_teaches_nothing_is_refused(length: str) -> None:
    argv = ["--model", "coopcut", "--lambda_NCE", "0", "--nce_idt", "False", "--lambda_coop", "0", *length.split()]
    with pytest.raises(OptionError, match="--lambda_coop 0 leave the warm-up nothing to teach"):
        train_options(argv)
    assert train_options([*argv, "--coop_keep", "0.5", "--coop_epochs", "0", "--coop_iters", "0"]).coop_keep == 0.5


def test_phase_is_a_function_of_the_position() -> None:
    model = coop_model("--coop_epochs", "2", "--coop_fade", "0")
    assert [model.phase(Position(epoch=e)) for e in (1, 2, 3)] == ["cooperative", "cooperative", "adversarial"]
    model = coop_model("--coop_iters", "5", "--coop_fade", "0")
    assert [model.phase(Position(step=s)) for s in (4, 5)] == ["cooperative", "adversarial"]
    model = coop_model("--coop_epochs", "2", "--coop_fade", "1")  # fades in two epochs
    assert [model.phase(Position(epoch=e)) for e in (2, 3, 4, 5)] == ["cooperative", "fading", "fading", "adversarial"]
    assert [model.coop_share(Position(epoch=e)) for e in (2, 3, 4, 5)] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    model = coop_model("--coop_iters", "2", "--coop_fade", "1.5")
    assert [model.coop_share(Position(step=s)) for s in (1, 2, 3, 4, 5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_a_share_of_the_cooperation_can_stay() -> None:
    model = coop_model("--coop_iters", "2", "--coop_fade", "1", "--coop_keep", "0.4")
    assert [model.coop_share(Position(step=s)) for s in (1, 2, 3, 4, 99)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.4])
    assert [model.phase(Position(step=s)) for s in (1, 3, 4)] == ["cooperative", "fading", "mixed"]
    losses = model.step(batch(), Position(step=99)).losses
    assert {"f_revised", "D_fake", "G_GAN", "teach"} <= losses.keys()
    unwarmed = coop_model("--coop_iters", "0", "--coop_epochs", "0", "--coop_keep", "0.4")
    assert unwarmed.phase(Position()) == "mixed"
    assert [*unwarmed.networks["D"].parameters()][-1].item() == unwarmed.gan.offset  # the bias of the last layer


def gradients_at(share: float) -> dict[str, torch.Tensor]:
    """Of D and G in a first step in which the cooperative losses have this share."""
    model = coop_model("--langevin_steps", "3", "--lambda_NCE", "0", "--nce_idt", "False")
    for optimizer in model.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0  # all losses see the same weights
    model.coop_share = lambda position: share  # type: ignore[method-assign]
    model.step(batch(), Position())
    grads = {n: [p.grad for p in model.networks[n].parameters() if p.grad is not None] for n in ("D", "G")}
    return {name: torch.cat([grad.flatten() for grad in found]) for name, found in grads.items()}


def test_while_fading_the_gradients_are_a_mixture() -> None:
    ends, mixed = [gradients_at(share) for share in (0.0, 1.0)], gradients_at(0.25)
    for name in ("D", "G"):
        expected = 0.75 * ends[0][name] + 0.25 * ends[1][name]
        assert float((mixed[name] - expected).norm()) < 1e-3 * float(expected.norm())
        assert float((ends[0][name] - ends[1][name]).norm()) > 0.01 * float(expected.norm())


def test_revision_stops_at_the_score_of_the_real_image() -> None:
    further = ["--langevin_displacement", "1", "--langevin_clip", "0"]
    free, model = coop_model(*further), coop_model("--langevin_stop", *further)
    generator = torch.Generator().manual_seed(3)
    A, B = (torch.rand(6, 3, 32, 32, generator=generator) - 0.5 for _ in "AB")
    stopped = model.revise(A, B)
    start, limit, end = (model.f(x).detach().flatten(1).mean(1) for x in (A, B, stopped.x))
    assert 0 < int((start >= limit).sum()) < 6
    assert ((end == start) == (start >= limit)).all()
    assert float(stopped.displacement) < 0.9 * float(free.revise(A, B).displacement)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_revision_leaves_every_entry_of_D(norm: str) -> None:
    model = coop_model("--normD", norm, "--normG", norm)
    before = {name: value.clone() for name, value in model.networks["D"].state_dict().items()}
    model.revise(real(), real())
    same(before, dict(model.networks["D"].state_dict()))


def test_flipped_fastcut_contrasts_with_the_unflipped_input() -> None:
    model = coop_model("--coop_epochs", "0", "--CUT_mode", "FastCUT")
    A = batch().A
    out = model.forward(A, real(), flipped=True)
    torch.testing.assert_close(out.fake_B, model.G(A.flip(3)))
    for key, feature in zip(out.keys_A, model.G(A, model.layers, True), strict=True):
        torch.testing.assert_close(key, feature)
    before = model.rng.state_dict()
    (found,) = model.nce([out.fake_B], [out.keys_A], True)
    model.rng.load_state_dict(before)
    ids = sample_patch_ids(out.keys_A, model.opt.num_patches, model.rng.device)
    back = [feature.flip(3) for feature in model.G(out.fake_B, model.layers, True)]  # to where the input shows the same
    queries, keys = (model.F(list(map(sample_patches, features, ids))) for features in (back, out.keys_A))
    losses = [patch_nce(q, k, model.opt.nce_T, False, 0) for q, k in zip(queries, keys, strict=True)]
    expected = model.opt.lambda_NCE * float(torch.stack(losses).mean().detach())
    assert float(found.detach()) == pytest.approx(expected, rel=1e-6)
    model.rng.load_state_dict(before)
    assert float(model.nce([out.fake_B], [out.keys_A], False)[0].detach()) != pytest.approx(expected, rel=1e-3)


def test_the_mean_color_of_the_target_is_kept_where_it_is_asked_for() -> None:
    """A discriminator with instance norm does not see it, in the warm-up no more than after."""
    distances = {}
    for weight in ("0", "100"):
        torch.manual_seed(0)
        model = coop_model("--lambda_color", weight, "--coop_iters", "10", "--langevin_steps", "2", "--lr", "0.002")
        target = real() * 0.1 + torch.tensor([0.6, -0.5, 0.1])[:, None, None]
        images = Batch(batch().A, target, ["a", "b"], ["c", "d"])
        outputs = [model.step(images, Position(step=step)) for step in range(50)]
        assert {"color" in output.losses for output in outputs} == {weight != "0"}
        last = {name: float(loss) for name, loss in outputs[-1].losses.items()}
        whole = last["G_GAN"] + (last["NCE"] + last["NCE_Y"]) / 2 + float(weight) * last.get("color", 0)
        assert last["G"] == pytest.approx(whole, rel=1e-5)  # what --lr_policy plateau watches
        seen = torch.stack([output.images["fake_B"].mean(dim=(0, 2, 3)) for output in outputs[20:]])
        distances[weight] = float((seen.mean(dim=0) - target.mean(dim=(0, 2, 3))).square().sum())
    assert distances["100"] < 0.1 * distances["0"], distances


def test_means_of_colors_that_were_not_kept_up_are_forgotten() -> None:
    model, without, again = (coop_model("--coop_epochs", "0", "--lambda_color", weight) for weight in "202")
    model.step(batch(), Position())
    without.load_state_dict(model.state_dict())
    again.load_state_dict(without.state_dict())
    assert [each.balance.steps for each in (model, without, again)] == [1, 0, 0]


def test_instance_noise_is_on_everything_that_D_sees_in_the_adversarial_losses_and_on_nothing_else() -> None:
    model = coop_model("--instance_noise", "0.5", "--coop_iters", "1", "--langevin_steps", "2")
    seen: list[torch.Tensor] = []
    model.networks["D"].register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0].detach().clone().split(2)))
    warm = model.step(batch(), Position(step=0))
    assert len(seen) == 4  # two of the revision, revised, real
    assert torch.equal(seen[0], warm.images["fake_B"])
    assert torch.equal(seen[3], real())
    seen.clear()
    images = model.step(batch(), Position(step=1)).images
    fake, real_B, again = (
        shown - clean for shown, clean in zip(seen, (images["fake_B"], real(), images["fake_B"]), strict=True)
    )
    for noise in (fake, real_B, again):  # 6144 values: the standard error of the deviation is 0.0045
        assert noise.mean().abs() < 0.03
        assert noise.std().item() == pytest.approx(0.5, abs=0.02)
    assert not torch.allclose(fake, again, atol=0.1)
