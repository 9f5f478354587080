"""Adversarial losses of the discriminator's map of scores, by the names of `--gan_mode`.

All are means over the batch and the patches; `scores` have any shape. The discriminator minimizes
(real + fake) / 2, as in CUT.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
    """

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    offset: float = 0.0
    gradient_penalty: float = 0.0


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

# CUT's 'vanilla' and 'nonsaturating' are one formula: its vanilla generator also labels translations as real
GAN_LOSSES = {
    "lsgan": _LSGAN,
    "vanilla": _NONSATURATING,
    "nonsaturating": _NONSATURATING,
    "hinge": _HINGE,
    "wgangp": _WGANGP,
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
