"""Residual blocks of generators of noise and their discriminators, as in SNGAN, SAGAN and BigGAN."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from coopcut.networks.generation import normed
from coopcut.networks.layers import original_weight


class CodedNorm(nn.Module):
    """Batch norm whose scale 1 + s(code) and shift depend on a code [B, width]; on nothing if `width` is 0.

    With a class as one-hot code it is the conditional batch norm of Dumoulin et al. 2017.
    """

    def __init__(self, channels: int, width: int, norm: str = "batch") -> None:
        super().__init__()
        plain = not width
        self.norm = nn.BatchNorm2d(channels, affine=plain) if norm == "batch" else nn.Identity()
        self.scale = None if plain else nn.Linear(width, 2 * channels)

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        x = self.norm(x)
        if self.scale is None:
            return x
        scale, shift = self.scale(code)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class UpBlock(nn.Module):
    """x upsampled + conv(conv(upsampled)), with norm and ReLU before each: [B, in, H, W] -> [B, out, 2H, 2W]."""

    def __init__(self, before: int, after: int, code: int, norms: tuple[str, str]) -> None:
        """norms: of the features, and of the weights."""
        super().__init__()
        self.norm1, self.norm2 = CodedNorm(before, code, norms[0]), CodedNorm(after, code, norms[0])
        self.conv1 = normed(nn.Conv2d(before, after, 3, padding=1), norms[1])
        self.conv2 = normed(nn.Conv2d(after, after, 3, padding=1), norms[1])
        self.short = normed(nn.Conv2d(before, after, 1), norms[1])

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        y = functional.interpolate(functional.relu(self.norm1(x, code)), scale_factor=2)
        y = self.conv2(functional.relu(self.norm2(self.conv1(y), code)))
        result: Tensor = y + functional.interpolate(self.short(x), scale_factor=2)
        return result


class DownBlock(nn.Module):
    """x + conv(conv(x)), ReLU before each but the first of the `first` block, then halved in size if `down`.

    [B, in, H, W] -> [B, out, H, W] or [B, out, H/2, W/2]
    """

    def __init__(self, before: int, after: int, norm: str, down: bool = True, first: bool = False) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1 = normed(nn.Conv2d(before, after, 3, padding=1), norm)
        self.conv2 = normed(nn.Conv2d(after, after, 3, padding=1), norm)
        self.short = normed(nn.Conv2d(before, after, 1), norm) if down or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x if self.first else functional.relu(x))
        y = self.conv2(functional.relu(y))
        result: Tensor = y + self.short(x)
        return functional.avg_pool2d(result, 2) if self.down else result


class SelfAttention(nn.Module):
    """x + gamma * attention over all places, gamma 0 at the beginning (Zhang et al. 2019): [B, C, H, W] -> the same.

    Queries and keys have C / 8 channels, values C / 2; keys and values are halved in size by maxima.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query, self.key = (normed(nn.Conv2d(channels, inner, 1, bias=False), norm) for _ in range(2))
        self.value = normed(nn.Conv2d(channels, max(1, channels // 2), 1, bias=False), norm)
        self.out = normed(nn.Conv2d(max(1, channels // 2), channels, 1, bias=False), norm)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2).transpose(1, 2)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)
        value = functional.max_pool2d(self.value(x), 2).flatten(2)
        # written out: torch's attention on a CPU has no gradient of its gradient
        weights = torch.softmax(query @ key, dim=2)
        mixed = (value @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        result: Tensor = x + self.gamma * self.out(mixed)
        return result


def glorot(net: nn.Module) -> None:
    """Initial weights of Glorot and Bengio 2010, uniform; convolutions of blocks sqrt(2) times as large, as in SNGAN.

    Scales of coded norms begin at 1, their shifts at 0.
    """
    blocks = [module for module in net.modules() if isinstance(module, UpBlock | DownBlock)]
    wide = {convolution for block in blocks for convolution in (block.conv1, block.conv2)}
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.xavier_uniform_(original_weight(module), math.sqrt(2) if module in wide else 1.0)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    for module in net.modules():
        if isinstance(module, CodedNorm) and module.scale is not None:
            nn.init.zeros_(module.scale.weight)


def attends(side: int, size: int) -> bool:
    """Whether there is attention where features have `side` pixels: at 16, or at half of a smaller image."""
    return side == min(16, 2 ** int(math.log2(size // 2)))
