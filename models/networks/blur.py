"""Antialiased resampling by 2 with fixed binomial filters (Zhang, "Making convolutional networks shift-invariant
again", ICML 2019). The buffer `filt` has CUT's name and shape, so that checkpoints are interchangeable."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def binomial_filter(taps: list[float]) -> Tensor:
    """The outer product of `taps` with itself, with sum 1: [len(taps), len(taps)]."""
    line = torch.tensor(taps)
    filt = line[:, None] * line[None, :]
    return filt / filt.sum()


class Downsample(nn.Module):
    """Blur with [1 2 1] and keep every second pixel: [B, C, H, W] -> [B, C, ceil(H/2), ceil(W/2)]."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("filt", binomial_filter([1.0, 2.0, 1.0]).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), "reflect"), self.filt, stride=2, groups=self.channels)


class Upsample(nn.Module):
    """Double the size by zero insertion and [1 3 3 1]: [B, C, H, W] -> [B, C, 2H, 2W].

    `filt` is kept for checkpoints alone.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        # the factor 4 makes up for the zeros that a transposed convolution of stride 2 puts between the pixels
        self.register_buffer("filt", 4 * binomial_filter([1.0, 3.0, 3.0, 1.0]).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        # [1 3 3 1] / 4 on repeated borders is bilinear interpolation between the centres of the pixels
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
