"""Networks of points in the plane, three hidden layers each."""

from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor, nn

from coopcut.networks.contract import Critic, NoiseGenerator
from coopcut.networks.generation import NZ, no_classes
from coopcut.networks.registry import CRITICS, NOISE_GENERATORS
from coopcut.options.option import Option, Options

WIDTH = Option("mlp_width", 64, "width of the hidden layers", low=1, high=65536, fixed=True)


def hidden(inputs: int, width: int) -> nn.Sequential:
    """[B, inputs] -> [B, width]."""
    layers = [(nn.Linear(before, width), nn.ReLU()) for before in (inputs, width, width)]
    return nn.Sequential(*(module for layer in layers for module in layer))


@NOISE_GENERATORS.register("mlp")
class PointGenerator(NoiseGenerator):
    """Noise [B, nz] -> points [B, out_channels, 1, 1], of any value, with torch's initial weights."""

    options: ClassVar[Sequence[Option]] = (NZ, WIDTH)
    size = 1

    @classmethod
    def from_options(cls, opt: Options, out_channels: int, classes: int) -> Self:
        no_classes(classes, "--netG mlp")
        return cls(opt.nz, opt.mlp_width, out_channels)

    def __init__(self, nz: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.nz, self.classes = nz, 0
        self.body, self.last = hidden(nz, width), nn.Linear(width, out_channels)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        points: Tensor = self.last(self.body(z))
        return points[:, :, None, None]


@CRITICS.register("mlp")
class PointCritic(Critic):
    """Points [B, in_channels, 1, 1] -> scores [B, 1, 1, 1], with torch's initial weights."""

    options: ClassVar[Sequence[Option]] = (WIDTH,)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int, classes: int) -> Self:
        no_classes(classes, "--netD mlp")
        return cls(in_channels, opt.mlp_width)

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.classes = 0
        self.body, self.last = hidden(in_channels, width), nn.Linear(width, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        scores: Tensor = self.last(self.body(x.flatten(1)))
        return scores[:, :, None, None]

    @property
    def score_bias(self) -> nn.Parameter | None:
        return self.last.bias
