"""The residual networks of SNGAN (Miyato et al., ICLR 2018, tables 4 to 6), for 4 * 2^k and 6 * 2^k pixels.

At 32 pixels all blocks of the generator have 4 ngf channels and those of the discriminator 2 ndf; at other sizes the
channels halve from block to block, or double. Initial weights are Glorot and Bengio's, as in the published code.
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
from coopcut.networks.residual import CodedNorm, DownBlock, UpBlock, glorot
from coopcut.options.option import Option, Options

STARTS = (4, 6)


def widths_of(size: int, doublings: int, width: int) -> list[int]:
    """Channels before the first block of a generator and after each."""
    return [4 * width] * (doublings + 1) if size == 32 else [width * min(2**i, 16) for i in range(doublings, -1, -1)]


@NOISE_GENERATORS.register("sngan")
class SNGenerator(NoiseGenerator):
    """A linear layer and k blocks that double the size; classes choose scale and shift of the batch norms."""

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
        self.start, doublings = start_of(size, "--netG sngan", STARTS)
        widths = widths_of(size, doublings, ngf)
        self.first = nn.Linear(self.nz, widths[0] * self.start**2)
        self.blocks = nn.ModuleList(
            UpBlock(*pair, code=self.classes, norms=(norm, "none")) for pair in itertools.pairwise(widths)
        )
        self.norm, self.last = CodedNorm(widths[-1], 0, norm), nn.Conv2d(widths[-1], out_channels, 3, padding=1)

        glorot(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        code = functional.one_hot(told(y), self.classes).to(z) if self.classes else None
        x = self.first(z).view(len(z), -1, self.start, self.start)
        for block in self.blocks:
            x = block(x, code)
        return torch.tanh(self.last(functional.relu(self.norm(x, None))))


@CRITICS.register("sngan")
class SNCritic(Critic):
    """Blocks with spectral norm, the sum over all places, and a score with the projection of the class."""

    options: ClassVar[Sequence[Option]] = (NDF,)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int, classes: int) -> Self:
        return cls(in_channels, opt.crop_size, opt.ndf, classes)

    def __init__(self, in_channels: int, size: int, ndf: int = 64, classes: int = 0) -> None:
        super().__init__()
        self.classes, self.min_size = classes, size
        _, doublings = start_of(size, "--netD sngan", STARTS)
        if size == 32:
            widths, downs = [2 * ndf] * 4, [True, True, False, False]
        else:
            widths = [ndf * min(2**i, 16) for i in range(doublings + 1)]
            downs = [True] * doublings + [False]
        blocks = [DownBlock(in_channels, widths[0], "spectral", downs[0], first=True)]
        blocks += [
            DownBlock(before, after, "spectral", down)
            for (before, after), down in zip(itertools.pairwise(widths), downs[1:], strict=True)
        ]
        self.body, self.head = nn.Sequential(*blocks, nn.ReLU()), Projected(widths[-1], classes, "spectral")

        glorot(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        scores: Tensor = self.head(self.body(x).sum((2, 3)), y)
        return scores

    @property
    def score_bias(self) -> nn.Parameter | None:
        return self.head.last.bias  # type: ignore[return-value]
