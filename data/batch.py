"""What travels from the image files to the method: `SampleIndex` -> `Sample` (or `Failure`) -> `Batch`.

A is the source and B the target of the translation everywhere, whatever `--direction` says of the folders.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from coopcut.engine.processes.shard import Shard


@dataclass(frozen=True)
class SampleIndex:
    """Which images one sample is made of, and at which place of which epoch: all that its randomness depends on."""

    epoch: int
    position: int  # within the epoch, from 0
    A: int  # index in the data set's paths_A
    B: int | None  # index in paths_B; None if there is no domain B


@dataclass(frozen=True)
class Sample:
    """One source image, and one target image if there is a domain B."""

    A: Tensor  # [input_nc, H, W], float32 in [-1, 1]
    B: Tensor | None  # [output_nc, H', W'], float32 in [-1, 1]
    A_path: str
    B_path: str | None

    def named(self) -> dict[str, tuple[Tensor, str]]:
        """The tensors of a batch that this is a part of, each with its file."""
        found = {"A": (self.A, self.A_path)}
        return found if self.B is None or self.B_path is None else found | {"B": (self.B, self.B_path)}


@dataclass(frozen=True)
class Picture:
    """An image that a generator learns from, and its class, if it is told."""

    image: Tensor  # [output_nc, H, W], float32 in [-1, 1]
    path: str
    label: int | None = None

    def named(self) -> dict[str, tuple[Tensor, str]]:
        """The tensors of a batch that this is a part of, each with its file: B, and label [] if there is one."""
        found = {"B": (self.image, self.path)}
        return found if self.label is None else found | {"label": (torch.tensor(self.label), self.path)}


@dataclass(frozen=True)
class Failure:
    """An image that cannot be used, returned as a value so that the other samples are still read."""

    path: str
    message: str  # one line that names the file


@dataclass(frozen=True)
class Batch:
    """Images by the name of their domain: A, B, or both; for generators that are told classes label, too.

    tensors: [N, C, H, W] each, float32 in [-1, 1]; label: [N], int64. paths: the N files of each. shard: which
    samples of the step's batch these are.
    """

    tensors: dict[str, Tensor]
    paths: dict[str, list[str]]
    shard: Shard

    @classmethod
    def whole(cls, tensors: dict[str, Tensor], paths: dict[str, list[str]]) -> "Batch":
        """All samples of a step."""
        return cls(tensors, paths, Shard.whole(len(next(iter(tensors.values())))))

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def samples(self) -> int:
        """Samples of the whole batch, those of other processes included."""
        return self.shard.total

    def part(self, start: int, stop: int) -> "Batch":
        """The samples `start` to `stop` of these, by themselves: their shard is not known here."""
        tensors = {name: images[start:stop] for name, images in self.tensors.items()}
        return Batch.whole(tensors, {name: paths[start:stop] for name, paths in self.paths.items()})

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`; from pinned memory the copy runs beside the computation."""
        return self._each(lambda images: images.to(device, non_blocking=images.is_pinned()))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, for a faster copy to a CUDA device (which must exist)."""
        return self._each(Tensor.pin_memory)

    def _each(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(self, tensors={name: function(images) for name, images in self.tensors.items()})
