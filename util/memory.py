"""Out of memory: which errors mean it, how it is reported, and how the memory is freed afterwards."""

import ctypes
import errno
import gc
import re
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from coopcut.util.errors import NoMemoryError, UserError, first_line

# What the allocators of torch (CPU, CUDA, MPS), of C++, of the operating system and of Pillow's codecs say. Not: "an
# illegal memory access", CUDNN_STATUS_NOT_SUPPORTED, ..., which are mistakes.
_SAYS = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "std::bad_alloc",
    "bad allocation",
    "memoryerror",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "invalid buffer size",
    "could not create a primitive",  # oneDNN, where it has no room for its plan of a convolution
    "could not execute a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory, of a GPU or of the machine, did not suffice."""
    if isinstance(error, NoMemoryError | MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, UserError) or not isinstance(error, RuntimeError | OSError | zlib.error):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    text = str(error).lower()
    return any(says in text for says in _SAYS)


def memory_reason(error: BaseException) -> str:
    """What an error that means out of memory says, in a few words."""
    if isinstance(error, NoMemoryError) and error.reason:
        return error.reason
    allocator = re.search(r"DefaultCPUAllocator: (.+ bytes)", str(error))
    return allocator[1] if allocator else first_line(error)


def let_go(error: BaseException) -> str:
    """Drop the variables of the calls that an error came out of, large tensors among them; returns its reason."""
    traceback.clear_frames(error.__traceback__)
    return memory_reason(error)


def free_memory(device: torch.device) -> None:
    """Give back what failed computations held, to the device or to the system. To be called outside of the `except`."""
    gc.collect()  # frames of an error may be in cycles
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    elif sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)  # see `keep_memory`


class Advice:
    """What takes less memory, once that is known."""

    def __init__(self) -> None:
        self.less: Callable[[BaseException], str] = lambda error: ""


@contextmanager
def memory_advice() -> Iterator[Advice]:
    """Within the block, out of memory becomes a `NoMemoryError` with the `less` that the block has set."""
    advice = Advice()
    try:
        yield advice
    except (RuntimeError, OSError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise NoMemoryError(no_memory(error, advice.less(error))) from None


def no_memory(error: BaseException, less: str = "") -> str:
    """The line for an `error` that means out of memory; less: what takes less."""
    less = less or "close other programs, or use a machine with more memory"
    return f"out of memory ({memory_reason(error)}): {less}; saved files are unchanged"
