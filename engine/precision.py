"""How networks are called: in a lower precision (--amp), compiled (--compile)."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from coopcut.options.option import Options
from coopcut.util.errors import OptionError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
N = TypeVar("N", bound=nn.Module)


def check_device(opt: Options, device: torch.device) -> None:
    """Raise `OptionError` for a precision or feature that the device lacks."""
    cuda = device.type == "cuda"
    if opt.amp == "fp16" and not cuda:
        raise OptionError(f"--amp fp16 needs a CUDA GPU, and this run is on {device.type}: use bf16 or none")
    if opt.amp == "bf16" and device.type == "mps":
        raise OptionError("--amp bf16 is not supported on an Apple GPU: use --amp none")
    if opt.amp == "bf16" and cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise OptionError("--amp bf16: this GPU does not support bfloat16 (Ampere and later do): use fp16 or none")
    if opt.tf32 and not (cuda and torch.cuda.get_device_capability(device) >= (8, 0)):
        raise OptionError("--tf32 needs a CUDA GPU of the Ampere generation or later: leave --tf32 out")
    if opt.compile and not cuda and not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise OptionError(
            "--compile needs a C++ compiler on the CPU, and none was found: install one or leave --compile out"
        )


def lower(net: nn.Module, amp: str, device: torch.device) -> None:
    """Store `net`, which will not be trained, in the precision that `amp` names, in place; its batch norms in float32.

    On a CPU its convolutions become channels-last, which runs twice as fast there in bfloat16.
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


class Network(Generic[N]):
    """A network in training, and how it is called: under autocast, compiled, or as it is. It returns float32.

    net: the network itself, whose weights are saved.
    """

    def __init__(self, net: N, device: torch.device, amp: str = "none", compiled: bool = False) -> None:
        self.net = net.to(device).train()
        self.device = device
        self._compiled = compiled
        self._dtype = DTYPES.get(amp)
        self._call = self.wrap(net)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def given(self, y: Tensor | None) -> "Network[N] | Given[N]":
        """The network for images of the classes y [B]; itself if there are none."""
        return self if y is None else Given(self, y)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that runs the network, to be called as the network is."""
        call: Any = torch.compile(function, dynamic=False) if self._compiled else function

        def run(*arguments: Any) -> Any:
            if self._dtype is None:
                return call(*arguments)
            with torch.autocast(self.device.type, self._dtype):
                return _float(call(*arguments))

        return run

    @contextmanager
    def exact(self) -> Iterator[None]:
        """Within the block the network computes in float32: for gradients with respect to its input."""
        before, self._dtype = self._dtype, None
        try:
            yield
        finally:
            self._dtype = before

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """What is computed within the block gives the network's weights no gradient.

        Running statistics (batch norm) are afterwards what they were.
        """
        buffers = [(buffer, buffer.clone()) for name, buffer in self.net.named_buffers() if not name.endswith("filt")]
        was = [(parameter, parameter.requires_grad) for parameter in self.net.parameters()]
        for parameter, _ in was:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter, flag in was:
                parameter.requires_grad_(flag)
            for buffer, before in buffers:
                buffer.data.copy_(before)  # a graph that waits for its gradients may hold the buffer


class Given(Generic[N]):
    """A network of images and classes that is called with images alone: of one or several batches of the classes y."""

    def __init__(self, network: Network[N], y: Tensor) -> None:
        self.network, self.y, self.net, self.device = network, y, network.net, network.device
        self.exact, self.frozen = network.exact, network.frozen

    def __call__(self, images: Tensor) -> Any:
        return self.network(images, self.y.repeat(len(images) // len(self.y)))


def _float(value: Any) -> Any:
    """Tensors in (nested) lists and tuples as float32."""
    if isinstance(value, Tensor):
        return value.float()
    return type(value)(_float(item) for item in value)
