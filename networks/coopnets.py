"""The descriptor and the generator of CoopNets (Xie, Lu, Gao, Zhu and Wu, 1609.09408), for 4 * 2^k pixels.

As published at 64 pixels with ngf = ndf = 64; of other sizes there are fewer or more layers.
"""

import itertools
import math
from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor, nn

from coopcut.networks.contract import Critic, NoiseGenerator
from coopcut.networks.generation import INITIAL, NDF, NGF, NORM_G, NZ, initialized, no_classes, norm_of, start_of
from coopcut.networks.registry import CRITICS, NOISE_GENERATORS
from coopcut.options.option import Option, Options

OUTPUTS = 100  # of the descriptor, whose sum is the score


@NOISE_GENERATORS.register("coopnets")
class CoopGenerator(NoiseGenerator):
    """A linear layer to 4 x 4, then k transposed 5 x 5 convolutions of stride 2 with norm and leaky ReLU, and tanh."""

    options: ClassVar[Sequence[Option]] = (NZ, NGF, NORM_G, *INITIAL)

    @classmethod
    def from_options(cls, opt: Options, out_channels: int, classes: int) -> Self:
        no_classes(classes, "--netG coopnets")
        net = cls(opt.nz, opt.crop_size, opt.ngf, out_channels, opt.normG)
        initialized(net, opt)
        return net

    def __init__(self, nz: int, size: int, ngf: int = 64, out_channels: int = 3, norm: str = "batch") -> None:
        super().__init__()
        self.nz, self.size, self.classes = nz, size, 0
        _, doublings = start_of(size, "--netG coopnets", (4,))
        widths = [ngf * min(2**i, 8) for i in reversed(range(doublings))]
        make_norm = norm_of(norm)
        layers: list[nn.Module] = [nn.Linear(nz, widths[0] * 16), nn.Unflatten(1, (widths[0], 4, 4))]
        layers += [make_norm(widths[0]), nn.LeakyReLU(0.2)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 5, 2, 2, 1), make_norm(after), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], out_channels, 5, 2, 2, 1), nn.Tanh())

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        images: Tensor = self.model(z)
        return images


@CRITICS.register("coopnets")
class CoopDescriptor(Critic):
    """Convolutions 5 x 5, 3 x 3 (stride 2 each) and 3 x 3, leaky ReLU, and a linear layer whose outputs add up."""

    options: ClassVar[Sequence[Option]] = (NDF, *INITIAL)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int, classes: int) -> Self:
        no_classes(classes, "--netD coopnets")
        net = cls(in_channels, opt.crop_size, opt.ndf)
        initialized(net, opt)
        return net

    def __init__(self, in_channels: int, size: int, ndf: int = 64) -> None:
        super().__init__()
        self.classes, self.min_size = 0, size
        side = math.ceil(math.ceil(size / 2) / 2)  # after two strides
        layers: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 5, 2, 2), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(ndf, 2 * ndf, 3, 2, 1), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(2 * ndf, 4 * ndf, 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten()]
        self.body, self.last = nn.Sequential(*layers), nn.Linear(4 * ndf * side**2, OUTPUTS)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        scores: Tensor = self.last(self.body(x)).sum(1)
        return scores.view(-1, 1, 1, 1)

    @property
    def score_bias(self) -> nn.Parameter | None:
        return None  # its last biases add up
