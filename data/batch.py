"""What travels from the image files to the model: `Draw` -> `Sample` (or `Failure`) -> `Batch`.

A is the source and B the target of the translation everywhere, whatever `--direction` says of the folders.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from coopcut.engine.processes.shard import Shard


@dataclass(frozen=True)
class Draw:
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


@dataclass(frozen=True)
class Failure:
    """An image that cannot be used, as a value: the samples beside it are read all the same."""

    path: str
    message: str  # one line that names the file


@dataclass(frozen=True)
class Batch:
    """Source images, and as many target images unless there is no domain B."""

    A: Tensor  # [N, input_nc, H, W], float32 in [-1, 1]
    B: Tensor | None  # [N, output_nc, H', W'], float32 in [-1, 1]
    A_paths: list[str]
    B_paths: list[str]  # empty without a domain B
    share: Shard | None = None  # which part of the step's batch this is; None: all of it

    def __len__(self) -> int:
        return self.A.shape[0]

    @property
    def samples(self) -> int:
        """Samples of the whole batch, those of other processes included."""
        return self.share.total if self.share else len(self)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`; from pinned memory the copy runs beside the computation."""
        pinned = self.A.is_pinned()
        A = self.A.to(device, non_blocking=pinned)
        B = None if self.B is None else self.B.to(device, non_blocking=pinned)
        return replace(self, A=A, B=B)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, for a faster copy to a CUDA device (which must exist)."""
        B = None if self.B is None else self.B.pin_memory()
        return replace(self, A=self.A.pin_memory(), B=B)
