"""A tiny method in training, a batch for it, and what a step of it does: its gradients, the operators that it calls."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from coopcut.data.batch import Batch
from coopcut.engine.method import Method
from coopcut.engine.position import Position
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import StepContext, StepOutput
from coopcut.engine.trainer import Trainer
from coopcut.models import create_method
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.option import Options
from tests.tools import TINY, options_known_to, tiny, train_options

COOP = "--model coopcut"


def options_of(*flags: str) -> Options:
    """Those of a tiny method; flags may be given in one string."""
    argv = " ".join(flags).split()
    model = argv[argv.index("--model") + 1] if "--model" in argv else "cut"
    base = TINY if {"netF_nc", "num_patches"} <= options_known_to(model) else tiny(model)
    return train_options([*base, "--init_gain", "0.3", *argv])


def method_with(*flags: str) -> Any:
    """The method that the flags describe, `cut` unless they say otherwise."""
    torch.manual_seed(0)
    opt = options_of(*flags)
    return create_method(opt, Runtime.from_options(opt, Peers()))


def cooperative(*flags: str) -> Cooperative:
    """The cooperative objective of a `coopcut`."""
    found = method_with(COOP, *flags).adversarial
    assert isinstance(found, Cooperative)
    return found


def trainer_of(method: Method) -> Trainer:
    return Trainer(method.opt, method, method.runtime)


def trainer_with(*flags: str) -> Trainer:
    return trainer_of(method_with(*flags))


def batch_of(A: Tensor, B: Tensor) -> Batch:
    number = len(A)
    return Batch.whole({"A": A, "B": B}, {"A": ["a"] * number, "B": ["b"] * number})


def batch(number: int = 2, seed: int = 1) -> Batch:
    """Noise of 32 x 32 pixels."""
    generator = torch.Generator().manual_seed(seed)
    A, B = (torch.rand(number, 3, 32, 32, generator=generator) * 2 - 1 for _ in "AB")
    return batch_of(A, B)


def context(trainer: Trainer, images: Batch, position: Position | None = None) -> StepContext:
    """What the engine gives a step on `images`."""
    return StepContext(position or Position(), images.shard, True, trainer.rng)


def step_and_gradients(
    trainer: Trainer, images: Batch | None = None, position: Position | None = None
) -> tuple[StepOutput, dict[str, Tensor]]:
    """A step that moves no weight: what it reports, and each network's gradients in one vector."""
    found: dict[str, Tensor] = {}
    handles = []
    for name, optimizer in trainer.optimizers.optimizers.items():
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.param_groups[0]["lr"] = 0.0

        def keep(*arguments: Any, name: str = name, parameters: list[Tensor] = parameters) -> None:
            gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
            found[name] = torch.cat(gradients) if gradients else torch.zeros(0)

        handles.append(optimizer.register_step_pre_hook(keep))
    output = trainer.step(images or batch(), position or Position())
    for handle in handles:
        handle.remove()
    return output, found


def pass_of(trainer: Trainer) -> None:
    """A pass of G and its gradients."""
    trainer.method.networks["G"](batch()["A"]).mean().backward()


class Count(TorchDispatchMode):
    """How often one of `operators` is called within the block."""

    def __init__(self, *operators: Any) -> None:
        super().__init__()
        self.operators, self.number = operators, 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += operator in self.operators
        return operator(*args, **(kwargs or {}))
