"""Adversarial and contrastive losses against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from coopcut.losses.cooperative import likelihood_loss
from coopcut.losses.gan import GAN_LOSSES, gradient_penalty, lecam, squared_slope
from coopcut.losses.patchnce import patch_nce

SCORES = torch.tensor([[[[-0.5, 2.0]]]])


def log1pexp(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("mode", "real", "fake", "generator"),
    [
        ("lsgan", (2.25 + 1) / 2, (0.25 + 4) / 2, (2.25 + 1) / 2),
        ("vanilla", (log1pexp(0.5) + log1pexp(-2)) / 2, (log1pexp(-0.5) + log1pexp(2)) / 2, None),
        ("nonsaturating", (log1pexp(0.5) + log1pexp(-2)) / 2, (log1pexp(-0.5) + log1pexp(2)) / 2, None),
        ("hinge", 1.5 / 2, (0.5 + 3) / 2, -0.75),
        ("wgangp", -0.75, 0.75, -0.75),
    ],
)
def test_gan_losses(mode: str, real: float, fake: float, generator: float | None) -> None:
    loss = GAN_LOSSES[mode]
    assert float(loss.real(SCORES)) == pytest.approx(real, rel=1e-6)
    assert float(loss.fake(SCORES)) == pytest.approx(fake, rel=1e-6)
    assert float(loss.generator(SCORES)) == pytest.approx(real if generator is None else generator, rel=1e-6)


@pytest.mark.parametrize("mode", GAN_LOSSES)
def test_energies_of_zero_are_midway(mode: str) -> None:
    """At the offset a patch is as much real as fake: both losses are equal there, and push apart with equal force."""
    loss = GAN_LOSSES[mode]
    real, fake = (torch.full((1, 1, 1, 1), loss.offset, requires_grad=True) for _ in "rf")
    of_real, of_fake = loss.discriminator(real, fake)
    assert of_real.item() == pytest.approx(of_fake.item())
    up, down = torch.autograd.grad(of_real + of_fake, (real, fake))
    assert float(up) == pytest.approx(-float(down))
    assert float(up) < 0


def test_relativistic_pairs_each_patch_or_the_means_of_images() -> None:
    loss = GAN_LOSSES["relativistic"]
    real, fake = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    expected = (log1pexp(-1) + log1pexp(-2)) / 2
    assert [float(x) for x in loss.discriminator(real, fake)] == pytest.approx([expected, expected])
    assert float(loss.discriminator(real, fake[..., :1])[0]) == pytest.approx(log1pexp(-2))  # 2 - 0


@pytest.mark.parametrize("mode", ["lsgan", "nonsaturating", "hinge"])
def test_label_smoothing_moves_the_target_of_real_images(mode: str) -> None:
    """The score at which the loss of real images is least: lsgan 1 - s, nonsaturating log((1 - s) / s)."""
    loss = GAN_LOSSES[mode].smoothed(0.1)
    best = {"lsgan": 0.9, "nonsaturating": math.log(9), "hinge": 1.0}[mode]
    least, low, high = (float(loss.real(torch.tensor(best + move))) for move in (0.0, -0.01, 0.01))
    assert least < min(low, high)
    assert torch.equal(loss.fake(SCORES), GAN_LOSSES[mode].fake(SCORES))


def test_squared_slope_of_a_linear_critic() -> None:
    """The mean of n patches of <w, x> has the gradient w; R1's own gradient by w is gamma w."""
    w = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    found = squared_slope(lambda x: (w * x).sum((1, 2, 3))[:, None, None, None].expand(-1, 1, 2, 2), x)
    assert float(found.detach()) == pytest.approx(float(w.detach().square().sum()))
    torch.testing.assert_close(torch.autograd.grad(found, w)[0], 2 * w.detach())


def test_lecam_by_hand() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    found = lecam(real, fake, torch.tensor(2.0), torch.tensor(-1.0))
    assert float(found) == pytest.approx((4 + 16) / 2 + (4 + 16) / 2)


def test_lsgan_is_half_of_the_likelihood_loss_plus_a_quarter() -> None:
    gan = GAN_LOSSES["lsgan"]
    generator = torch.Generator().manual_seed(0)
    fake, real = torch.randn(2, 1, 3, 3, generator=generator), torch.randn(2, 1, 3, 3, generator=generator)
    adversarial = (gan.real(real) + gan.fake(fake)) / 2
    energy = likelihood_loss(fake - gan.offset, real - gan.offset, alpha=1.0)
    assert float(adversarial) == pytest.approx(float(energy) / 2 + 0.25, rel=1e-5)


def test_gradient_penalty_of_a_linear_critic() -> None:
    """critic <w, x> over n patches has the gradient w everywhere: the penalty is (|w| - 1)^2 wherever it is taken."""
    w = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def critic(x: Tensor) -> Tensor:
        return (w * x).sum((1, 2, 3))[:, None, None, None].expand(-1, 1, 2, 2)

    real, fake = torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.rand(2, 3, 4, 4, dtype=torch.float64)
    penalty = gradient_penalty(critic, real, fake, torch.rand(len(real), 1, 1, 1))
    norm = float(w.detach().norm())
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2)
    (gradient,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(gradient, 2 * (norm - 1) * w.detach() / norm)


def by_hand(query: Tensor, key: Tensor, temperature: float) -> float:
    """InfoNCE of one set of patches, written out."""
    total = 0.0
    for i in range(len(query)):
        logits = [float(query[i] @ key[j]) / temperature for j in range(len(key))]
        total += math.log(sum(math.exp(x) for x in logits)) - logits[i]
    return total / len(query)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("everywhere", [False, True])
def test_patch_nce(batch: int, everywhere: bool) -> None:
    generator = torch.Generator().manual_seed(batch)
    query, key = (
        torch.nn.functional.normalize(torch.randn(batch, 5, 4, generator=generator, dtype=torch.float64), dim=-1)
        for _ in range(2)
    )
    query.requires_grad_(True)
    key.requires_grad_(True)
    loss = patch_nce(query, key, 0.5, everywhere)
    q, k = query.detach(), key.detach()
    if everywhere:
        expected = by_hand(q.flatten(0, 1), k.flatten(0, 1), 0.5)
    else:
        expected = sum(by_hand(q[i], k[i], 0.5) for i in range(batch)) / batch
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert key.grad is None
    assert query.grad is not None
    assert float(query.grad.abs().sum()) > 0
