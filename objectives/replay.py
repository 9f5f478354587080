"""A buffer of revised batches, so that not every step has to revise."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Replay:
    """The last `size` revised batches [B, C, H, W]."""

    def __init__(self, size: int) -> None:
        self.batches: deque[Tensor] = deque(maxlen=size)

    def add(self, images: Tensor) -> None:
        """Keep a batch; the oldest goes if there are too many."""
        self.batches.append(images.clone())

    def draw(self, like: Tensor, generator: torch.Generator) -> Tensor | None:
        """As many images as `like` has, of one batch at random; None if no batch fits its shape."""
        fitting = [batch for batch in self.batches if len(batch) >= len(like) and batch.shape[1:] == like.shape[1:]]
        if not fitting:
            return None
        return fitting[int(torch.randint(len(fitting), (), generator=generator))][: len(like)]

    def state_dict(self) -> list[Tensor]:
        """The batches, on the CPU, the oldest first."""
        return [batch.cpu() for batch in self.batches]

    def load_state_dict(self, batches: Sequence[Any], device: torch.device) -> None:
        """Put `batches` back."""
        self.batches.clear()
        self.batches.extend(batch.to(device) for batch in batches)
