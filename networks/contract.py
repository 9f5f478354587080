"""What a network must say of itself, by its kind. A registry holds classes of one kind: mypy finds what one lacks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

from torch import Tensor, nn

from coopcut.options.option import Option, Options


class Generator(nn.Module, ABC):
    """Images [B, in_channels, H, W] in [-1, 1] -> images [B, out_channels, H, W] in [-1, 1]."""

    options: ClassVar[Sequence[Option]] = ()
    multiple: ClassVar[int] = 1  # of which H and W must be multiples
    min_size: ClassVar[int] = 1  # pixels of H and W
    in_channels: int

    @classmethod
    @abstractmethod
    def from_options(cls, opt: Options, in_channels: int, out_channels: int) -> Self:
        """The network that `opt` describes, with initial weights."""

    @property
    @abstractmethod
    def taps(self) -> Sequence[nn.Module]:
        """The modules whose outputs [B, C, h, w] --nce_layers names by their number, in the order they run."""


class Discriminator(nn.Module, ABC):
    """Images [B, in_channels, H, W] in [-1, 1] -> scores [B, 1, h, w], one for each patch."""

    options: ClassVar[Sequence[Option]] = ()
    min_size: int = 1  # pixels of H and W

    @classmethod
    @abstractmethod
    def from_options(cls, opt: Options, in_channels: int) -> Self:
        """The network that `opt` describes, with initial weights."""

    @property
    @abstractmethod
    def score_bias(self) -> nn.Parameter | None:
        """The last bias, which shifts all scores; None if there is none."""


class Projection(nn.Module, ABC):
    """Feature vectors [B, P_l, C_l] of each layer l -> unit vectors [B, P_l, C]."""

    options: ClassVar[Sequence[Option]] = ()

    @classmethod
    @abstractmethod
    def from_options(cls, opt: Options, channels: Sequence[int]) -> Self:
        """The network that `opt` describes for features of these channels, with initial weights."""

    @abstractmethod
    def forward(self, patches: Sequence[Tensor]) -> list[Tensor]: ...
