"""The device that a run uses, and the global switches of torch that go with the options."""

import ctypes
import logging
import operator
import os
import random
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from coopcut.util.errors import OptionError
from coopcut.util.launch import find_place

log = logging.getLogger(__name__)


Devices = str | int | Sequence[int] | torch.device | None


def choose_device(gpu_ids: Devices) -> torch.device:
    """The device for `--gpu_ids`: auto, -1 or cpu, mps, or the number of a GPU.

    Of several processes on a machine (torchrun), each takes one of the GPUs: auto means all of them, in order, and
    numbers with commas name them. Raises `OptionError` for a device that is not there.
    """
    text = _as_text(gpu_ids).strip().lower()
    if text in ("-1", "cpu"):
        return torch.device("cpu")
    if text == "auto" and not torch.cuda.is_available() and not torch.backends.mps.is_available():
        return torch.device("cpu")
    here = find_place()
    if text == "auto":
        if torch.cuda.is_available():
            if here.on_machine > torch.cuda.device_count():
                raise OptionError(
                    f"--gpu_ids auto: {here.on_machine} processes on this machine and {torch.cuda.device_count()} "
                    "GPUs; give torchrun a smaller --nproc_per_node, or --gpu_ids -1 for the CPU"
                )
            return torch.device("cuda", here.local)
        return torch.device("mps" if here.on_machine == 1 else "cpu")
    if text == "mps":
        if not torch.backends.mps.is_available():
            raise OptionError("--gpu_ids mps: this machine has no Apple GPU that torch can use; leave --gpu_ids out")
        if here.on_machine > 1:
            raise OptionError("--gpu_ids mps: an Apple GPU serves only one process; run without torchrun")
        return torch.device("mps")
    numbers = _numbers(gpu_ids, text)
    if len(numbers) == here.on_machine:
        return torch.device("cuda", numbers[here.local])
    if here.on_machine > 1:
        raise OptionError(
            f"--gpu_ids {gpu_ids}: name one GPU for each of the {here.on_machine} processes on this machine"
        )
    raise OptionError(
        f"--gpu_ids {gpu_ids}: a process uses one GPU; to train on {len(numbers)}, start it with "
        f"torchrun --nproc_per_node {len(numbers)} train.py --gpu_ids {text} ..."
    )


def _numbers(gpu_ids: Devices, text: str) -> list[int]:
    """The GPUs that `text` names, all of them present and none twice."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"--gpu_ids {gpu_ids}: use auto, -1 (CPU), mps, or a GPU number such as 0") from None
    present = torch.cuda.device_count()
    absent = [n for n in numbers if not 0 <= n < present]
    if absent:
        raise OptionError(
            f"--gpu_ids {gpu_ids}: there is no GPU {absent[0]} here (torch can use {present or 'none'}); "
            "leave --gpu_ids out, or give -1 for the CPU"
        )
    if len(set(numbers)) < len(numbers):
        raise OptionError(f"--gpu_ids {gpu_ids}: a GPU is named twice")
    return numbers


def _as_text(gpu_ids: Devices) -> str:
    """What one would type for a value from Python: -1, 0, [0, 1], torch.device("cuda:1"); None is auto."""
    if isinstance(gpu_ids, torch.device):
        return str(gpu_ids.index or 0) if gpu_ids.type == "cuda" else gpu_ids.type
    if gpu_ids is None or isinstance(gpu_ids, str):
        return "auto" if gpu_ids is None else gpu_ids
    numbers: Any = gpu_ids if isinstance(gpu_ids, Sequence) else [gpu_ids]
    try:
        if any(isinstance(number, bool) for number in numbers):
            raise TypeError
        return ",".join(str(operator.index(number)) for number in numbers)
    except TypeError:
        return repr(gpu_ids)


def set_up(seed: int, deterministic: bool, device: torch.device, tf32: bool = False) -> None:
    """Seed every global generator; `deterministic` makes torch refuse kernels whose result varies.

    tf32: let the GPU round the factors of float32 products to 10 bits of mantissa. Without, products are float32.
    """
    keep_memory()
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and events are those of the current device
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it for reproducible products
        torch.use_deterministic_algorithms(True, warn_only=True)


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt, as its malloc.h numbers them


def keep_memory() -> bool:
    """Keep the memory of freed tensors for the next ones, where the C library is glibc; returns whether it is.

    By itself it asks the kernel for every large tensor anew, and the kernel clears each page of it again: an eighth of
    a training step on the CPU. The values and the peak stay what they are; between the peaks less is given back.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
