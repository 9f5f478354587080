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

    def line(self, name: str) -> str:
        """A row of the table that `header` begins."""
        shares = f"{100 * self.within_5:>10.1f} %{100 * self.within_10:>10.1f} %"
        lpips = "" if self.lpips is None else f"{self.lpips:>9.4f}"
        return f"{name:<22}{self.images:>7}{self.rmse:>9.2f}{shares}{self.psnr:>9.2f}{self.ssim:>9.4f}{lpips}"


def header(with_lpips: bool) -> str:
    """The first line of the table."""
    names = f"{'':<22}{'images':>7}{'RMSE':>9}{'within 5':>12}{'within 10':>12}{'PSNR':>9}{'SSIM':>9}"
    return names + (f"{'LPIPS':>9}" if with_lpips else "")


def paired_errors(pairs: Iterable[Pair], lpips: Callable[[Tensor, Tensor], Tensor] | None = None) -> PairedErrors:
    """Compare (translation, truth) pairs of uint8 arrays [H, W, C] of equal shape. `ValueError` without pairs.

    lpips: what `coopcut.metrics.lpips.load_lpips` gives.
    """
    squared, values, near_5, near_10, pixels, images = 0.0, 0, 0, 0, 0, 0
    psnr, ssim, distances = [], [], []
    for fake, truth in pairs:
        off = np.abs(fake.astype(np.int32) - truth.astype(np.int32))
        worst = off.max(axis=2)
        squared += float((off**2).sum())
        values += off.size
        near_5 += int((worst <= 5).sum())
        near_10 += int((worst <= 10).sum())
        pixels += worst.size
        images += 1
        tensors = (_tensor(fake), _tensor(truth))
        psnr.append(_psnr(*tensors))
        ssim.append(_ssim(*tensors))
        if lpips is not None and min(fake.shape[:2]) >= LPIPS_SIDE:
            distances.append(float(lpips(tensors[0] / 127.5 - 1, tensors[1] / 127.5 - 1)))
    if not images:
        raise ValueError("no pairs to compare")
    known = [value for value in ssim if np.isfinite(value)]
    return PairedErrors(
        images,
        (squared / values) ** 0.5,
        near_5 / pixels,
        near_10 / pixels,
        float(np.mean(psnr)),
        float(np.mean(known)) if known else float("nan"),
        float(np.mean(distances)) if distances else None,
    )


def _tensor(picture: NDArray[np.uint8]) -> Tensor:
    """[1, C, H, W], 0 to 255."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()


def _psnr(fake: Tensor, truth: Tensor) -> float:
    metric = package("torchmetrics.functional.image").peak_signal_noise_ratio
    return float(metric(fake.double(), truth.double(), data_range=255.0))


def _ssim(fake: Tensor, truth: Tensor) -> float:
    if min(fake.shape[2:]) < SSIM_SIDE:
        return float("nan")
    metric = package("torchmetrics.functional.image").structural_similarity_index_measure
    return float(metric(fake, truth, data_range=255.0))
