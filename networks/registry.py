"""Where the networks register: a new architecture is one file with a decorator and becomes a choice of `--netG` etc."""

from collections.abc import Callable

from torch import nn

from coopcut.util.registry import Registry

GENERATORS: Registry[Callable[..., nn.Module]] = Registry("generator")
DISCRIMINATORS: Registry[Callable[..., nn.Module]] = Registry("discriminator")
PROJECTIONS: Registry[Callable[..., nn.Module]] = Registry("patch projection")
