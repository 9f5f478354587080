"""The sampler and the losses of the cooperative warm-up, against closed forms."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from coopcut.losses.cooperative import likelihood_loss, teaching_loss
from coopcut.sampling.langevin import Langevin


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int = 0) -> Callable[[Sequence[int]], Tensor]:
    return partial(torch.randn, generator=generator(seed))


def test_noisy_sampler_reaches_mean_and_variance_of_a_gaussian() -> None:
    """f = -(x - m)^2 / (2 s^2): Langevin dynamics with eta = delta^2 / 2 has the stationary law N(m, s^2), nearly."""
    mean, std, delta = 0.7, 0.5, 0.2

    def f(x: Tensor) -> Tensor:
        return -((x - mean) ** 2) / (2 * std**2)

    start = torch.zeros(4, 1, 100, 100)
    out = Langevin(steps=300, step_size=delta**2 / 2, noise=delta, bounds=None).revise(f, start, randn=normal())
    step = delta**2 / (2 * std**2)  # x <- x - step * (x - m) + delta z: an AR(1) process with a known variance
    variance = delta**2 / (1 - (1 - step) ** 2)
    assert float(out.x.mean()) == pytest.approx(mean, abs=4 * std / 200)
    assert float(out.x.var()) == pytest.approx(variance, rel=0.03)
    assert variance == pytest.approx(std**2, rel=0.05)  # and the discretization is close to the Gaussian itself


def test_without_noise_it_is_gradient_ascent() -> None:
    weight = torch.randn(1, 1, 4, 4, generator=generator(1))
    start = torch.randn(2, 1, 4, 4, generator=generator(2)) * 0.1

    def f(x: Tensor) -> Tensor:
        return weight * x - 0.5 * x**2

    expected = start.clone()
    for _ in range(7):
        expected = expected + 0.3 * (weight - expected)
    out = Langevin(steps=7, step_size=0.3, bounds=None).revise(f, start)
    torch.testing.assert_close(out.x, expected)
    assert float(f(out.x).sum()) > float(f(start).sum())
    assert float(out.f_start) == pytest.approx(float(f(start).mean()), rel=1e-6)
    assert float(out.displacement) == pytest.approx(float((expected - start).abs().mean()), rel=1e-5)


def test_clip_and_bounds() -> None:
    start = torch.tensor([[[[0.95, -0.5]]]])
    slope = torch.tensor([[[[10.0, 0.001]]]])
    out = Langevin(steps=3, step_size=1.0, clip=0.02).revise(lambda x: slope * x, start)
    torch.testing.assert_close(
        out.x, torch.tensor([[[[1.0, -0.497]]]])
    )  # 0.95 + 3 * 0.02 held at 1; 3 * 0.001 unclipped
    assert float(out.saturated) == 0.5
    assert float(out.gradient) == pytest.approx(5.0005)


def test_parameters_and_their_gradients_are_untouched() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.InstanceNorm2d(4), nn.Conv2d(4, 1, 3))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    before = [p.clone() for p in net.parameters()]
    start = torch.rand(2, 3, 12, 12) * 2 - 1
    kept = start.clone()
    out = Langevin(steps=5, step_size=10.0, noise=0.01, clip=0.05).revise(net, start, randn=normal())
    assert not torch.equal(out.x, start)
    assert torch.equal(start, kept)
    assert not out.x.requires_grad
    for parameter, old in zip(net.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is not None
        assert bool((parameter.grad == 0.25).all())


def test_step_does_not_depend_on_the_batch() -> None:
    net = nn.Conv2d(1, 1, 3)
    x = torch.rand(3, 1, 8, 8, generator=generator())
    together = Langevin(steps=4, step_size=0.1).revise(net, x).x
    alone = torch.cat([Langevin(steps=4, step_size=0.1).revise(net, x[i : i + 1]).x for i in range(3)])
    torch.testing.assert_close(together, alone)


def test_same_generator_state_same_noise() -> None:
    x = torch.zeros(1, 1, 4, 4)
    a, b = (Langevin(steps=2, step_size=0.1, noise=0.1).revise(lambda x: x, x, randn=normal(5)).x for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, Langevin(steps=2, step_size=0.1, noise=0.1).revise(lambda x: x, x, randn=normal(6)).x)


def test_likelihood_gradient_on_a_linear_energy() -> None:
    """f(x) = <w, x>: the gradient by w is mean x_T - mean b + 2 alpha (mean x_T <w, x_T> + mean b <w, b>)."""
    w = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    revised = torch.randn(5, 3, dtype=torch.float64, generator=generator(1))
    real = torch.randn(4, 3, dtype=torch.float64, generator=generator(2))
    alpha = 0.3
    (gradient,) = torch.autograd.grad(likelihood_loss(revised @ w, real @ w, alpha), w)
    v = w.detach()
    penalty = (revised * (revised @ v)[:, None]).mean(0) + (real * (real @ v)[:, None]).mean(0)
    expected = revised.mean(0) - real.mean(0) + 2 * alpha * penalty
    torch.testing.assert_close(gradient, expected)


def test_teaching_gradient() -> None:
    x0 = torch.randn(2, 3, 4, 5, generator=generator(1), requires_grad=True)
    x_T = torch.randn(2, 3, 4, 5, generator=generator(2), requires_grad=True)
    weight = 7.0
    (weight * teaching_loss(x0, x_T)).backward()
    assert x0.grad is not None
    torch.testing.assert_close(x0.grad, -2 * (x_T - x0).detach() * weight / x0.numel())
    assert x_T.grad is None


def linear(slope: torch.Tensor, factor: torch.Tensor | float, x: torch.Tensor) -> torch.Tensor:
    return factor * (x * slope).sum((1, 2, 3))


def test_rescaled_steps_are_as_long_for_a_flat_score_as_for_a_steep_one() -> None:
    x0 = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    slope = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1))
    for steepness in (1e-9, 1.0, 1e6):
        moved = Langevin(steps=5, displacement=0.1).revise(partial(linear, slope, steepness), x0).x - x0
        torch.testing.assert_close(moved, (0.1 * slope / slope.abs().mean()).expand_as(moved), rtol=1e-3, atol=1e-5)
    # each image by itself: one with a steep score does not take the steps of the other
    scale = torch.tensor([1.0, 100.0])
    moved = Langevin(steps=5, displacement=0.1).revise(partial(linear, slope, scale), x0).x - x0
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-3, atol=1e-5)
    assert (Langevin(steps=5, displacement=0.1).revise(lambda x: 0 * x.sum((1, 2, 3)), x0).x == x0).all()


def test_a_revision_stops_at_the_ceiling_of_its_image() -> None:
    """The score is the sum of an image; a step adds 0.1 to each of its 12 values, so 1.2 to the score."""
    x0 = torch.zeros(3, 3, 2, 2)
    ceiling = torch.tensor([-1.0, 2.0, 100.0])

    def score(x: torch.Tensor) -> torch.Tensor:
        return x.sum((1, 2, 3))

    found = Langevin(steps=5, step_size=0.1, bounds=None).revise(score, x0, ceiling=ceiling)
    torch.testing.assert_close(score(found.x), torch.tensor([0.0, 2.4, 6.0]))
    assert float(found.displacement) == pytest.approx((0 + 0.2 + 0.5) / 3)
    noisy = Langevin(steps=5, step_size=0.1, noise=1.0).revise(score, x0, ceiling=ceiling - 200, randn=normal(1)).x
    assert torch.equal(noisy, x0)  # what rests is not moved by noise either
    patches = (
        Langevin(steps=5, step_size=0.3, bounds=None)
        .revise(lambda x: x.mean(1, keepdim=True), x0, ceiling=ceiling / 10)
        .x
    )
    torch.testing.assert_close(patches[:, 0, 0, 0], torch.tensor([0.0, 0.2, 0.5]))  # the mean over the patches counts


def test_an_adaptive_revision_goes_just_as_far_as_the_slope_needs() -> None:
    """A score of slope s at each of 12 values: to rise by r a value moves by r / (12 s), at most by `displacement`."""
    x0 = torch.zeros(4, 3, 2, 2)
    steepness = torch.tensor([1.0, 0.01, 1.0, 1.0])
    ceiling = torch.tensor([0.6, 0.6, -1.0, 120.0])

    def score(x: Tensor) -> Tensor:
        return steepness * x.sum((1, 2, 3))

    sampler = Langevin(steps=5, displacement=0.1, bounds=None, adaptive=True)
    moved = sampler.revise(score, x0, ceiling=ceiling).x[:, 0, 0, 0]
    torch.testing.assert_close(moved, torch.tensor([0.05, 0.1, 0.0, 0.1]))
    patches = sampler.revise(lambda x: score(x)[:, None].expand(-1, 7), x0, ceiling=ceiling).x[:, 0, 0, 0]
    torch.testing.assert_close(patches, moved)  # the number of patches does not change the way


def test_a_step_that_lowers_the_score_is_taken_back_and_halved() -> None:
    """f = -(x - 1)^2 from 0: steps of 3 to 4 times the gradient overshoot, half and quarter steps do not."""

    def score(x: Tensor) -> Tensor:
        return -((x - 1) ** 2).sum((1, 2, 3))

    x0 = torch.zeros(2, 1, 1, 1)
    plain, careful = (Langevin(3, step_size=1.6, bounds=None, backtrack=b).revise(score, x0).x for b in (False, True))
    assert (score(plain) < score(x0)).all()
    # 3.2 is worse than 0, then half a step to 1.6, then half of the gradient there, -1.2 * 1.6 / 2, to 0.64
    torch.testing.assert_close(careful, torch.full_like(x0, 0.64))
    assert (score(careful) > score(x0)).all()


def test_backtracking_never_ends_below_the_start() -> None:
    """Near the top of f = -|x - 0.3|^2 long steps end below the start, and with backtracking above it."""

    def score(x: Tensor) -> Tensor:
        return -((x - 0.3) ** 2).mean((1, 2, 3))

    x0 = 0.3 + 0.01 * torch.randn(8, 3, 8, 8, generator=generator())
    for far in (0.1, 1.0, 2.0):
        free, careful = (Langevin(5, displacement=far, backtrack=b).revise(score, x0).x for b in (False, True))
        assert (score(free) < score(x0)).all()
        assert (score(careful) >= score(x0)).all()
