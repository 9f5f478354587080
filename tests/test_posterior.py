"""The noise of an image: closed forms for linear generators."""

import torch
from torch import Tensor

from coopcut.sampling.posterior import Posterior

SIGMA = 0.5


def linear(seed: int = 0) -> Tensor:
    """W [12, 3]: G(z) = W z as images of 3 x 2 x 2."""
    return torch.randn(12, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(W: Tensor, z: Tensor) -> Tensor:
    return (z @ W.T).view(-1, 3, 2, 2)


def test_it_finds_the_most_likely_noise_of_a_linear_generator() -> None:
    """The posterior is normal: its mean (W'W / s^2 + 1)^-1 W'x / s^2 is where it is largest."""
    W, rng = linear(), torch.Generator().manual_seed(1)
    x = images(W, torch.randn(4, 3, generator=rng, dtype=torch.float64)) + 0.1
    posterior = Posterior(SIGMA, steps=400, delta=0.2, noise=0.0)
    found = posterior.infer(lambda z: images(W, z), x, torch.zeros(4, 3, dtype=torch.float64))
    precision = W.T @ W / SIGMA**2 + torch.eye(3)
    expected = torch.linalg.solve(precision, (x.flatten(1) @ W / SIGMA**2).T).T
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_hidden_pixels_do_not_count() -> None:
    W, rng = linear(), torch.Generator().manual_seed(1)
    x = images(W, torch.randn(4, 3, generator=rng, dtype=torch.float64))
    known = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64).view(1, 1, 2, 2)
    posterior = Posterior(SIGMA, steps=500, delta=0.2, noise=0.0)
    start = torch.zeros(4, 3, dtype=torch.float64)
    found = posterior.infer(lambda z: images(W, z), torch.where(known == 1, x, 7.0), start, known)
    rows = known.expand(1, 3, 2, 2).flatten().bool()
    V = W[rows]
    expected = torch.linalg.solve(V.T @ V / SIGMA**2 + torch.eye(3), (x.flatten(1)[:, rows] @ V / SIGMA**2).T).T
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_langevin_dynamics_samples_the_posterior() -> None:
    """Mean and variance of many chains: G(z) = z, x = 0: the posterior is normal with variance s^2 / (1 + s^2)."""
    torch.manual_seed(0)
    posterior = Posterior(SIGMA, steps=300, delta=0.2, noise=0.2)
    x = torch.full((4000, 1, 1, 1), 0.6)
    found = posterior.infer(lambda z: z.view(-1, 1, 1, 1), x, torch.zeros(4000, 1))
    variance = SIGMA**2 / (1 + SIGMA**2)
    assert abs(float(found.mean()) - 0.6 * variance / SIGMA**2) < 0.02
    in_steps = variance / (1 - 0.2**2 / 2 / variance / 2)  # of the chain, whose steps are not infinitely small
    assert abs(float(found.var()) / in_steps - 1) < 0.05


def test_the_log_density_is_that_of_the_model() -> None:
    z, x, made = torch.tensor([[2.0]]), torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.5, 1.0]]]])
    assert float(Posterior(SIGMA).log_density(z, made, x)) == -(0.25 + 1.0) / (2 * 0.25) - 2.0
    known = torch.tensor([[[[1.0, 0.0]]]])
    assert float(Posterior(SIGMA).log_density(z, made, x, known)) == -0.25 / 0.5 - 2.0
