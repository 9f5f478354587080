"""Objects with tensors in them, sent through a socket to another process.

Neither shared memory nor files nor semaphores are needed, and no size is too large.
"""

import errno
import io
import pickle
import socket
import struct
from typing import Any

import torch
from torch import Tensor

MOST = 2**30  # bytes asked of the system at once: some refuse 2 GiB
GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class ChannelError(Exception):
    """The connection failed, perhaps in the middle of an object; the message is what the system says."""


class GoneError(ChannelError):
    """The other side is gone, or this side has closed the connection."""


class _Pickler(pickle.Pickler):
    """Puts the elements of tensors beside the pickle, from where they lie: torch's own pickling copies them twice."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or not _is_plain(value):
            return NotImplemented
        flat = value.contiguous().reshape(-1).view(torch.uint8)
        return _tensor, (pickle.PickleBuffer(flat.numpy().data), value.dtype, tuple(value.shape))


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is its elements, type and shape, and nothing else."""
    special = tensor.requires_grad or tensor.is_quantized or tensor.is_conj() or tensor.is_neg()
    return tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.numel() > 0 and not special


def _tensor(elements: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(elements).view(dtype).reshape(shape)


def send(connection: socket.socket, value: Any) -> None:
    """Send `value`, bit for bit. Raises what pickling it raises, before anything is sent, and `ChannelError`."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    parts = [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]
    try:
        connection.sendall(struct.pack(f"!{1 + len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
        for part in parts:
            for start in range(0, part.nbytes, MOST):
                connection.sendall(part[start : start + MOST])
    except OSError as error:
        raise _failure(connection, error) from error


def receive(connection: socket.socket) -> Any:
    """The next object. Raises `ChannelError`, and what unpickling raises."""
    (number,) = struct.unpack("!Q", _read(connection, 8))
    sizes = struct.unpack(f"!{number}Q", _read(connection, 8 * number))
    pickled, *buffers = [_read(connection, size) for size in sizes]
    return pickle.loads(pickled, buffers=buffers)


def _read(connection: socket.socket, size: int) -> Any:
    """An array of `size` bytes, of memory that tensors may keep."""
    array = torch.empty(size, dtype=torch.uint8).numpy()
    view, done = memoryview(array.data), 0
    while done < size:
        try:
            got = connection.recv_into(view[done:], min(size - done, MOST), socket.MSG_WAITALL)
        except OSError as error:
            raise _failure(connection, error) from error
        if not got:
            raise GoneError
        done += got
    return array


def _failure(connection: socket.socket, error: OSError) -> ChannelError:
    closed = connection.fileno() < 0  # here, on purpose
    return GoneError() if closed or error.errno in GONE else ChannelError(error.strerror or str(error))
