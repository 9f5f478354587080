"""Errors of translations whose true counterpart is known."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PairedErrors:
    """Over all pixels of all images, values 0 to 255. rmse: root of the mean squared difference over channels.

    within_5, within_10: share (0 to 1) of the pixels of which every channel is at most 5, or 10, off the truth
    (the figures of the aerial-photo-to-map comparisons, for example Fu et al., GcGAN, CVPR 2019).
    """

    images: int
    rmse: float
    within_5: float
    within_10: float

    def line(self, name: str) -> str:
        """A row of the table that `HEADER` begins."""
        shares = f"{100 * self.within_5:>10.1f} %{100 * self.within_10:>10.1f} %"
        return f"{name:<22}{self.images:>7}{self.rmse:>9.2f}{shares}"


HEADER = f"{'':<22}{'images':>7}{'RMSE':>9}{'within 5':>12}{'within 10':>12}"


def paired_errors(pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> PairedErrors:
    """Compare (translation, truth) pairs of uint8 arrays [H, W, C] of equal shape. `ValueError` without pairs."""
    squared, values, near_5, near_10, pixels, images = 0.0, 0, 0, 0, 0, 0
    for fake, truth in pairs:
        off = np.abs(fake.astype(np.int32) - truth.astype(np.int32))
        worst = off.max(axis=2)
        squared += float((off**2).sum())
        values += off.size
        near_5 += int((worst <= 5).sum())
        near_10 += int((worst <= 10).sum())
        pixels += worst.size
        images += 1
    if not images:
        raise ValueError("no pairs to compare")
    return PairedErrors(images, (squared / values) ** 0.5, near_5 / pixels, near_10 / pixels)
