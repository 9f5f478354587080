"""A tiny CUT or CoopCUT, a batch for it, and what a step of it does: its gradients, the operators that it calls."""

from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from coopcut.models import create_model
from coopcut.models.cut import CUT
from tests.tools import train_options

TINY = "--ngf 8 --ndf 8 --netF_nc 16 --num_patches 16 --netG resnet_4blocks --load_size 32 --crop_size 32 --gpu_ids -1"


def model_with(*flags: str) -> CUT:
    torch.manual_seed(0)
    model = create_model(train_options([*TINY.split(), "--init_gain", "0.3", *flags]), [torch.device("cpu")])
    assert isinstance(model, CUT)
    return model


def batch(number: int = 2) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(1)
    A, B = (torch.rand(number, 3, 32, 32, generator=generator) * 2 - 1 for _ in "AB")
    return SimpleNamespace(A=A, B=B, A_paths=["a"] * number, B_paths=["b"] * number)


def gradients(model: CUT) -> torch.Tensor:
    return torch.cat(
        [p.grad.flatten() for net in model.networks.values() for p in net.parameters() if p.grad is not None]
    )


def pass_of(model: CUT) -> None:
    """A pass of G and its gradients."""
    model.G(batch().A).mean().backward()


class Count(TorchDispatchMode):
    """How often one of `operators` is called within the block."""

    def __init__(self, *operators: Any) -> None:
        super().__init__()
        self.operators, self.number = operators, 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += operator in self.operators
        return operator(*args, **(kwargs or {}))
