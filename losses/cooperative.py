"""Losses of the cooperative warm-up (CoopInit: Zhao, Xie and Li, AAAI 2023; cooperative learning: Xie et al. 2018).

f(x) are scores of patches, the energy is E = -f and the model p(x) ~ exp f(x).
"""

from torch import Tensor


def likelihood_loss(f_revised: Tensor, f_real: Tensor, alpha: float) -> Tensor:
    """Loss whose gradient is that of the negative log-likelihood of `f_real`'s images, with penalized energies.

    mean f(x_T) - mean f(b) + alpha * (mean f(x_T)^2 + mean f(b)^2). The means are over batch and patches; the
    penalty keeps the energies from running away (Du and Mordatch 2019).
    """
    penalty = f_revised.square().mean() + f_real.square().mean()
    return f_revised.mean() - f_real.mean() + alpha * penalty


def teaching_loss(x0: Tensor, x_T: Tensor) -> Tensor:
    """mean (x0 - x_T)^2: the generator is taught what the revision made of its output (MCMC teaching).

    The mean is over batch, channels and pixels, so that the weight `--lambda_coop` means the same for any size.
    The gradient at x0 is -2 (x_T - x0) / x0.numel(); none flows into `x_T`.
    """
    return (x0 - x_T.detach()).square().mean()
