"""Adversarial losses of the discriminator's map of scores, by the names of `--gan_mode`.

All are means over the batch and the patches; `scores` have any shape. The discriminator minimizes
(real + fake) / 2, as in CUT.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


@dataclass(frozen=True)
class GANLoss:
    """The three losses of a mode, and how its scores relate to the energy of `coopcut`.

    offset: the score midway between real and fake. With f = scores - offset the energy E = -f of the cooperative
    warm-up carries over to this mode without a jump. For least squares it is 1/2, since
    (D - 1)^2 = f^2 - f + 1/4 and D^2 = f^2 + f + 1/4: half the sum is half of the likelihood loss
    with a squared-energy penalty of weight 1, plus 1/4. The other modes are symmetric about 0.
    relative: the functions get differences: those of D real less fake scores, that of G fake less real ones.
    """

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    offset: float = 0.0
    gradient_penalty: float = 0.0
    relative: bool = False

    def discriminator(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The losses of the scores of real and of fake images, of which D minimizes half the sum."""
        if self.relative:
            loss = self.real(matched(real, fake) - matched(fake, real))
            return loss, loss
        return self.real(real), self.fake(fake)

    def smoothed(self, smoothing: float) -> "GANLoss":
        """The same with one-sided label smoothing: real images are fake with probability `smoothing`.

        For least squares this is the target 1 - smoothing, up to a constant (Salimans et al. 2016).
        """
        if smoothing == 0:
            return self
        real, fake = self.real, self.fake
        return replace(self, real=lambda scores: (1 - smoothing) * real(scores) + smoothing * fake(scores))


# Mao et al. 2017
_LSGAN = GANLoss(
    real=lambda scores: (scores - 1).square().mean(),
    fake=lambda scores: scores.square().mean(),
    generator=lambda scores: (scores - 1).square().mean(),
    offset=0.5,
)
# Goodfellow et al. 2014 with the non-saturating generator loss; binary cross entropy of logits is softplus
_NONSATURATING = GANLoss(
    real=lambda scores: softplus(-scores).mean(),
    fake=lambda scores: softplus(scores).mean(),
    generator=lambda scores: softplus(-scores).mean(),
)
# Lim and Ye 2017
_HINGE = GANLoss(
    real=lambda scores: relu(1 - scores).mean(),
    fake=lambda scores: relu(1 + scores).mean(),
    generator=lambda scores: -scores.mean(),
)
# Gulrajani et al. 2017, with their penalty weight
_WGANGP = GANLoss(
    real=lambda scores: -scores.mean(),
    fake=lambda scores: scores.mean(),
    generator=lambda scores: -scores.mean(),
    gradient_penalty=10.0,
)

# Jolicoeur-Martineau 2019, in the paired form of R3GAN (Huang et al. 2024, eq. 2)
_RELATIVISTIC = GANLoss(
    real=lambda difference: softplus(-difference).mean(),
    fake=lambda difference: softplus(-difference).mean(),
    generator=lambda difference: softplus(-difference).mean(),
    relative=True,
)

# CUT's 'vanilla' and 'nonsaturating' are one formula: its vanilla generator also labels translations as real
GAN_LOSSES = {
    "lsgan": _LSGAN,
    "vanilla": _NONSATURATING,
    "nonsaturating": _NONSATURATING,
    "hinge": _HINGE,
    "wgangp": _WGANGP,
    "relativistic": _RELATIVISTIC,
}


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, where: Tensor) -> Tensor:
    """mean((|grad_x critic(x)|_2 - 1)^2) at a random point between each two images (Gulrajani et al. 2017, eq. 3).

    `real` and `fake` [B, C, H, W]; `where` [B, 1, 1, 1], uniform in [0, 1): the share of the real image in the point.
    The norm is over C, H, W; the score of an image is the mean of its patches.
    """
    weight = where.to(real.device)
    between = (weight * real + (1 - weight) * fake).detach().requires_grad_(True)
    scores = critic(between).flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norm - 1).square().mean()


def matched(scores: Tensor, other: Tensor) -> Tensor:
    """Scores [B, 1, h, w] to be compared with `other`: patch by patch, or the means of images of another size."""
    return scores if scores.shape == other.shape else scores.flatten(1).mean(dim=1)


def squared_slope(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """E |grad_x critic(x)|^2 at images [B, C, H, W]; the score of an image is the mean of its patches.

    Times gamma / 2 it is R1 at real images (Mescheder et al. 2018, eq. 9) and R2 at fake ones (eq. 10).
    """
    x = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(x).flatten(1).mean(1).sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def lecam(real: Tensor, fake: Tensor, anchor_real: Tensor, anchor_fake: Tensor) -> Tensor:
    """E (D(x) - a_F)^2 + E (D(G(z)) - a_R)^2 with running means a of the scores (Tseng et al. 2021, eq. 5)."""
    return (real - anchor_fake).square().mean() + (fake - anchor_real).square().mean()
