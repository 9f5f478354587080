"""Neighboring modules that are run as one: the same values, and less is kept for the gradients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from coopcut.networks.blur import Upsample
from coopcut.networks.layers import InstanceNorm2d


def run_layers(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
    """What `modules` make of x, one after another; some pairs as one."""
    index = 0
    while index < len(modules):
        pair = pairs_up(modules, index)
        x = pair(*modules[index : index + 2], x) if pair else modules[index](x)
        index += 2 if pair else 1
    return x


def pairs_up(modules: Sequence[nn.Module], index: int) -> Callable[..., Tensor] | None:
    """The function that runs `modules[index]` and the next one as one, if there is one."""
    if index + 1 < len(modules):
        first, second = modules[index], modules[index + 1]
        if _has_hooks(first) or _has_hooks(second):  # they are to be called with what lies between both
            return None
        if isinstance(first, InstanceNorm2d) and isinstance(second, nn.ReLU):
            return rectify_normed
        if isinstance(first, Upsample) and isinstance(second, nn.Conv2d):
            return convolve_upsampled
    return None


def _has_hooks(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
    return any(hooks)


def rectify_normed(norm: InstanceNorm2d, rectifier: nn.Module, x: Tensor) -> Tensor:
    """rectifier(norm(x)); for the gradient `x` is enough."""
    return norm.rectified(x)


def convolve_upsampled(upsample: Upsample, convolution: nn.Module, x: Tensor) -> Tensor:
    """convolution(upsample(x)); for the gradient `x` is kept, and not the upsampled images, which are four times it."""
    large = upsample(x)
    if not (large.requires_grad and torch.is_grad_enabled()) or torch.compiler.is_compiling():
        result: Tensor = convolution(large)
        return result
    small, place, version = x.detach(), (large.data_ptr(), large.shape), x._version

    def pack(kept: Tensor) -> Tensor | None:
        return None if (kept.data_ptr(), kept.shape) == place else kept

    def unpack(kept: Tensor | None) -> Tensor:
        if kept is not None:
            return kept
        if small._version != version:
            raise RuntimeError("a tensor needed for the gradient was changed in place after it was upsampled")
        with torch.no_grad():
            again: Tensor = upsample(small)
            return again

    with saved_tensors_hooks(pack, unpack):
        result = convolution(large)
    return result
