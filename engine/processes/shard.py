"""The part of a batch that one process, or one pass of it, works on; random numbers are drawn for the whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shard:
    """Samples `start` to `stop` of a batch of `total`.

    counted: how many of them count. It is 0 where a small last batch has fewer samples than there are parts: the part
    then computes the last sample along with the others, so that all do the same, and its gradient has weight 0.
    """

    start: int
    stop: int
    total: int
    counted: int

    @classmethod
    def whole(cls, total: int) -> "Shard":
        """All of a batch."""
        return cls(0, total, total, total)

    @classmethod
    def of(cls, total: int, part: int, parts: int) -> "Shard":
        """Part number `part` (from 0) of `parts`: equally large ones, as far as the samples reach."""
        size = -(-total // parts)
        start, stop = part * size, min((part + 1) * size, total)
        return cls(start, stop, total, stop - start) if start < stop else cls(total - 1, total, total, 0)

    @property
    def weight(self) -> float:
        """The weight of a mean over this share in the mean over the batch; they sum to 1."""
        return self.counted / self.total

    def within(self, outer: "Shard") -> "Shard":
        """This share of the samples of `outer`, as a share of the batch that `outer` is from."""
        counted = min(self.counted, outer.counted)
        return Shard(outer.start + self.start, outer.start + self.stop, outer.total, counted)

    def randn(self, shape: Sequence[int], generator: torch.Generator | None, device: torch.device) -> Tensor:
        """Normal numbers [B, ...] for this share: the same for a sample, however the batch is divided."""
        return torch.randn((self.total, *shape[1:]), generator=generator, device=device)[self.start : self.stop]

    def rand(self, shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
        """Uniform numbers [B, ...] in [0, 1) for this share, as in `randn`."""
        return torch.rand((self.total, *shape[1:]), generator=generator, device=device)[self.start : self.stop]
