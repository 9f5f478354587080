"""The advice of a cooperative start: what is amiss in its logged losses, and which option to change."""

from typing import Any

import pytest

from coopcut.engine.position import Position
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.models import create_method
from tests.steps import cooperative
from tests.tools import train_options

HEALTHY = {"D": -0.1, "f_revised": 0.1, "f_fake": 0.0, "displacement": 0.05, "gap": 0.1}
HEALTHY |= {"saturated": 0.0, "saturated_fake": 0.0, "saturated_real": 0.0}


PLAIN = "--langevin_adaptive False"


def test_energies_without_a_scale_are_not_judged() -> None:
    """CoopNets' are not penalized: only the sampler is."""
    published = cooperative(PLAIN, "--lambda_energy 0")
    assert published.advice({**HEALTHY, "gap": 5000.0, "D": 700.0}, Position(step=500)) == []
    assert len(published.advice({**HEALTHY, "displacement": 0.5}, Position(step=500))) == 1


def test_points_do_not_saturate() -> None:
    opt = train_options("--model gan --dataroot ring:8 --coop_iters 9 --gpu_ids -1".split())
    method: Any = create_method(opt, Runtime.from_options(opt, Peers()))
    losses = HEALTHY | {"saturated_fake": 0.9, "saturated": 0.9}
    assert method.adversarial.advice(losses, Position(step=500)) == []


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
    advice = cooperative(PLAIN).advice({**HEALTHY, **change}, Position(step=500))
    assert len(advice) == (word is not None)
    assert word is None or word in advice[0]
    if word and "displacement" in word:
        (advised,) = cooperative("--langevin_step_size 1").advice({**HEALTHY, **change}, Position(step=500))
        assert "--langevin_step_size" in advised


def advised(change: dict[str, float], *flags: str, step: int = 500) -> list[str]:
    return cooperative(PLAIN, *flags).advice({**HEALTHY, **change}, Position(step=step))


def test_advice_on_flat_energies() -> None:
    (flat,) = advised({"gap": 0.0, "f_revised": 0.0001}, "--langevin_stop")
    assert "or start with --init_type kaiming" in flat
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


def test_an_adaptive_revision_that_need_not_move_is_healthy() -> None:
    for change in ({"displacement": 0.0001}, {"displacement": 0.0, "gap": 0.0, "f_revised": 0.0}):
        assert cooperative().advice({**HEALTHY, **change}, Position(step=500)) == []
    (flat,) = cooperative().advice({**HEALTHY, "gap": 0.0, "f_revised": 0.0001}, Position(step=500))
    assert "or start with --init_type kaiming" in flat
