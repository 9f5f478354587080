"""Patch discriminators (Isola et al. 2017): maps of scores, one for each patch, with CUT's parameter names."""

from functools import partial

from torch import Tensor, nn

from coopcut.networks.blur import Downsample
from coopcut.networks.layers import has_bias, norm_layer
from coopcut.networks.registry import DISCRIMINATORS


class NLayerDiscriminator(nn.Module):
    """PatchGAN: [B, input_nc, H, W] -> [B, 1, h, w]; with 3 layers each score sees 70x70 pixels, 256 px give 30x30.

    With f the map of scores, E = -f is the energy of `coopcut`. H and W must be at least 2^(n_layers + 2).
    """

    def __init__(
        self, input_nc: int, ndf: int = 64, n_layers: int = 3, norm: str = "instance", antialias: bool = True
    ) -> None:
        super().__init__()
        self.min_size = 2 ** (n_layers + 2)
        make_norm, bias = norm_layer(norm), has_bias(norm)
        stride = 1 if antialias else 2
        model: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 4, stride, padding=1), nn.LeakyReLU(0.2)]
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
        return self.model(x)

    @property
    def last(self) -> nn.Conv2d:
        """The convolution that gives the scores; its bias shifts all of them."""
        return self.model[-1]  # type: ignore[return-value]


class PixelDiscriminator(nn.Module):
    """1x1 PatchGAN: judges single colours. [B, input_nc, H, W] -> [B, 1, H, W]."""

    min_size = 1

    def __init__(self, input_nc: int, ndf: int = 64, norm: str = "instance") -> None:
        super().__init__()
        bias = has_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_layer(norm)(2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    @property
    def last(self) -> nn.Conv2d:
        """The convolution that gives the scores."""
        return self.net[-1]  # type: ignore[return-value]


@DISCRIMINATORS.register("basic")
def basic(n_layers: int, **keywords: object) -> nn.Module:
    """The 70x70 PatchGAN, whatever `n_layers` is."""
    return NLayerDiscriminator(n_layers=3, **keywords)  # type: ignore[arg-type]


@DISCRIMINATORS.register("pixel")
def pixel(n_layers: int, antialias: bool, **keywords: object) -> nn.Module:
    """Has no layers to choose and no resampling to antialias."""
    return PixelDiscriminator(**keywords)  # type: ignore[arg-type]


DISCRIMINATORS.register("n_layers")(partial(NLayerDiscriminator))
