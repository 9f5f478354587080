"""DCGAN (Radford, Metz and Chintala, ICLR 2016), for images of s * 2^k pixels, s from 4 to 7."""

import itertools
from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor, nn

from coopcut.networks.contract import Critic, NoiseGenerator
from coopcut.networks.generation import (
    INITIAL,
    NDF,
    NGF,
    NORM_D,
    NORM_G,
    NZ,
    WIDEST,
    Projected,
    initialized,
    norm_of,
    normed,
    one_hot,
    start_of,
)
from coopcut.networks.registry import CRITICS, NOISE_GENERATORS
from coopcut.options.option import Option, Options


@NOISE_GENERATORS.register("dcgan")
class DCGenerator(NoiseGenerator):
    """A transposed convolution to s x s, then k of stride 2, with norm and ReLU between them, and tanh.

    ngf channels before the last layer, twice as many before each earlier one, at most 8 ngf. Classes join the noise as
    ones and zeros (Mirza and Osindero 2014).
    """

    options: ClassVar[Sequence[Option]] = (NZ, NGF, NORM_G, *INITIAL)

    @classmethod
    def from_options(cls, opt: Options, out_channels: int, classes: int) -> Self:
        net = cls((opt.nz, classes), opt.crop_size, opt.ngf, out_channels, opt.normG)
        initialized(net, opt)
        return net

    def __init__(
        self, inputs: tuple[int, int], size: int, ngf: int = 64, out_channels: int = 3, norm: str = "batch"
    ) -> None:
        """inputs: size of the noise, and number of classes."""
        super().__init__()
        (self.nz, self.classes), self.size = inputs, size
        start, doublings = start_of(size, "--netG dcgan")
        widths = [ngf * min(2**i, WIDEST) for i in reversed(range(doublings))]
        bias, make_norm = norm == "none", norm_of(norm)
        layers: list[nn.Module] = [nn.ConvTranspose2d(sum(inputs), widths[0], start, bias=bias)]
        layers += [make_norm(widths[0]), nn.ReLU()]
        for before, after in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias), make_norm(after), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], out_channels, 4, 2, 1), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        images: Tensor = self.model(one_hot(z, y, self.classes)[:, :, None, None])
        return images


@CRITICS.register("dcgan")
class DCCritic(Critic):
    """k convolutions of stride 2, with norm (not in the first) and leaky ReLU, and a score of all that is left."""

    options: ClassVar[Sequence[Option]] = (NDF, NORM_D, *INITIAL)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int, classes: int) -> Self:
        net = cls(in_channels, opt.crop_size, opt.ndf, opt.normD, classes)
        initialized(net, opt)
        return net

    def __init__(self, in_channels: int, size: int, ndf: int = 64, norm: str = "batch", classes: int = 0) -> None:
        super().__init__()
        self.classes, self.min_size = classes, size
        start, doublings = start_of(size, "--netD dcgan")
        widths = [ndf * min(2**i, WIDEST) for i in range(doublings)]
        bias, make_norm = norm != "batch", norm_of(norm)
        layers: list[nn.Module] = [normed(nn.Conv2d(in_channels, ndf, 4, 2, 1), norm), nn.LeakyReLU(0.2)]
        for before, after in itertools.pairwise(widths):
            convolution = normed(nn.Conv2d(before, after, 4, 2, 1, bias=bias), norm)
            layers += [convolution, make_norm(after), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = Projected(widths[-1] * start**2, classes, norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        scores: Tensor = self.head(self.body(x), y)
        return scores

    @property
    def score_bias(self) -> nn.Parameter | None:
        return self.head.last.bias  # type: ignore[return-value]
