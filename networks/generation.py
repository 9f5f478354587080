"""What the networks of images from noise share: options, sizes, norms."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from coopcut.networks.layers import init_weights
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError

NZ = Option("nz", 100, "size of the noise", low=1, high=65536, fixed=True)
NGF = Option("ngf", 64, "width of the generator: channels of its last layer but one", low=1, high=65536, fixed=True)
NDF = Option("ndf", 64, "width of the discriminator: channels after its first layer", low=1, high=65536, fixed=True)
NORM_G = Option("normG", "batch", "norm of the generator", ("batch", "none"), fixed=True)
NORM_D = Option("normD", "batch", "norm of the discriminator", ("batch", "spectral", "none"), fixed=True)
INITIAL = (
    Option("init_type", "normal", "initial weights", ("normal", "xavier", "kaiming", "orthogonal"), fixed=True),
    Option("init_gain", 0.02, "scale of the initial weights (normal: standard deviation)", above=0, fixed=True),
)
WIDEST = 8  # times ngf or ndf


def start_of(size: int, network: str, starts: tuple[int, ...] = (4, 5, 6, 7)) -> tuple[int, int]:
    """(s, k) with size = s * 2^k, s one of `starts` and k at least 1. Raises `OptionError` for other sizes."""
    for start in starts:
        doublings = (size // start).bit_length() - 1
        if doublings > 0 and start << doublings == size:
            return start, doublings
    near = sorted({s << k for s in starts for k in range(1, 9)}, key=lambda known: abs(known - size))[:4]
    raise OptionError(
        f"--crop_size {size}: {network} makes images of {', '.join(map(str, sorted(near)))} pixels, for example"
    )


def no_classes(classes: int, network: str) -> None:
    """Raise `OptionError` if there are any."""
    if classes:
        raise OptionError(f"{network} takes no classes: leave --conditional out, or choose another network")


def initialized(net: nn.Module, opt: Options) -> None:
    """Fill `net` as --init_type says."""
    init_weights(net, opt.init_type, opt.init_gain)


def norm_of(name: str) -> Callable[[int], nn.Module]:
    """The layer that --normG or --normD adds after a convolution of so many channels."""
    return nn.BatchNorm2d if name == "batch" else lambda channels: nn.Identity()


def normed(layer: nn.Module, name: str) -> nn.Module:
    """`layer`, its weight divided by its largest singular value if the norm is `spectral` (Miyato et al. 2018)."""
    return spectral_norm(layer) if name == "spectral" else layer


class Projected(nn.Module):
    """Features [B, C] -> scores [B, 1, 1, 1]; with classes + <embedding of y, features> (Miyato and Koyama 2018)."""

    def __init__(self, channels: int, classes: int, norm: str = "none") -> None:
        super().__init__()
        self.last = normed(nn.Linear(channels, 1), norm)
        self.embedding = normed(nn.Embedding(classes, channels), norm) if classes else None

    def forward(self, features: Tensor, y: Tensor | None) -> Tensor:
        scores: Tensor = self.last(features)
        if self.embedding is not None:
            scores = scores + (self.embedding(told(y)) * features).sum(1, keepdim=True)
        return scores[:, :, None, None]


def one_hot(z: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """[B, nz] and classes [B] -> [B, nz + classes]; `z` itself without classes."""
    if not classes:
        return z
    return torch.cat([z, nn.functional.one_hot(told(y), classes).to(z)], dim=1)


def told(y: Tensor | None) -> Tensor:
    """The classes y [B]. Raises `ValueError` if there are none."""
    if y is None:
        raise ValueError("a conditional network needs the classes y")
    return y
