"""A step in several passes over parts of its batch, whose gradients add up (--accumulation_steps): less memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coopcut.engine.processes.shard import Shard
from coopcut.options.option import Options
from coopcut.sampling.langevin import Revision
from coopcut.util.errors import OptionError


@dataclass
class Pass:
    """A part of a batch, and what a step has made of it so far.

    real_A, real_B: images [b, C, H, W]. share: which samples of the whole batch they are. weight: that of a mean over
    the part in the mean over the batch of this process; the weights of all passes sum to 1.
    """

    real_A: Tensor
    real_B: Tensor
    share: Shard
    weight: float
    forward: Any = None  # the generator's outputs with their graph; None: to be computed again
    fake_B: Tensor | None = None  # [b, C, H, W], no gradient
    shown_B: Tensor | None = None  # what D is shown as fake: `fake_B`, or older ones from the image pool
    idt_B: Tensor | None = None
    revision: Revision | None = None


def check_passes(opt: Options) -> None:
    """Raise `OptionError` for what passes would change, and for more passes than a batch has images."""
    if not opt.isTrain or opt.accumulation_steps == 1:
        return
    if opt.accumulation_steps > opt.batch_size:
        raise OptionError(
            f"--accumulation_steps {opt.accumulation_steps} is more than the images of --batch_size {opt.batch_size}: "
            "lower the one or raise the other"
        )
    if not opt.no_dropout:
        raise OptionError("--accumulation_steps: dropout would differ from pass to pass; leave --no_dropout as it is")
    if opt.nce_includes_all_negatives_from_minibatch:
        raise OptionError(
            "--accumulation_steps: the negatives of --nce_includes_all_negatives_from_minibatch would be those of a "
            "pass; use one of the two"
        )
    if "batch" in (opt.normG, opt.normD):
        raise OptionError(
            "--accumulation_steps: batch norm would take the statistics of a pass; use --normG instance and --normD "
            "instance"
        )


def divide(batch: Any, share: Shard, number: int) -> list[Pass]:
    """The batch (or `share` of one) in up to `number` passes of equally many samples, the last perhaps fewer."""
    total = len(batch.A)
    parts = [part for part in (Shard.of(total, i, number) for i in range(number)) if part.counted]
    return [
        Pass(batch.A[part.start : part.stop], batch.B[part.start : part.stop], part.within(share), part.weight)
        for part in parts
    ]


def joined(parts: Sequence[Tensor | None]) -> Tensor:
    """[b, ...] of every pass -> [B, ...]."""
    tensors = [part for part in parts if part is not None]
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
