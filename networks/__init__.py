"""Networks by name, complete and initialised when constructed. One architecture per file; no losses in here."""

from torch import nn

from coopcut.networks.layers import init_weights
from coopcut.networks.registry import DISCRIMINATORS, GENERATORS, PROJECTIONS
from coopcut.options.option import Options
from coopcut.util.errors import OptionError
from coopcut.util.registry import import_submodules

import_submodules("coopcut.networks")

__all__ = ["DISCRIMINATORS", "GENERATORS", "PROJECTIONS", "create_D", "create_F", "create_G", "nce_layers"]


def create_G(opt: Options) -> nn.Module:
    """The generator that `opt` describes, with initial weights."""
    net = GENERATORS[opt.netG](
        input_nc=opt.input_nc,
        output_nc=opt.output_nc,
        ngf=opt.ngf,
        norm=opt.normG,
        dropout=not opt.no_dropout,
        antialias_down=not opt.no_antialias,
        antialias_up=not opt.no_antialias_up,
    )
    init_weights(net, opt.init_type, opt.init_gain)
    return net


def create_D(opt: Options) -> nn.Module:
    """The discriminator of target images that `opt` describes, with initial weights."""
    net = DISCRIMINATORS[opt.netD](
        input_nc=opt.output_nc,
        ndf=opt.ndf,
        n_layers=opt.n_layers_D,
        norm=opt.normD,
        antialias=not opt.no_antialias,
    )
    init_weights(net, opt.init_type, opt.init_gain)
    return net


def nce_layers(opt: Options) -> list[int]:
    """`--nce_layers` as sorted numbers. Raises `OptionError` for anything else than distinct numbers with commas."""
    try:
        layers = [int(text) for text in opt.nce_layers.split(",")]
    except ValueError:
        raise OptionError(
            f"--nce_layers {opt.nce_layers}: write layer numbers with commas, as in 0,4,8,12,16"
        ) from None
    if len(set(layers)) < len(layers) or min(layers) < 0:
        raise OptionError(f"--nce_layers {opt.nce_layers}: the numbers must differ and not be negative")
    return sorted(layers)


def create_F(opt: Options, generator: nn.Module) -> nn.Module:
    """The patch projection for the features of `generator`. Raises `OptionError` if it lacks one of the layers."""
    layers = nce_layers(opt)
    channels = generator.feature_channels
    if layers[-1] >= len(channels):  # type: ignore[arg-type]
        raise OptionError(
            f"--nce_layers {opt.nce_layers}: --netG {opt.netG} has the layers 0 to {len(channels) - 1}"  # type: ignore[arg-type]
        )
    net = PROJECTIONS[opt.netF](channels=[channels[i] for i in layers], nc=opt.netF_nc)  # type: ignore[index]
    init_weights(net, opt.init_type, opt.init_gain)
    return net
