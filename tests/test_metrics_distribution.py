"""FID, KID, precision, recall, density and coverage against closed forms and their libraries."""

import math
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coopcut.metrics import distribution
from coopcut.metrics.distribution import (
    FIGURES,
    figures,
    frechet_distance,
    kernel_distance,
    manifold_figures,
    neighbors,
)
from coopcut.util.errors import OptionError

for _package in ("torchmetrics", "prdc", "scipy"):
    pytest.importorskip(_package, reason=f"the package {_package} is not installed")

Array = NDArray[np.float64]


def with_moments(n: int, mean: Array, factor: Array, seed: int = 0) -> Array:
    """n vectors whose sample mean is `mean` and whose sample covariance is `factor` @ `factor`.T, exactly."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(x.T)), x.T).T
    return white @ factor.T + mean


def gaussian(n: int, seed: int, d: int = 6, shift: float = 0.0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def test_fid_of_two_gaussians_with_known_moments() -> None:
    """Diagonal: |m1 - m2|^2 + sum (s1 - s2)^2."""
    m1, m2 = np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, 0.5])
    s1, s2 = np.array([1.0, 2.0, 0.5]), np.array([2.0, 0.3, 0.5])
    found = frechet_distance(with_moments(40, m1, np.diag(s1)), with_moments(60, m2, np.diag(s2), 1))
    assert found == pytest.approx(((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum(), rel=1e-9)


def test_fid_of_covariances_that_do_not_commute() -> None:
    """Tr((S1 S2)^(1/2)) by scipy."""
    from scipy.linalg import sqrtm

    a, b = gaussian(50, 2), gaussian(50, 3) @ gaussian(6, 4)
    s1, s2 = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2)))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


def test_fid_with_fewer_vectors_than_dimensions() -> None:
    """The turn into the smaller space changes nothing; here against all 40 dimensions."""
    from scipy.linalg import sqrtm

    a, b = gaussian(8, 5, d=40), gaussian(9, 6, d=40, shift=0.5)
    root = sqrtm(np.cov(a.T) @ np.cov(b.T) + 1e-14 * np.eye(40))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * np.real(np.trace(root))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_kid_is_the_unbiased_estimate_written_out() -> None:
    x, y = gaussian(7, 0), gaussian(7, 1, shift=0.3)

    def k(a: Array, b: Array) -> float:
        return float((a @ b / x.shape[1] + 1) ** 3)

    n = len(x)
    within = sum(k(side[i], side[j]) for side in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    between = sum(k(a, b) for a in x for b in y) / n**2
    assert kernel_distance(x, y) == pytest.approx(within - 2 * between, rel=1e-9)


def test_kid_is_unbiased() -> None:
    """Of the same distribution the mean over many draws is 0, within 3 standard errors; of a shifted one it is not."""
    same = np.array([kernel_distance(gaussian(20, 2 * s, 4), gaussian(20, 2 * s + 1, 4)) for s in range(150)])
    assert abs(same.mean()) < 3 * same.std() / math.sqrt(len(same))
    assert (same < 0).any()
    moved = np.array([kernel_distance(gaussian(20, 2 * s, 4), gaussian(20, 2 * s + 1, 4, 1.0)) for s in range(20)])
    assert moved.mean() > 5 * moved.std() / math.sqrt(len(moved))


def test_kid_draws_its_subsets_from_the_seed_alone() -> None:
    x, y = gaussian(30, 0), gaussian(25, 1)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = kernel_distance(x, y, seed=3, subset_size=10, subsets=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert kernel_distance(x, y, seed=3, subset_size=10, subsets=5) == first
    assert kernel_distance(x, y, seed=4, subset_size=10, subsets=5) != first


def test_kid_caps_the_subset_by_the_counts() -> None:
    x, y = gaussian(6, 0), gaussian(9, 1)
    assert kernel_distance(x, y, subset_size=1000) == kernel_distance(x, y, subset_size=6)


def test_precision_to_coverage_are_those_of_prdc(capsys: pytest.CaptureFixture[str]) -> None:
    from prdc import compute_prdc

    a, b = gaussian(30, 0), gaussian(20, 1, shift=0.7)
    expected = compute_prdc(a, b, nearest_k=5)
    capsys.readouterr()
    assert manifold_figures(a, b) == pytest.approx(expected)
    assert capsys.readouterr().out == ""


def test_precision_to_coverage_by_hand() -> None:
    """On a line, k = 1: real 0 1 2 10 with balls 1 1 1 8; fake 0.5 30 40 in the balls of 0, 1, (2 is 1.5 away)."""
    real, fake = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array([[0.5], [30.0], [45.0]])
    found = manifold_figures(real, fake, nearest=1)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["density"] == pytest.approx(2 / 3)  # 0.5 lies in the balls of 0 and 1; from 10 it is 9.5 away
    assert found["coverage"] == pytest.approx(2 / 4)
    assert found["recall"] == 1  # balls of the fake ones: 29.5, 15, 15


def test_a_set_against_itself() -> None:
    x = gaussian(25, 0)
    found = figures(x, x.copy())
    assert found["FID"] == pytest.approx(0, abs=1e-8)
    assert found["KID"] < 0  # the same vectors meet in the cross term
    assert [found[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert found["density"] == pytest.approx(1, abs=0.2)


def test_growing_distance() -> None:
    x = gaussian(60, 0)
    rows = [figures(x, gaussian(60, 1, shift=shift)) for shift in (0, 0.5, 1, 2)]
    for name in ("FID", "KID"):
        assert [row[name] for row in rows] == sorted(row[name] for row in rows)
    for name in ("precision", "recall", "density", "coverage"):
        assert [row[name] for row in rows] == sorted((row[name] for row in rows), reverse=True)


def test_few_vectors() -> None:
    x = gaussian(2, 0)
    found = figures(x, gaussian(3, 1))
    assert math.isfinite(found["FID"])
    assert math.isfinite(found["KID"])
    assert all(math.isnan(found[name]) for name in FIGURES[2:])
    assert [neighbors(n, 50) for n in (2, 3, 6, 7, 50)] == [0, 1, 4, 5, 5]
    with pytest.raises(ValueError, match="1 real and 2 fake"):
        figures(x[:1], x)


def test_bad_arrays() -> None:
    x = gaussian(5, 0)
    with pytest.raises(ValueError, match="shapes"):
        figures(x, x[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        figures(x, np.where(x > 0, np.nan, x))


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prdc", None)
    with pytest.raises(OptionError, match=r"prdc, which is not installed: pip install -e '\.\[metrics\]'"):
        distribution.manifold_figures(gaussian(9, 0), gaussian(9, 1))
