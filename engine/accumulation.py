"""A step in several micro-batches, whose gradients add up (--accumulation_steps): less memory, the same numbers."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrizations import _SpectralNorm

from coopcut.options.option import Options
from coopcut.util.errors import OptionError


def check_accumulation(opt: Options, networks: Mapping[str, nn.Module]) -> None:
    """Raise `OptionError` for what micro-batches would change, and for more of them than a batch has images."""
    if opt.accumulation_steps > opt.batch_size:
        raise OptionError(
            f"--accumulation_steps {opt.accumulation_steps} is larger than --batch_size {opt.batch_size}: "
            "lower the first or raise the second"
        )
    for name, net in networks.items():
        if getattr(net, "sees_batch", False):
            raise OptionError(
                f"--accumulation_steps: net{name} compares the images of a batch (--minibatch_std): set it to False"
            )
        for module in net.modules():
            if isinstance(module, _DropoutNd) and module.p > 0:
                raise OptionError(
                    f"--accumulation_steps: the dropout of net{name} would differ from one micro-batch to the next; "
                    "leave --no_dropout as it is"
                )
            if isinstance(module, _SpectralNorm):
                raise OptionError(
                    f"--accumulation_steps: the spectral norm of net{name} would be estimated in every micro-batch; "
                    "use another network or norm"
                )
            if isinstance(module, _BatchNorm):
                raise OptionError(
                    f"--accumulation_steps: the batch norm of net{name} would take the statistics of a micro-batch; "
                    "use another --normG or --normD (instance or none)"
                )


def mean(logged: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted means of the scalars of all micro-batches; the weights sum to 1."""
    if len(logged) == 1:
        return dict(logged[0])
    return {
        name: torch.stack([weight * each[name] for weight, each in zip(weights, logged, strict=True)]).sum()
        for name in logged[0]
    }


def joined(parts: Sequence[Tensor]) -> Tensor:
    """[b, ...] of every micro-batch -> [B, ...]."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
