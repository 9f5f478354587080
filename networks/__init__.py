"""Networks by name, complete and initialized when made. One architecture per file; no losses in here."""

from collections.abc import Sequence

from coopcut.networks.contract import Critic, Discriminator, Generator, NoiseGenerator, Projection
from coopcut.networks.registry import CRITICS, DISCRIMINATORS, GENERATORS, NOISE_GENERATORS, PROJECTIONS
from coopcut.options.option import Option, Options
from coopcut.util.registry import import_submodules

import_submodules("coopcut.networks")

NET_G = Option("netG", "resnet_9blocks", "generator", registry=GENERATORS, fixed=True)
NET_D = Option("netD", "basic", "discriminator: basic is a 70x70 PatchGAN", registry=DISCRIMINATORS, fixed=True)
NET_F = Option("netF", "mlp_sample", "projection of the features", registry=PROJECTIONS, fixed=True)

NET_NOISE_G = Option("netG", "dcgan", "generator of noise", registry=NOISE_GENERATORS, fixed=True)
NET_CRITIC = Option("netD", "dcgan", "discriminator of whole images", registry=CRITICS, fixed=True)

__all__ = [
    "NET_CRITIC",
    "NET_D",
    "NET_F",
    "NET_G",
    "NET_NOISE_G",
    "create_D",
    "create_F",
    "create_G",
    "create_critic",
    "create_noise_G",
]


def create_G(opt: Options, in_channels: int, out_channels: int) -> Generator:
    """The generator that `opt` describes, with initial weights."""
    return GENERATORS[opt.netG].from_options(opt, in_channels, out_channels)


def create_D(opt: Options, in_channels: int) -> Discriminator:
    """The discriminator that `opt` describes, with initial weights."""
    return DISCRIMINATORS[opt.netD].from_options(opt, in_channels)


def create_F(opt: Options, channels: Sequence[int]) -> Projection:
    """The projection of features with these channels that `opt` describes, with initial weights."""
    return PROJECTIONS[opt.netF].from_options(opt, channels)


def create_noise_G(opt: Options, out_channels: int, classes: int) -> NoiseGenerator:
    """The generator of noise that `opt` describes, with initial weights."""
    return NOISE_GENERATORS[opt.netG].from_options(opt, out_channels, classes)


def create_critic(opt: Options, in_channels: int, classes: int) -> Critic:
    """The discriminator of whole images that `opt` describes, with initial weights."""
    return CRITICS[opt.netD].from_options(opt, in_channels, classes)
