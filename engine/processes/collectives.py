"""What several processes (torchrun) compute together: sums, means and batches of which each has its share.

In a process that is alone these functions do nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from coopcut.engine.processes.shard import Shard
from coopcut.util.errors import PeerError, first_line


def world_size() -> int:
    """The number of processes that work as one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def guarded(exchange: Callable[[], Any]) -> None:
    """Call `exchange`; the failure of a process at the other end is a `PeerError`."""
    try:
        exchange()
    except RuntimeError as error:
        raise PeerError(
            f"another process of this run ended or is not responding ({first_line(error)}): saved files are "
            "unchanged; resume with --continue_train"
        ) from None


def sum_gradients(parameters: Iterable[nn.Parameter], shard: Shard) -> None:
    """Replace gradients of means over a share by those of the mean over the batch: one exchange for all of them."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients]) * shard.weight
    guarded(lambda: dist.all_reduce(flat))
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])


def mean_over_processes(values: Mapping[str, Tensor], shard: Shard) -> dict[str, Tensor]:
    """Scalars that are means over a share -> means over the batch."""
    if world_size() == 1:
        return dict(values)
    flat = torch.stack([value.detach().float().reshape(()) for value in values.values()]) * shard.weight
    guarded(lambda: dist.all_reduce(flat))
    return dict(zip(values, flat.unbind(), strict=True))


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum of `value` over all processes."""
    if world_size() > 1:
        value = value.clone()
        guarded(lambda: dist.all_reduce(value))
    return value


def gather(part: Tensor, shard: Shard) -> Tensor:
    """[share, ...] -> [shard.total, ...]: the batch of which every process has its share, without gradient."""
    if world_size() == 1:
        return part
    rows = -(-shard.total // world_size())
    sent = part.detach().new_zeros((rows, *part.shape[1:]))
    sent[: shard.counted] = part[: shard.counted]
    everyone = [torch.empty_like(sent) for _ in range(world_size())]
    guarded(lambda: dist.all_gather(everyone, sent))
    return torch.cat(everyone)[: shard.total]


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite `tensors` by those of process 0."""
    if world_size() > 1:
        for tensor in tensors:
            guarded(lambda tensor=tensor: dist.broadcast(tensor, 0))  # type: ignore[misc]
