"""Rows without training that every table has: what a figure is worth is seen beside them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coopcut.comparison.judge import Judge, images_of


def references(judge: Judge, root: Path) -> dict[str, Tensor]:
    """What stands in for translations of the test images, by the name of its row."""
    A, B = images_of(root / "trainA"), images_of(root / "trainB")
    transfer = color_transfer(A, B)
    chosen = torch.randint(len(B), (len(judge.A),), generator=torch.Generator().manual_seed(0))
    found = {
        "input unchanged": judge.A,
        "linear color transfer": transfer(judge.A),
        "mean target image": B.mean(dim=0, keepdim=True).expand(len(judge.A), -1, -1, -1),
        "random target images": B[chosen],
    }
    return found | ({} if judge.B is None else {"truth": judge.B})


def figures(judge: Judge, root: Path) -> Mapping[str, Mapping[str, float]]:
    """The figures of `references`."""
    return {name: judge.figures(images) for name, images in references(judge, root).items()}


def color_transfer(A: Tensor, B: Tensor) -> Callable[[Tensor], Tensor]:
    """The linear map of colors that carries mean and covariance of A's pixels to B's, [N, C, H, W] in [-1, 1].

    The one of least cost (Monge-Kantorovich; Pitie and Kokaram 2007): T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2.
    """
    (mean_A, cov_A), (mean_B, cov_B) = (_colors(images) for images in (A, B))
    root, inverse = _power(cov_A, 0.5), _power(cov_A, -0.5)
    T = torch.from_numpy(inverse @ _power(root @ cov_B @ root, 0.5) @ inverse).float()
    a, b = (torch.from_numpy(mean).float().view(1, -1, 1, 1) for mean in (mean_A, mean_B))

    def apply(images: Tensor) -> Tensor:
        return (torch.einsum("ij,njhw->nihw", T, images - a) + b).clamp(-1, 1)

    return apply


def _colors(images: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pixels = images.double().permute(1, 0, 2, 3).flatten(1).numpy()
    return pixels.mean(axis=1), np.cov(pixels)


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Of a positive semidefinite matrix; directions without variance (gray images) stay 0."""
    values, vectors = np.linalg.eigh(matrix)
    there = values > 1e-8 * values.max()
    powers = np.where(there, np.where(there, values, 1.0) ** exponent, 0.0)
    return (vectors * powers) @ vectors.T
