"""Errors of translations whose true counterpart is known."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coopcut.metrics.packages import package

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

SSIM_SIDE = 11  # pixels of its window: smaller images have none
LPIPS_SIDE = 32  # pixels that AlexNet needs


@dataclass(frozen=True)
class PairedErrors:
    """Over all pixels of all images, values 0 to 255. rmse: root of the mean squared difference over channels.

    within_5, within_10: share (0 to 1) of the pixels of which every channel is at most 5, or 10, off the truth
    (the figures of the aerial-photo-to-map comparisons, for example Fu et al., GcGAN, CVPR 2019).
    psnr [dB], ssim (Wang et al., 2004) and lpips (Zhang et al., CVPR 2018): means over the images. psnr is infinite if
    an image is exact, ssim NaN if all are smaller than 11 pixels, lpips None without its weights.
    """

    images: int
    rmse: float
    within_5: float
    within_10: float
    psnr: float
    ssim: float
    lpips: float | None = None

    def as_dict(self) -> dict[str, float]:
        """The figures by the names of the table."""
        names = {"rmse": "RMSE", "psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS"}
        return {names.get(name, name): value for name, value in asdict(self).items() if value is not None}


def paired_errors(pairs: Iterable[Pair], lpips: Callable[[Tensor, Tensor], Tensor] | None = None) -> PairedErrors:
    """Compare (translation, truth) pairs of uint8 arrays [H, W, C] of equal shape. `ValueError` without pairs.

    lpips: what `coopcut.metrics.lpips.load_lpips` gives.
    """
    metrics = package("torchmetrics.functional.image")
    squared, values, near_5, near_10, pixels = 0.0, 0, 0, 0, 0
    psnr, ssim, distances = list[float](), list[float](), list[float]()
    for fake, truth in pairs:
        off = np.abs(fake.astype(np.int32) - truth.astype(np.int32))
        worst = off.max(axis=2)
        squared += float((off**2).sum())
        values += off.size
        near_5 += int((worst <= 5).sum())
        near_10 += int((worst <= 10).sum())
        pixels += worst.size
        a, b = _tensor(fake), _tensor(truth)
        psnr.append(float(metrics.peak_signal_noise_ratio(a.double(), b.double(), data_range=255.0)))
        if min(worst.shape) >= SSIM_SIDE:
            ssim.append(float(metrics.structural_similarity_index_measure(a, b, data_range=255.0)))
        if lpips is not None and min(worst.shape) >= LPIPS_SIDE:
            distances.append(float(lpips(a / 127.5 - 1, b / 127.5 - 1)))
    if not psnr:
        raise ValueError("no pairs to compare")
    return PairedErrors(
        len(psnr),
        (squared / values) ** 0.5,
        near_5 / pixels,
        near_10 / pixels,
        float(np.mean(psnr)),
        float(np.mean(ssim)) if ssim else float("nan"),
        float(np.mean(distances)) if distances else None,
    )


def _tensor(picture: NDArray[np.uint8]) -> Tensor:
    """[1, C, H, W], 0 to 255."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
