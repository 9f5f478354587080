"""Choices shared by all networks: normalization layers and initial weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized

from coopcut.options.option import Option


class InstanceNorm2d(nn.Module):
    """[B, C, H, W] -> the same with mean 0 and variance 1 over H and W, as `nn.InstanceNorm2d` without affine part.

    On the CPU it is computed as a group norm with a group for each channel: faster, and right where torch's instance
    norm has a wrong gradient (see tests/test_golden.py). Contiguous, because torch's group norm of channels-last images
    takes the variance as a difference of large numbers: almost constant images came out wrong by 128 of 255 levels.
    One channels-last image in bfloat16, as a `Translator` has it, is the batch norm of a batch of one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return functional.instance_norm(x)
        if len(x) == 1 and x.dtype == torch.bfloat16 and not x.requires_grad and not x.is_contiguous():
            # weights in float32 keep mean and variance in it
            return functional.batch_norm(x, None, None, x.new_ones(self.channels, dtype=torch.float32), training=True)
        return functional.group_norm(x.contiguous(), self.channels)

    def rectified(self, x: Tensor) -> Tensor:
        """max(0, forward(x)). In float32 on the CPU nothing but `x` and its statistics is kept for the gradient."""
        if x.device.type == "cpu" and x.dtype == torch.float32 and x.requires_grad and torch.is_grad_enabled():
            return _RectifiedNorm.apply(x.contiguous())
        return functional.relu(self(x), inplace=True)

    def extra_repr(self) -> str:
        return str(self.channels)


class _RectifiedNorm(torch.autograd.Function):
    """Instance norm and rectifier of a contiguous [B, C, H, W]: what exceeds the mean of its channel is what passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        y, mean, rstd = torch.native_group_norm(x, None, None, b, c, h * w, c, 1e-5)
        ctx.save_for_backward(x, mean, rstd)
        return y.relu_()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, mean, rstd = ctx.saved_tensors
        b, c, h, w = x.shape
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            y = functional.group_norm(x, c).relu()
            return torch.autograd.grad(y, x, gradient, create_graph=True)[0]
        passed = torch.where(x > mean[:, :, None, None], gradient, 0.0)
        return torch.ops.aten.native_group_norm_backward(
            passed, x, mean, rstd, None, b, c, h * w, c, [True, False, False]
        )[0]


NORMS = ("instance", "batch", "none")
INITIAL = (
    Option("init_type", "xavier", "initial weights", ("normal", "xavier", "kaiming", "orthogonal"), fixed=True),
    Option("init_gain", 0.02, "scale of the initial weights (normal: standard deviation)", above=0, fixed=True),
)
ANTIALIAS = Option("no_antialias", False, "strided convolutions instead of antialiased downsampling", fixed=True)


def norm_layer(name: str) -> Callable[[int], nn.Module]:
    """`instance` (no affine part, no running statistics, as in CUT), `batch` or `none`: a function of the channels."""
    if name == "instance":
        return InstanceNorm2d
    if name == "batch":
        return lambda channels: nn.BatchNorm2d(channels)
    if name == "none":
        return lambda channels: nn.Identity()
    raise ValueError(f"unknown norm '{name}'; known: instance, batch, none")


def has_bias(norm: str) -> bool:
    """Whether CUT gives the convolutions before this norm a bias."""
    return norm == "instance"


def original_weight(layer: nn.Module) -> Tensor:
    """The weight that training changes: that of which a spectral norm makes `layer.weight`, if there is one."""
    weight: Tensor = layer.parametrizations.weight.original if is_parametrized(layer, "weight") else layer.weight  # type: ignore[union-attr,assignment]
    return weight


def init_weights(net: nn.Module, init_type: str, gain: float) -> None:
    """Fill convolutions and linear layers in place: biases 0, weights by `init_type`; batch norm scales N(1, gain).

    normal: N(0, gain). xavier: Glorot and Bengio 2010 with `gain`. kaiming: He et al. 2015 (ignores `gain`).
    orthogonal: Saxe et al. 2014 with `gain`.
    """
    fill: dict[str, Callable[[Tensor], object]] = {
        "normal": lambda w: nn.init.normal_(w, 0.0, gain),
        "xavier": lambda w: nn.init.xavier_normal_(w, gain=gain),
        "kaiming": lambda w: nn.init.kaiming_normal_(w, a=0, mode="fan_in"),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain=gain),
    }
    if init_type not in fill:
        raise ValueError(f"unknown initialization '{init_type}'; known: {', '.join(fill)}")
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            fill[init_type](original_weight(module))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
