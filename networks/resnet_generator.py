"""The residual generator of Johnson et al. 2016 as CUT uses it, with CUT's parameter names (`model.<i>...`)."""

from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor, nn

from coopcut.networks.blur import Downsample, Upsample
from coopcut.networks.contract import Generator
from coopcut.networks.layers import ANTIALIAS, INITIAL, NORMS, has_bias, init_weights, norm_layer
from coopcut.networks.registry import GENERATORS
from coopcut.networks.sequence import Layers
from coopcut.options.option import Option, Options

NGF = Option("ngf", 64, "width of the generator: channels after its first convolution", low=1, high=65536, fixed=True)
NORM_G = Option("normG", "instance", "norm of the generator", NORMS, fixed=True)


class ResnetBlock(nn.Module):
    """x + conv_block(x), two 3x3 convolutions with reflection padding: [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        block: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        block += [norm_layer(norm)(channels), nn.ReLU()]
        if dropout:
            block += [nn.Dropout(0.5)]
        block += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm_layer(norm)(channels)]
        self.conv_block = Layers(*block)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.conv_block(x)
        return result


class ResnetGenerator(Generator):
    """7x7 convolution, two downsamplings, `n_blocks` residual blocks, two upsamplings, 7x7 convolution, tanh.

    Images [B, in_channels, H, W] in [-1, 1] -> [B, out_channels, H, W] in [-1, 1]; H and W multiples of 4, at least 16.
    """

    n_blocks: ClassVar[int]
    multiple = 4
    min_size = 16  # reflection padding needs some pixels at a quarter of the size
    options = (
        NGF,
        NORM_G,
        Option("no_dropout", True, "no dropout in the generator", fixed=True),
        ANTIALIAS,
        Option("no_antialias_up", False, "transposed convolutions instead of antialiased upsampling", fixed=True),
        *INITIAL,
    )

    @classmethod
    def from_options(cls, opt: Options, in_channels: int, out_channels: int) -> Self:
        net = cls(
            in_channels,
            out_channels,
            ngf=opt.ngf,
            norm=opt.normG,
            dropout=not opt.no_dropout,
            antialias=(not opt.no_antialias, not opt.no_antialias_up),
        )
        init_weights(net, opt.init_type, opt.init_gain)
        return net

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int = 64,
        norm: str = "instance",
        dropout: bool = False,
        antialias: tuple[bool, bool] = (True, True),
    ) -> None:
        """antialias: in downsampling and in upsampling."""
        super().__init__()
        self.in_channels = in_channels
        make_norm, bias = norm_layer(norm), has_bias(norm)
        antialias_down, antialias_up = antialias
        model: list[nn.Module] = [nn.ReflectionPad2d(3)]
        model += [nn.Conv2d(in_channels, ngf, 7, bias=bias), make_norm(ngf), nn.ReLU()]
        for nc in (ngf, 2 * ngf):
            stride = 1 if antialias_down else 2
            model += [nn.Conv2d(nc, 2 * nc, 3, stride, padding=1, bias=bias), make_norm(2 * nc), nn.ReLU()]
            model += [Downsample(2 * nc)] if antialias_down else []
        model += [ResnetBlock(4 * ngf, norm, dropout) for _ in range(self.n_blocks)]
        for nc in (4 * ngf, 2 * ngf):
            if antialias_up:
                model += [Upsample(nc), nn.Conv2d(nc, nc // 2, 3, padding=1, bias=bias)]
            else:
                model += [nn.ConvTranspose2d(nc, nc // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)]
            model += [make_norm(nc // 2), nn.ReLU()]
        model += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh()]
        self.model = Layers(*model)

    @property
    def taps(self) -> Sequence[nn.Module]:
        return list(self.model)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.model(x)
        return result


@GENERATORS.register("resnet_9blocks")
class Resnet9(ResnetGenerator):
    """With 9 residual blocks, CUT's choice for 256 pixels."""

    n_blocks = 9


@GENERATORS.register("resnet_6blocks")
class Resnet6(ResnetGenerator):
    """With 6 residual blocks, CycleGAN's choice for 128 pixels."""

    n_blocks = 6


@GENERATORS.register("resnet_4blocks")
class Resnet4(ResnetGenerator):
    """With 4 residual blocks."""

    n_blocks = 4
