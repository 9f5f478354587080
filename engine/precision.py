"""How networks are called: in a lower precision (--amp), compiled (--compile), with less kept for the gradients."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from coopcut.options.option import Options
from coopcut.util.errors import OptionError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_device(opt: Options, device: torch.device, several: bool = False) -> None:
    """Raise `OptionError` for a precision or feature that the device lacks."""
    cuda = device.type == "cuda"
    if opt.amp == "fp16" and not cuda:
        raise OptionError(f"--amp fp16 needs a CUDA GPU, and this run is on {device.type}: use bf16 or none")
    if opt.amp == "bf16" and device.type == "mps":
        raise OptionError("--amp bf16 is not supported on an Apple GPU: use --amp none")
    if opt.amp == "bf16" and cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise OptionError("--amp bf16: this GPU has no bfloat16 (it came with Ampere): use fp16 or none")
    if opt.tf32 and not (cuda and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise OptionError("--tf32 needs a CUDA GPU of the Ampere generation or later: leave it out")
    if opt.compile and several:
        raise OptionError("--compile works with one device a process: use torchrun instead of several --gpu_ids")
    if opt.compile and not cuda and not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise OptionError("--compile needs a C++ compiler on the CPU, and none is installed: leave it out")


def lower(net: nn.Module, amp: str, device: torch.device) -> None:
    """Store `net`, which will not be trained, in the precision that `amp` names, in place; its batch norms in float32.

    On a CPU its convolutions are made channels-last, which runs twice as fast there in bfloat16.
    """
    if amp == "none":
        return
    for module in net.modules():
        if not isinstance(module, nn.BatchNorm2d):
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to(DTYPES[amp])
    if device.type == "cpu":
        net.to(memory_format=torch.channels_last)


def set_checkpointing(net: nn.Module, opt: Options) -> None:
    """Let the generator compute again what the options say; `OptionError` if it cannot."""
    given = {"selective": opt.selective_checkpointing, "full": opt.activation_checkpointing}
    for kind in [kind for kind, wanted in given.items() if wanted]:
        flag = "--selective_checkpointing" if kind == "selective" else "--activation_checkpointing"
        if not hasattr(net, "checkpointing"):
            raise OptionError(f"{flag}: --netG {opt.netG} has none; leave it out")
        if opt.normG == "batch":
            raise OptionError(f"{flag}: batch norm would count each batch twice; use --normG instance")
        other = "--activation_checkpointing" if given["full"] else "--compile"
        if kind == "selective" and (given["full"] or opt.compile):
            raise OptionError(f"{flag} does not go with {other}: set one of them to False")
        net.checkpointing = kind  # type: ignore[assignment]


class Caller:
    """Calls a network under autocast, and hands float32 back so that losses are computed in it.

    Within `full_precision()` the network computes in float32: for gradients with respect to its input.
    """

    def __init__(self, net: nn.Module, device: torch.device, amp: str, compiled: bool) -> None:
        self.call: Any = torch.compile(net, dynamic=False) if compiled else net
        self.device = device
        self.dtype = DTYPES.get(amp)
        self.exact = False

    def __call__(self, *arguments: Any) -> Any:
        if self.dtype is None or self.exact:
            return self.call(*arguments)
        with torch.autocast(self.device.type, self.dtype):
            return _float(self.call(*arguments))

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """Within the block the network computes in float32."""
        before, self.exact = self.exact, True
        try:
            yield
        finally:
            self.exact = before


def _float(value: Any) -> Any:
    """Tensors in (nested) lists and tuples as float32."""
    if isinstance(value, Tensor):
        return value.float()
    return type(value)(_float(item) for item in value)
