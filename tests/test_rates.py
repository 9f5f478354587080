"""Continued with other --lr, --beta1 or --beta2: what came from a flag follows it, a method keeps what it chose."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from coopcut.engine.optimizers import Optimizers
from coopcut.engine.precision import Network
from coopcut.models import MODELS, Method
from coopcut.models.cut import CUT
from coopcut.options.option import Options
from tests.tools import check_refusal, train_options
from tests.tools import run as run_script
from tests.training import run, same

POLICIES = ("linear", "step", "plateau", "cosine")


def own_rates(opt: Options, name: str) -> dict[str, Any]:
    """Those of a method that chose D's rate and betas, and E's rate and first beta: 0.5 as --beta1 is."""
    chosen = {"D": {"lr": 4e-4, "betas": (0.0, 0.9)}, "E": {"lr": 3 * opt.lr, "betas": (0.5, opt.beta2)}}
    return chosen.get(name, {"lr": opt.lr, "betas": (opt.beta1, opt.beta2)})


class Networks(Method):
    """Networks without a step."""

    def __init__(self, opt: Options) -> None:
        self.opt = opt
        self.networks = {name: Network(nn.Linear(1, 1), torch.device("cpu")) for name in "GDE"}

    def step(self, batch: Any, ctx: Any) -> Any:
        raise NotImplementedError

    def adam(self, name: str) -> dict[str, Any]:
        return own_rates(self.opt, name)


class Rates(Optimizers):
    """Those of G, D and E."""

    def __init__(self, *flags: str) -> None:
        opt = train_options(["--lr_decay_iters", "2", "--n_epochs", "4", "--n_epochs_decay", "2", *flags])
        super().__init__(Networks(opt), opt, None)

    def epochs(self, number: int) -> "Rates":
        for _ in range(number):
            self.end_epoch(1.0)
        return self

    def resumed(self, *flags: str) -> "Rates":
        """What goes on with other flags from what these saved."""
        given = [f"--{name}={vars(self.opt)[name]}" for name in ("lr", "beta1", "beta2", "lr_policy", "n_epochs")]
        other = Rates(*given, *flags)
        other.load_state_dict(self.state_dict(), vars(self.opt))
        return other

    @property
    def groups(self) -> dict[str, dict[str, Any]]:
        return {name: optimizer.param_groups[0] for name, optimizer in self.optimizers.items()}

    @property
    def rates(self) -> dict[str, float]:
        return {name: group["lr"] for name, group in self.groups.items()}

    @property
    def betas(self) -> dict[str, tuple[float, float]]:
        return {name: group["betas"] for name, group in self.groups.items()}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("epochs", [0, 3, 4, 7])
def test_the_same_flags_change_nothing(policy: str, epochs: int) -> None:
    model = Rates("--lr_policy", policy).epochs(epochs)
    again = model.resumed().resumed("--lr", "0.0002", "--beta1", "0.5", "--n_epochs", "4")
    for _ in range(3):
        same(model.state_dict(), again.state_dict())
        again.epochs(1)
        model.epochs(1)
    assert again.betas == {"G": (0.5, 0.999), "D": (0.0, 0.9), "E": (0.5, 0.999)}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("epochs", [0, 3, 7])
def test_another_lr_scales_every_rate(policy: str, epochs: int) -> None:
    model = Rates("--lr_policy", policy).epochs(epochs)
    half = model.resumed("--lr", "0.0001")
    again = half.resumed("--lr", "0.0008").resumed("--lr", "0.0002")
    for _ in range(9):
        assert half.rates == {name: rate / 2 for name, rate in model.rates.items()}
        assert half.betas == model.betas
        assert again.rates == pytest.approx(model.rates, rel=1e-15, abs=0)
        for each in (model, half, again):
            each.epochs(1)
    assert model.rates["G"] < 2e-4 or policy == "cosine"


def test_what_lr_gave_is_lr_to_the_last_bit() -> None:
    model = Rates("--lr", "0.0003").resumed("--lr", "0.0007")
    assert model.rates["G"] == 0.0007
    assert model.schedulers["G"].base_lrs == [0.0007]


def test_other_betas_change_what_came_from_them() -> None:
    model = Rates().epochs(1).resumed("--beta1", "0.4")
    assert model.betas == {"G": (0.4, 0.999), "D": (0.0, 0.9), "E": (0.5, 0.999)}
    model = model.resumed("--beta2", "0.99", "--beta1", "0")
    assert model.betas == {"G": (0.0, 0.99), "D": (0.0, 0.9), "E": (0.5, 0.99)}
    model = model.resumed("--beta1", "0.5")
    assert model.betas == {"G": (0.5, 0.99), "D": (0.0, 0.9), "E": (0.5, 0.99)}
    assert model.rates == {"G": 2e-4, "D": 4e-4, "E": 3 * 2e-4}


@pytest.mark.parametrize("policy", ["linear", "cosine"])
@pytest.mark.parametrize("epochs", [0, 1, 4, 7])
def test_a_longer_schedule_goes_on_where_it_would_stand(policy: str, epochs: int) -> None:
    """Also from its end, where the rate is 0."""
    longer = ["--n_epochs", "9", "--lr", "0.0004"]
    found = Rates("--lr_policy", policy).epochs(epochs).resumed(*longer)
    expected = Rates("--lr_policy", policy, *longer).epochs(epochs)
    for _ in range(3):
        for name in ("G", "E"):
            assert found.rates[name] == pytest.approx(expected.rates[name], rel=1e-12, abs=0)
        assert found.rates["D"] == pytest.approx(2 * expected.rates["D"], rel=1e-12, abs=0)  # chosen: not from --lr
        found.epochs(1)
        expected.epochs(1)


def test_a_course_that_the_method_chose_keeps_its_length() -> None:
    model = Rates("--lr_policy", "cosine")
    for schedule in model.schedulers.values():
        schedule.T_max = 7  # type: ignore[attr-defined]
    model.epochs(2)
    longer = model.resumed("--n_epochs", "9")
    assert {schedule.T_max for schedule in longer.schedulers.values()} == {7}  # type: ignore[attr-defined]
    assert longer.rates == model.rates
    assert longer.rates["G"] == pytest.approx(1e-4 * (1 + math.cos(2 * math.pi / 7)))


class TTUR(CUT):
    """CUT with a D that has its own rates, and an F whose rate follows --lr."""

    def adam(self, name: str) -> dict[str, Any]:
        return own_rates(self.opt, {"F": "E"}.get(name, name))


def test_a_method_with_its_own_rates_goes_on_exactly(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS._entries, "ttur", TTUR)
    whole = run(images, "whole", "--model", "ttur", "--max_iters", "3")
    run(images, "parts", "--model", "ttur", "--max_iters", "2")
    parts = run(images, "parts", "--continue_train", "--lr", "0.0002", "--beta1", "0.5", "--max_iters", "3")
    same(whole["model"], parts["model"])
    more = run(images, "parts", "--continue_train", "--lr", "0.0001", "--beta1", "0.4", "--max_iters", "4")
    found = {n: state["param_groups"][0] for n, state in more["model"]["optimizers"].items()}
    assert {n: (group["lr"], group["betas"]) for n, group in found.items()} == {
        "G": (1e-4, (0.4, 0.999)),
        "D": (2e-4, (0.0, 0.9)),
        "F": (3 * 2e-4 / 2, (0.5, 0.999)),
    }


@pytest.mark.parametrize("policy", ["linear", "cosine"])
def test_a_state_of_the_first_format_continues(images: Path, policy: str) -> None:
    """It kept nothing of a schedule's functions, not even their places."""
    flags = ["--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "3", "--lr_policy", policy]
    whole = run(images, "whole", *flags, "--max_iters", "8")
    state = run(images, "first", *flags, "--max_iters", "6")
    for schedule in state["model"]["schedulers"].values():
        assert schedule.pop("lr_lambdas", None) == ([None] if policy == "linear" else None)
    del state["best"]
    objectives = state["model"].pop("objectives")
    state["model"] |= {"ema": None, "pool": objectives["adversarial"]["pool"]}
    for optimizer in state["model"]["optimizers"].values():
        optimizer["param_groups"][0]["fused"] = True
    state["format"] = 1
    torch.save(state, images.parent / "checkpoints/first/latest_state.pth")
    same(whole["model"], run(images, "first", "--continue_train", "--max_iters", "8")["model"])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda state: state.pop("options"), "KeyError: 'options'"),
        (lambda state: state["options"].pop("beta1"), "KeyError: 'beta1'"),
        (lambda state: state["options"].update(lr=0.0), "ZeroDivisionError"),
        (lambda state: state["model"]["schedulers"].pop("G"), "KeyError: 'G'"),
        (lambda state: state["model"]["optimizers"]["G"].update(param_groups=[]), "ValueError"),
        (lambda state: state.update(format=3), "has format 3, but this version reads formats 1 to 2"),
    ],
)
def test_a_state_that_lacks_something_is_one_line(a_run: Path, damage: Any, says: str) -> None:
    state = torch.load(a_run / "latest_state.pth", weights_only=True)
    damage(state)
    torch.save(state, a_run / "latest_state.pth")
    outcome = run_script("train", "--name", "tiny", "--continue_train", "--gpu_ids", -1, "--max_iters", 4)
    check_refusal(outcome, ("latest_state.pth", says))
