"""Patch discriminators (Isola et al. 2017): maps of scores, one for each patch, with CUT's parameter names."""

from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor, nn

from coopcut.networks.blur import Downsample
from coopcut.networks.contract import Discriminator
from coopcut.networks.layers import ANTIALIAS, INITIAL, NORMS, has_bias, init_weights, norm_layer
from coopcut.networks.registry import DISCRIMINATORS
from coopcut.options.option import Option, Options

NDF = Option(
    "ndf", 64, "width of the discriminator: channels after its first convolution", low=1, high=65536, fixed=True
)
NORM_D = Option("normD", "instance", "norm of the discriminator", NORMS, fixed=True)
N_LAYERS = Option("n_layers_D", 3, "layers of the discriminator, for --netD n_layers", low=1, high=6, fixed=True)


@DISCRIMINATORS.register("n_layers")
class NLayerDiscriminator(Discriminator):
    """PatchGAN: [B, in_channels, H, W] -> [B, 1, h, w]; with 3 layers each score sees 70x70 pixels, 256 px give 30x30.

    With f the map of scores, E = -f is the energy of the cooperative start. H and W must be at least 2^(n_layers + 2).
    """

    options: ClassVar[Sequence[Option]] = (NDF, N_LAYERS, NORM_D, ANTIALIAS, *INITIAL)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int) -> Self:
        net = cls(in_channels, opt.ndf, cls.layers(opt), opt.normD, not opt.no_antialias)
        init_weights(net, opt.init_type, opt.init_gain)
        return net

    @classmethod
    def layers(cls, opt: Options) -> int:
        """How many layers the options ask for."""
        return int(opt.n_layers_D)

    def __init__(
        self, in_channels: int, ndf: int = 64, n_layers: int = 3, norm: str = "instance", antialias: bool = True
    ) -> None:
        super().__init__()
        self.min_size = 2 ** (n_layers + 2)
        make_norm, bias = norm_layer(norm), has_bias(norm)
        stride = 1 if antialias else 2
        model: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, stride, padding=1), nn.LeakyReLU(0.2)]
        model += [Downsample(ndf)] if antialias else []
        nc = ndf
        for layer in range(1, n_layers + 1):
            previous, nc = nc, ndf * min(2**layer, 8)
            last = layer == n_layers
            model += [nn.Conv2d(previous, nc, 4, 1 if last else stride, padding=1, bias=bias)]
            model += [make_norm(nc), nn.LeakyReLU(0.2)]
            model += [Downsample(nc)] if antialias and not last else []
        model += [nn.Conv2d(nc, 1, 4, padding=1)]
        self.model = nn.Sequential(*model)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.model(x)
        return result

    @property
    def score_bias(self) -> nn.Parameter | None:
        return self.model[-1].bias  # type: ignore[return-value]


@DISCRIMINATORS.register("basic")
class BasicDiscriminator(NLayerDiscriminator):
    """The 70x70 PatchGAN."""

    options: ClassVar[Sequence[Option]] = (NDF, NORM_D, ANTIALIAS, *INITIAL)

    @classmethod
    def layers(cls, opt: Options) -> int:
        return 3


@DISCRIMINATORS.register("pixel")
class PixelDiscriminator(Discriminator):
    """1x1 PatchGAN: judges single colors. [B, in_channels, H, W] -> [B, 1, H, W]."""

    options: ClassVar[Sequence[Option]] = (NDF, NORM_D, *INITIAL)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int) -> Self:
        net = cls(in_channels, opt.ndf, opt.normD)
        init_weights(net, opt.init_type, opt.init_gain)
        return net

    def __init__(self, in_channels: int, ndf: int = 64, norm: str = "instance") -> None:
        super().__init__()
        bias = has_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_layer(norm)(2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x)
        return result

    @property
    def score_bias(self) -> nn.Parameter | None:
        return self.net[-1].bias  # type: ignore[return-value]
