"""The 2-D mixture benchmark: its metrics, that the comparison is a fair one, and that runs are made once."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import mixture
from benchmarks.mixture_report import compare
from benchmarks.mixture_settings import Settings
from benchmarks.mixture_train import Run, train
from coopcut.data.mixtures import grid, ring
from coopcut.sampling.langevin import Langevin, Revision
from coopcut.util.errors import DataError, OptionError
from tests.steps import batch_of, step_and_gradients

pytestmark = pytest.mark.slow
TINY = ["--steps", "6", "--coop_steps", "2", "--langevin_steps", "3", "--width", "4", "--batch_size", "8"]


def tiny(**changes: Any) -> Settings:
    size = {"steps": 6, "coop_steps": 2, "langevin_steps": 3, "width": 4, "batch_size": 8, "measure_freq": 2}
    return Settings(**(size | changes))


def weights(run: Run) -> list[Tensor]:
    return [p for net in run.trainer.networks.values() for p in net.parameters()]


@pytest.mark.parametrize(("make", "modes"), [(ring, 8), (grid, 25)])
def test_metrics_of_the_mixture_itself(make: Any, modes: int) -> None:
    target = make()
    figures = target.measure(target.sample(20000, torch.Generator().manual_seed(0)))
    assert figures["modes"] == modes
    assert figures["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.003)  # |z|^2 / 2 is exponential
    assert figures["reverse_kl"] == pytest.approx((modes - 1) / (2 * 20000), abs=0.002)  # of finitely many samples


def test_metrics_of_one_mode_and_of_none() -> None:
    target = ring()
    one = target.measure(target.means[3] + torch.tensor([[0.029, 0.0], [0.0, -0.029], [0.031, 0.0], [0.0, 0.0]]))
    assert one == {"modes": 1, "high_quality": 0.75, "reverse_kl": pytest.approx(math.log(8))}
    assert target.measure(torch.zeros(5, 2)) == {"modes": 0, "high_quality": 0, "reverse_kl": math.log(8)}


def test_reverse_kl_is_that_of_the_shares() -> None:
    target = grid()
    figures = target.measure(target.means[[0, 0, 0, 24]])
    assert figures["modes"] == 2
    assert figures["reverse_kl"] == pytest.approx(0.75 * math.log(0.75 * 25) + 0.25 * math.log(0.25 * 25))


@pytest.mark.parametrize("gan_mode", mixture.MODES)
def test_arms_differ_in_nothing_but_the_warm_up(gan_mode: str) -> None:
    """The same weights at the start, and after the switch the same data: without a warm-up the arms are one."""
    gan, coopinit = (Run(tiny(gan_mode=gan_mode, arm=arm)) for arm in mixture.ARMS)
    assert all(torch.equal(a, b) for a, b in zip(weights(gan), weights(coopinit), strict=True))
    for number in range(2):
        gan.step(number), coopinit.step(number)
    assert not torch.equal(weights(gan)[0], weights(coopinit)[0])
    assert torch.equal(gan.rng.get_state(), coopinit.rng.get_state())
    without = Run(tiny(gan_mode=gan_mode, arm="coopinit", coop_steps=0))
    again = Run(tiny(gan_mode=gan_mode, arm="gan"))
    for number in range(3):
        without.step(number), again.step(number)
    assert all(torch.equal(a, b) for a, b in zip(weights(without), weights(again), strict=True))


def test_budget_is_that_of_the_passes_made() -> None:
    """Counted in batches by a hook on the networks, and the same in both arms at equal cost."""
    gan, coopinit = (Settings(arm=arm, steps=100, coop_steps=8, langevin_steps=15) for arm in mixture.ARMS)
    assert gan.passes(gan.steps) == 400
    assert coopinit.steps_of_equal_cost() == 72
    assert coopinit.passes(72) == 400
    assert Settings(arm="coopinit", steps=100, coop_steps=50, langevin_steps=15).steps_of_equal_cost() == 400 // 18
    for arm in mixture.ARMS:
        settings, passes = tiny(arm=arm), 0

        def count(module: object, given: tuple[Tensor]) -> None:
            nonlocal passes
            passes += len(given[0]) // 8  # the batch

        run = Run(settings)
        for net in run.trainer.networks.values():
            net.register_forward_pre_hook(count)
        for number in range(settings.steps):
            run.step(number)
            assert passes == settings.passes(number + 1)


def test_cooperative_step_is_that_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler is `Langevin.revise`, with f = D - offset; the gradients are those derived by hand."""
    calls: list[tuple[Tensor, Tensor, Langevin, Tensor]] = []

    def spy(self: Langevin, f: Any, x0: Tensor, *arguments: Any) -> Revision:
        revision = revise(self, f, x0, *arguments)
        calls.append((x0.detach().clone(), f(x0).detach(), self, revision.x))
        return revision

    revise = Langevin.revise
    monkeypatch.setattr(Langevin, "revise", spy)
    run = Run(tiny(arm="coopinit", gan_mode="lsgan", langevin_step_size=0.5, lambda_coop=3.0, lambda_energy=1.0))
    noise, real = torch.randn(8, 2), torch.randn(8, 2)
    D, fake = copy.deepcopy(run.trainer.networks["D"]), run.G(noise).detach()
    _, gradients = step_and_gradients(run.trainer, batch_of(noise, real))
    ((x0, f, langevin, x_T),) = calls
    assert (langevin.steps, langevin.step_size, langevin.bounds) == (3, 0.5, None)
    assert torch.equal(x0, fake)
    assert torch.equal(f, D(x0) - 0.5)
    slope_G = -2 * 3.0 * (x_T - x0).sum(0) / x0.numel()  # of lambda * mean (x0 - x_T)^2, in the bias of G's last layer
    assert torch.allclose(gradients["G"][-2:], slope_G, atol=1e-7)
    slope_D = (1 + 2 * (D(x_T) - 0.5)).mean() + (-1 + 2 * (D(real) - 0.5)).mean()  # likelihood, alpha 1, bias of D's
    assert torch.allclose(gradients["D"][-1:], slope_D, atol=1e-6)


def test_runs_repeat_and_seeds_differ() -> None:
    first, second, other = (train(tiny(arm="coopinit", langevin_noise=0.1, seed=seed)) for seed in (3, 3, 4))
    assert first["samples"] == second["samples"] != other["samples"]
    assert [point["step"] for point in first["curve"]] == [0, 2, 4, 5, 6]  # 5: two warm-up steps of 6 passes, 3 of 4


def test_existing_runs_are_kept_and_others_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*TINY, "--out", str(tmp_path), "--data", "ring", "--seeds", "2"]
    assert mixture.main(flags) == 0
    runs = sorted(tmp_path.glob("*.json"))
    assert len(runs) == 2 * 2 * 2
    text = (tmp_path / "mixture.md").read_text(encoding="utf-8")
    assert "**ring, lsgan**: 2 seeds, 6 steps" in text
    assert (tmp_path / "mixture.png").stat().st_size > 1000
    before = {path: path.stat().st_mtime_ns for path in runs}
    runs[0].unlink()
    capsys.readouterr()
    assert mixture.main(flags) == 0
    assert capsys.readouterr().out.count(" modes, high quality ") == 1
    assert all(path.stat().st_mtime_ns == before[path] for path in runs[1:])
    with pytest.raises(DataError, match=r"made with another --steps: choose another --out"):
        mixture.main([*flags, "--steps", "7"])
    runs[0].write_text(json.dumps({"settings": {}}), encoding="utf-8")
    with pytest.raises(DataError, match="not a run of this benchmark"):
        mixture.main(flags)


@pytest.mark.parametrize(
    "flags", [["--seeds", "0"], ["--coop_steps", "9000"], ["--lr", "nan"], ["--gan_mode", "wgangp"]]
)
def test_bad_flags_are_named(flags: list[str]) -> None:
    with pytest.raises(OptionError, match=flags[0]):
        mixture.parse(flags)


def test_paired_tests() -> None:
    gan = [float(seed) for seed in range(10)]
    assert compare(gan, gan) == 1
    assert math.isnan(compare([1.0], [2.0]))
    assert compare(gan, [2 * value + 1 for value in gan]) == pytest.approx(2 / 2**10)  # all differences of one sign
