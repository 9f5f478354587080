"""Mixtures of Gaussians: how many modes samples cover, and how evenly."""

import math
from typing import Any

import pytest
import torch

from coopcut.data.mixtures import grid, ring


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
