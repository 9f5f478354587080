"""Antialiased resampling by 2 with fixed binomial filters (Zhang, "Making convolutional networks shift-invariant
again", ICML 2019). The buffer `filt` has CUT's name and shape, so that checkpoints are interchangeable."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input


def binomial_filter(taps: list[float]) -> Tensor:
    """The outer product of `taps` with itself, with sum 1: [len(taps), len(taps)]."""
    line = torch.tensor(taps)
    filt = line[:, None] * line[None, :]
    return filt / filt.sum()


def blur(x: Tensor, filt: Tensor) -> Tensor:
    """`filt` [C, 1, 3, 3] at every second pixel of x [B, C, H, W], mirrored at its borders: [B, C, ~H/2, ~W/2]."""
    padded = functional.pad(x, (1, 1, 1, 1), "reflect")
    return functional.conv2d(padded, filt.to(x.dtype), stride=2, groups=len(filt))


class _Blur(torch.autograd.Function):
    """`blur`, which keeps nothing for its gradient but the filter: torch's convolution keeps its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, filt: Tensor) -> Tensor:
        ctx.save_for_backward(filt)
        ctx.like = x.shape, x.dtype
        return blur(x, filt)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _BlurTransposed.apply(gradient, *ctx.saved_tensors, *ctx.like), None


class _BlurTransposed(torch.autograd.Function):
    """The gradient of `blur`, whose own gradient is `blur` again: both are linear."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, filt: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(filt)
        b, c, h, w = shape
        filt = filt.to(gradient.dtype)
        padded = conv2d_input((b, c, h + 2, w + 2), filt, gradient, stride=2, groups=c)
        x = padded.new_empty(1).expand(shape)  # its shape is what is needed of it
        return torch.ops.aten.reflection_pad2d_backward(padded, x, [1, 1, 1, 1]).to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Blur.apply(gradient, *ctx.saved_tensors), None, None, None


class Downsample(nn.Module):
    """Blur with [1 2 1] and keep every second pixel: [B, C, H, W] -> [B, C, ceil(H/2), ceil(W/2)]."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("filt", binomial_filter([1.0, 2.0, 1.0]).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return _Blur.apply(x, self.filt) if x.requires_grad and torch.is_grad_enabled() else blur(x, self.filt)


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
        # [1 3 3 1] / 4 on repeated borders is bilinear interpolation between the centers of the pixels
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
