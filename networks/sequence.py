"""Modules one after another: some neighbors run as one, and activations computed again where memory is scarce."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from coopcut.networks.fused import run_layers


class Layers(nn.Sequential):
    """An `nn.Sequential` that keeps less for the gradients; values and names of parameters are the same.

    checkpointing: what is computed again for the gradients: all (`full`), what lies between convolutions
    (`selective`), or nothing (empty).
    """

    checkpointing = ""

    def forward(self, x: Tensor) -> Tensor:
        if not self.checkpointing or not torch.is_grad_enabled():
            return run_layers(list(self), x)
        for start, stop in self._groups():
            x = checkpoint(self._run, x, start, stop, use_reentrant=False, **_KEPT[self.checkpointing])
            last = self[stop - 1]
            for hook in last._forward_hooks.values():  # within, it would be called again with the gradients
                hook(last, (), x)
        return x

    def _run(self, x: Tensor, start: int, stop: int) -> Tensor:
        modules = list(self)[start:stop]
        for module in modules[:-1]:
            x = module(x)
        result: Tensor = modules[-1].forward(x)
        return result

    def _groups(self) -> Iterator[tuple[int, int]]:
        """Start and stop of groups of modules, of which the input is kept for the gradients.

        They end with a block of layers, with the module before one, and with one that has hooks; when all is computed
        again with a rectifier, else with a convolution, whose output is kept anyway.
        """
        modules, ends = list(self), _ENDS[self.checkpointing]
        start = 0
        for index, module in enumerate(modules):
            last = index + 1 == len(modules)
            before_block = not last and _is_block(modules[index + 1])
            if last or before_block or _is_block(module) or isinstance(module, ends) or module._forward_hooks:
                yield start, index + 1
                start = index + 1


def set_checkpointing(net: nn.Module, kind: str) -> bool:
    """Let `net` compute activations again for the gradients (see `Layers`); returns whether it can."""
    if isinstance(net, Layers):
        net.checkpointing = kind
        return True
    able = [set_checkpointing(child, kind) for child in net.children()]
    return any(able)


def _is_block(module: nn.Module) -> bool:
    return any(isinstance(child, Layers) for child in module.children())


def _keep_convolutions(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    kept = operator is torch.ops.aten.convolution.default
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


# by `checkpointing`: the modules that end a group
_ENDS: dict[str, tuple[type[nn.Module], ...]] = {
    "full": (nn.ReLU,),
    "selective": (nn.Conv2d, nn.ConvTranspose2d),
}
# by `checkpointing`: more arguments of torch.utils.checkpoint
_KEPT: dict[str, Any] = {
    "full": {},  # torch.compile takes no context function
    "selective": {"context_fn": partial(create_selective_checkpoint_contexts, _keep_convolutions)},
}
