"""How far two sets of feature vectors are apart: FID, KID, precision, recall, density, coverage.

The figures are those of torchmetrics and prdc; this file prepares the arrays, caps what the counts do not allow, and
makes the random subsets of KID repeatable. The packages (the extra `metrics`) are imported when they are used.
"""

import contextlib
import io
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coopcut.metrics.packages import package

Array = NDArray[np.float64]

FIGURES = ("FID", "KID", "precision", "recall", "density", "coverage")
LOWER_IS_BETTER = ("FID", "KID")
LEAST = 2  # vectors: a covariance needs two
NEAREST = 5  # neighbors (Naeem et al.)
SUBSET_SIZE, SUBSETS = 1000, 100  # of KID
LOCAL = {"sync_on_compute": False}  # of several processes one computes: torchmetrics must not wait for the others


def figures(
    real: Array,
    fake: Array,
    seed: int = 0,
    nearest: int = NEAREST,
    subset_size: int = SUBSET_SIZE,
    subsets: int = SUBSETS,
) -> dict[str, float]:
    """All of `FIGURES` for feature vectors real [n, d] and fake [m, d], finite, with n, m >= 2.

    The neighbors of the last four are at most min(n, m) - 2 (see `neighbors`); with fewer than 3 vectors on a side
    these four are NaN. Raises `ValueError` for other shapes or values, `OptionError` if a package is missing.
    """
    real, fake = (np.ascontiguousarray(side, np.float64) for side in (real, fake))
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"feature vectors of shapes {real.shape} and {fake.shape} cannot be compared")
    if min(len(real), len(fake)) < LEAST:
        raise ValueError(f"{len(real)} real and {len(fake)} fake vectors: at least {LEAST} of each are needed")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("feature vectors hold NaN or infinite values")
    kid = kernel_distance(real, fake, seed, subset_size, subsets)
    return {"FID": frechet_distance(real, fake), "KID": kid, **manifold_figures(real, fake, nearest)}


def frechet_distance(real: Array, fake: Array) -> float:
    r"""FID (Heusel et al., NeurIPS 2017): |mu_r - mu_f|^2 + Tr(S_r + S_f - 2 (S_r S_f)^(1/2)), S with n - 1.

    With fewer vectors than dimensions all of them lie in a smaller space. Turning the coordinates into it changes
    nothing in the distance, and spares the root of a large singular matrix.
    """
    if len(real) + len(fake) < real.shape[1]:
        center = real.mean(axis=0)
        basis, _ = np.linalg.qr(np.concatenate([real, fake]).T - center[:, None])  # [d, n + m]
        real, fake = (real - center) @ basis, (fake - center) @ basis
    module = package("torchmetrics.image.fid")
    metric = module.FrechetInceptionDistance(feature=_Identity(real.shape[1]), **LOCAL).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    return max(float(metric.compute()), 0.0)  # rounding may leave -1e-12


def kernel_distance(
    real: Array, fake: Array, seed: int = 0, subset_size: int = SUBSET_SIZE, subsets: int = SUBSETS
) -> float:
    """KID (Binkowski et al., ICLR 2018): the unbiased squared MMD with the kernel (x.y / d + 1)^3.

    The mean over `subsets` random subsets of min(subset_size, n, m) vectors, drawn without replacement from `seed`.
    It is unbiased, so it may be a little below 0. A set against itself is below 0 by construction: there the same
    vectors meet in the cross term.
    """
    size = min(subset_size, len(real), len(fake))
    if size == len(real) == len(fake):
        subsets = 1  # all of them would be the same
    module = package("torchmetrics.image.kid")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=()):  # it draws from torch's global generator
        torch.default_generator.manual_seed(seed)  # of the CPU alone: `torch.manual_seed` sets those of GPUs too
        warnings.simplefilter("ignore")  # that it keeps all features in memory
        metric = module.KernelInceptionDistance(
            feature=_Identity(real.shape[1]), subsets=subsets, subset_size=size, **LOCAL
        )
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(fake), real=False)
        return float(metric.compute()[0])


def manifold_figures(real: Array, fake: Array, nearest: int = NEAREST) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020).

    Each vector stands for the ball that reaches to its k-th nearest neighbor of the same set. Precision: share of
    fake vectors in a ball of a real one. Recall: the reverse. Density: balls around real vectors that hold a fake one,
    over k; it may exceed 1. Coverage: share of the balls around real vectors with a fake one in them.
    """
    k = neighbors(len(real), len(fake), nearest)
    if k < 1:
        return dict.fromkeys(FIGURES[2:], float("nan"))
    module = package("prdc")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the counts
        found = module.compute_prdc(real, fake, nearest_k=k)
    return {name: float(found[name]) for name in FIGURES[2:]}


def neighbors(real: int, fake: int, nearest: int = NEAREST) -> int:
    """The k that counts allow: prdc needs k + 2 vectors on each side."""
    return min(nearest, min(real, fake) - 2)


class _Identity(nn.Module):
    """Stands for the feature network of torchmetrics: the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
