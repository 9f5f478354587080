"""Residual networks with self-attention: SAGAN (Zhang et al., ICML 2019) and BigGAN (Brock et al., ICLR 2019), small.

For 4 * 2^k and 6 * 2^k pixels. As in BigGAN the noise itself, and with classes an embedding of the class beside it,
chooses scale and shift of every batch norm; spectral norm is in both networks; attention is where features have 16
pixels, or half of a smaller image.
"""

import itertools
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from coopcut.networks.contract import Critic, NoiseGenerator
from coopcut.networks.generation import NDF, NGF, NORM_G, NZ, Projected, start_of, told
from coopcut.networks.registry import CRITICS, NOISE_GENERATORS
from coopcut.networks.residual import CodedNorm, DownBlock, SelfAttention, UpBlock, attends, glorot
from coopcut.options.option import Option, Options

STARTS = (4, 6)
EMBEDDED = 64  # numbers that a class becomes in the generator


@NOISE_GENERATORS.register("biggan")
class BigGenerator(NoiseGenerator):
    """A linear layer and k blocks that double the size, from 2^k ngf channels (at most 8) to ngf."""

    options: ClassVar[Sequence[Option]] = (NZ, NGF, NORM_G)

    @classmethod
    def from_options(cls, opt: Options, out_channels: int, classes: int) -> Self:
        return cls((opt.nz, classes), opt.crop_size, opt.ngf, out_channels, opt.normG)

    def __init__(
        self, inputs: tuple[int, int], size: int, ngf: int = 64, out_channels: int = 3, norm: str = "batch"
    ) -> None:
        """inputs: size of the noise, and number of classes."""
        super().__init__()
        (self.nz, self.classes), self.size = inputs, size
        self.start, doublings = start_of(size, "--netG biggan", STARTS)
        widths = [ngf * min(2**i, 8) for i in range(doublings, -1, -1)]
        self.embedding = nn.Embedding(self.classes, EMBEDDED) if self.classes else None
        code = self.nz + (EMBEDDED if self.classes else 0)
        self.first = nn.utils.parametrizations.spectral_norm(nn.Linear(self.nz, widths[0] * self.start**2))
        layers: list[nn.Module] = []
        for i, pair in enumerate(itertools.pairwise(widths), 1):
            layers.append(UpBlock(*pair, code=code, norms=(norm, "spectral")))
            if attends(self.start << i, size):
                layers.append(SelfAttention(pair[1], "spectral"))
        self.layers = nn.ModuleList(layers)
        self.norm = CodedNorm(widths[-1], 0, norm)
        self.last = nn.utils.parametrizations.spectral_norm(nn.Conv2d(widths[-1], out_channels, 3, padding=1))
        glorot(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        code = z if self.embedding is None else torch.cat([z, self.embedding(told(y))], dim=1)
        x = self.first(z).view(len(z), -1, self.start, self.start)
        for layer in self.layers:
            x = layer(x, code) if isinstance(layer, UpBlock) else layer(x)
        return torch.tanh(self.last(functional.relu(self.norm(x, None))))


@CRITICS.register("biggan")
class BigCritic(Critic):
    """Blocks with spectral norm that halve the size, attention, a last block, and the sum over all places."""

    options: ClassVar[Sequence[Option]] = (NDF,)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int, classes: int) -> Self:
        return cls(in_channels, opt.crop_size, opt.ndf, classes)

    def __init__(self, in_channels: int, size: int, ndf: int = 64, classes: int = 0) -> None:
        super().__init__()
        self.classes, self.min_size = classes, size
        _, doublings = start_of(size, "--netD biggan", STARTS)
        widths = [in_channels, *(ndf * min(2**i, 8) for i in range(doublings))]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise(widths), 1):
            layers.append(DownBlock(before, after, "spectral", first=i == 1))
            if attends(size >> i, size):
                layers.append(SelfAttention(after, "spectral"))
        layers += [DownBlock(widths[-1], widths[-1], "spectral", down=False), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), Projected(widths[-1], classes, "spectral")
        glorot(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        scores: Tensor = self.head(self.body(x).sum((2, 3)), y)
        return scores

    @property
    def score_bias(self) -> nn.Parameter | None:
        return self.head.last.bias  # type: ignore[return-value]
