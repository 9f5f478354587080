"""Where the networks register: a new architecture is one file with a decorator and becomes a choice of `--netG` etc."""

from coopcut.networks.contract import Critic, Discriminator, Generator, NoiseGenerator, Projection
from coopcut.util.registry import Registry

GENERATORS: Registry[type[Generator]] = Registry("generator")
DISCRIMINATORS: Registry[type[Discriminator]] = Registry("discriminator")
PROJECTIONS: Registry[type[Projection]] = Registry("patch projection")
NOISE_GENERATORS: Registry[type[NoiseGenerator]] = Registry("generator of noise")
CRITICS: Registry[type[Critic]] = Registry("discriminator of whole images")
