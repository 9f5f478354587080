"""The networks of StyleGAN2 (Karras et al., CVPR 2020) at small size, with PyTorch's operations alone.

Skip generator, residual discriminator, equalized learning rates, modulated and demodulated convolutions. What is added
to the features as noise is fixed, one picture for each resolution, so that an image is a function of z. Upsampling is
bilinear, downsampling takes means of 2 x 2.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from coopcut.networks.contract import Critic, NoiseGenerator
from coopcut.networks.generation import NDF, NGF, NZ, WIDEST, start_of, told
from coopcut.networks.registry import CRITICS, NOISE_GENERATORS
from coopcut.options.option import Option, Options

MAPPING = Option("n_mapping", 4, "layers of the mapping network (published: 8)", low=1, high=16, fixed=True)
STATISTICS = Option("minibatch_std", True, "D sees how much the images of a group of 4 vary", fixed=True)
SLOPE, GAIN = 0.2, math.sqrt(2)  # of the leaky ReLU, and what keeps the variance behind it
MAPPING_RATE = 0.01  # learning rate of the mapping network, in terms of the others'
AVERAGED = 1024  # codes w whose mean is that of all
GROUP = 4  # images among which a standard deviation is taken


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance of normal values."""
    return functional.leaky_relu(x, SLOPE) * GAIN


class EqualLinear(nn.Module):
    """Linear layer whose weights are stored with variance 1 and scaled when used: [B, in] -> [B, out]."""

    def __init__(self, before: int, after: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(before), rate

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv(nn.Module):
    """Convolution with weights as in `EqualLinear`, size kept: [B, in, H, W] -> [B, out, H, W]."""

    def __init__(self, before: int, after: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.scale, self.padding = 1 / math.sqrt(before * kernel**2), kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class ModulatedConv(nn.Module):
    """Convolution whose weights w chooses for each image: scaled by input channel, then to length 1 (eq. 1 and 3)."""

    def __init__(self, before: int, after: int, kernel: int, code: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.style = EqualLinear(code, before, bias=1.0)
        self.scale, self.demodulate, self.padding = 1 / math.sqrt(before * kernel**2), demodulate, kernel // 2

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.style(w)
        # the same as scaling the weights, without a set of weights for each image
        y = functional.conv2d(x * style[:, :, None, None], self.weight * self.scale, padding=self.padding)
        if self.demodulate:
            squares = (self.weight * self.scale).square().sum((2, 3))
            length = torch.rsqrt(style.square() @ squares.T + 1e-8)
            y = y * length[:, :, None, None]
        return y


class StyledConv(nn.Module):
    """A modulated 3 x 3 convolution, fixed noise of learned strength, bias, leaky ReLU."""

    noise: Tensor

    def __init__(self, before: int, after: int, code: int, side: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(before, after, 3, code)
        self.strength, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(after))
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return leaky(self.conv(x, w) + self.strength * self.noise + self.bias[:, None, None])


@NOISE_GENERATORS.register("stylegan2")
class StyleGenerator(NoiseGenerator):
    """z to w by the mapping network, then from a learned s x s constant k times twice the size, summing the images.

    truncation psi in forward: w is drawn toward its mean m, m + psi (w - m) (Karras et al. 2019, B). The code w has as
    many numbers as z. Classes join z by an embedding.
    """

    truncates = True
    options: ClassVar[Sequence[Option]] = (NZ, NGF, MAPPING)

    @classmethod
    def from_options(cls, opt: Options, out_channels: int, classes: int) -> Self:
        return cls((opt.nz, classes), opt.crop_size, opt.ngf, out_channels, opt.n_mapping)

    def __init__(
        self, inputs: tuple[int, int], size: int, ngf: int = 64, out_channels: int = 3, n_mapping: int = 4
    ) -> None:
        """inputs: size of the noise, and number of classes."""
        super().__init__()
        (self.nz, self.classes), self.size = inputs, size
        start, doublings = start_of(size, "--netG stylegan2")
        widths = [ngf * min(2**i, WIDEST) for i in range(doublings, -1, -1)]
        code = self.nz
        self.embedding = EqualLinear(self.classes, code) if self.classes else None
        first = code * (2 if self.classes else 1)
        self.mapping = nn.ModuleList(
            EqualLinear(first if i == 0 else code, code, rate=MAPPING_RATE) for i in range(n_mapping)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))  # of all images that are summed
        self.constant = nn.Parameter(torch.randn(1, widths[0], start, start))
        self.convs, self.to_image = nn.ModuleList(), nn.ModuleList()
        for i, after in enumerate(widths):
            before = widths[max(0, i - 1)]
            pair = [StyledConv(before, after, code, start << i)] if i else []
            self.convs.append(nn.ModuleList([*pair, StyledConv(after, after, code, start << i)]))
            self.to_image.append(ModulatedConv(after, out_channels, 1, code, demodulate=False))

    def forward(self, z: Tensor, y: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        w = self.code(z, y)
        if truncation != 1:
            mean = self.mean_code(w)
            w = mean + truncation * (w - mean)
        x, image = self.constant.expand(len(w), -1, -1, -1), None
        for convs, to_image in zip(self.convs, self.to_image, strict=True):
            if image is not None:
                x, image = doubled(x), doubled(image)
            for conv in convs:  # type: ignore[attr-defined]
                x = conv(x, w)
            part = to_image(x, w)
            image = part + self.bias if image is None else image + part
        assert image is not None
        return torch.tanh(image)  # published without; images are in [-1, 1] here for every generator

    def mean_code(self, like: Tensor) -> Tensor:
        """The mean of w [1, nz] over some noise that is always the same, and over all classes."""
        z = torch.randn(AVERAGED, self.nz, generator=torch.Generator().manual_seed(0)).to(like)
        y = torch.arange(AVERAGED, device=like.device) % self.classes if self.classes else None
        return self.code(z, y).mean(0, keepdim=True)

    def code(self, z: Tensor, y: Tensor | None) -> Tensor:
        """w [B, nz] of noise and classes."""
        x = normalized(z)
        if self.embedding is not None:
            embedded = self.embedding(functional.one_hot(told(y), self.classes).to(z))
            x = torch.cat([x, normalized(embedded)], dim=1)
        for layer in self.mapping:
            x = leaky(layer(x))
        return x


def normalized(x: Tensor) -> Tensor:
    """[B, C] with mean square 1 in each row."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def doubled(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W]"""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class DownResidual(nn.Module):
    """(conv(conv(x)) + x) / sqrt(2) at half the size: [B, in, H, W] -> [B, out, H/2, W/2]."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = EqualConv(before, before, 3), EqualConv(before, after, 3)
        self.short = EqualConv(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.avg_pool2d(leaky(self.conv2(leaky(self.conv1(x)))), 2)
        return (y + functional.avg_pool2d(self.short(x), 2)) / math.sqrt(2)


@CRITICS.register("stylegan2")
class StyleCritic(Critic):
    """Residual blocks to s x s, a channel with the variation within a group, two layers, and a score.

    With classes the score is <features, embedding of y> / sqrt(width). With --minibatch_std an image's score depends on
    the others of its group.
    """

    options: ClassVar[Sequence[Option]] = (NDF, STATISTICS)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int, classes: int) -> Self:
        return cls(in_channels, opt.crop_size, opt.ndf, classes, opt.minibatch_std)

    def __init__(
        self, in_channels: int, size: int, ndf: int = 64, classes: int = 0, minibatch_std: bool = True
    ) -> None:
        super().__init__()
        self.classes, self.min_size, self.sees_batch = classes, size, minibatch_std
        start, doublings = start_of(size, "--netD stylegan2")
        widths = [ndf * min(2**i, WIDEST) for i in range(doublings + 1)]
        self.first = EqualConv(in_channels, ndf, 1)
        self.blocks = nn.Sequential(*(DownResidual(widths[i], widths[i + 1]) for i in range(doublings)))
        self.conv = EqualConv(widths[-1] + minibatch_std, widths[-1], 3)
        self.dense = EqualLinear(widths[-1] * start**2, widths[-1])
        self.last = EqualLinear(widths[-1], widths[-1] if classes else 1)
        self.embedding = EqualLinear(classes, widths[-1]) if classes else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.blocks(leaky(self.first(x)))
        if self.sees_batch:
            x = torch.cat([x, variation(x)], dim=1)
        features = self.last(leaky(self.dense(leaky(self.conv(x)).flatten(1))))
        if self.embedding is not None:
            embedded = normalized(self.embedding(functional.one_hot(told(y), self.classes).to(features)))
            features = (features * embedded).sum(1, keepdim=True) / math.sqrt(features.shape[1])
        return features[:, :, None, None]

    @property
    def score_bias(self) -> nn.Parameter | None:
        return None if self.classes else self.last.bias


def variation(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, 1, H, W]: mean standard deviation of the features within the image's group of up to 4."""
    number = len(x)
    group = min(GROUP, number)
    rest = -number % group
    grouped = torch.cat([x, x[:rest]]).view(group, -1, *x.shape[1:])  # image i with i + B/4, i + 2B/4, ...
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat(group)[:number].view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
