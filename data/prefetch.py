"""Batches brought to the device while it still computes the step before."""

from collections.abc import Iterable, Iterator
from functools import cache

import torch

from coopcut.data.batch import Batch


class CopyStream:
    """A CUDA stream of its own for copies, so that they run beside the kernels of a step instead of between two."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)

    def start(self, batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        """Queue the copy; the event is when it is done."""
        with torch.cuda.stream(self._stream):
            return batch.to(self.device), self._stream.record_event()

    def finish(self, batch: Batch, copied: torch.cuda.Event) -> Batch:
        """Let the stream of the computation wait for it, not the host; the memory then belongs to that stream too."""
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(copied)
        for images in batch.tensors.values():
            images.record_stream(computing)
        return batch


@cache
def _stream_of(device: torch.device) -> CopyStream:
    """One for all epochs: PyTorch keeps the memory that a stream used for that stream."""
    return CopyStream(device)


def on_device(batches: Iterable[Batch], device: torch.device, stream: CopyStream | None = None) -> Iterator[Batch]:
    """The batches on `device`, the next one already on its way there while one is used, if it is a CUDA device.

    One batch more than is used may be read. An error of `batches` comes after those before it, as without reading
    ahead. `stream`: in place of one made for the device.
    """
    if stream is None and device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    stream = stream or _stream_of(device)
    ahead = None
    try:
        for batch in batches:
            ahead, ready = stream.start(batch), ahead
            if ready is not None:
                yield stream.finish(*ready)
    except Exception:
        if ahead is not None:
            yield stream.finish(*ahead)
        raise
    if ahead is not None:
        yield stream.finish(*ahead)
