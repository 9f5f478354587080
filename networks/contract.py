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


class NoiseGenerator(nn.Module, ABC):
    """Noise [B, nz], standard normal -> images [B, out_channels, size, size] in [-1, 1].

    classes: with a number above 0 it is conditional, and y [B] holds the class of each image, from 0. A generator of
    points makes [B, out_channels, 1, 1] of any value.
    """

    options: ClassVar[Sequence[Option]] = ()
    truncates: ClassVar[bool] = False  # whether forward takes a truncation of its latent space
    invertible: ClassVar[bool] = True  # whether an image has a gradient with respect to its noise
    nz: int
    size: int  # pixels of the height and width that it makes
    classes: int

    @classmethod
    @abstractmethod
    def from_options(cls, opt: Options, out_channels: int, classes: int) -> Self:
        """The network that `opt` describes, for images of --crop_size pixels, with initial weights.

        Raises `OptionError` for a size or a number of classes that it cannot have.
        """

    @abstractmethod
    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor: ...


class Critic(nn.Module, ABC):
    """Images [B, in_channels, size, size] in [-1, 1] (and their classes y [B]) -> a score for each, [B, 1, 1, 1]."""

    options: ClassVar[Sequence[Option]] = ()
    min_size: int = 1  # pixels of H and W
    sees_batch = False  # whether the score of an image depends on the others of its batch
    classes: int

    @classmethod
    @abstractmethod
    def from_options(cls, opt: Options, in_channels: int, classes: int) -> Self:
        """The network that `opt` describes, for images of --crop_size pixels, with initial weights."""

    @property
    @abstractmethod
    def score_bias(self) -> nn.Parameter | None:
        """The last bias, which shifts all scores; None if there is none."""

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor: ...


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
