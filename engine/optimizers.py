"""The optimizers of a method's networks and their learning-rate schedules."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from coopcut.engine.method import Method
from coopcut.engine.processes.collectives import sum_gradients
from coopcut.engine.processes.shard import Shard
from coopcut.engine.schedule import create_scheduler, follow_options
from coopcut.options.option import Options


class Optimizers:
    """Adam with a schedule for each network that has weights, by the network's name.

    Gradients are None outside an update, so that they take no memory while the next losses are computed.
    """

    def __init__(self, method: Method, opt: Options, scaler: torch.amp.GradScaler | None) -> None:
        self.opt, self.scaler = opt, scaler
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.schedulers: dict[str, LRScheduler] = {}
        for name, network in method.networks.items():
            if parameters := list(network.net.parameters()):
                self.optimizers[name] = torch.optim.Adam(parameters, **method.adam(name), fused=True)
                self.schedulers[name] = create_scheduler(self.optimizers[name], opt)

    @property
    def lr(self) -> float:
        """The learning rate of the first one."""
        return float(next(iter(self.optimizers.values())).param_groups[0]["lr"])

    def step(self, rates: Mapping[str, float], shard: Shard) -> None:
        """Move the weights of networks along their gradients, summed over the processes.

        rates: of each network that is to move, a factor on its learning rate.
        """
        chosen = {self.optimizers[name]: rate for name, rate in rates.items() if name in self.optimizers}
        sum_gradients(_parameters(list(chosen)), shard)
        for optimizer, rate in chosen.items():
            with _at_rate(optimizer, rate):
                if self.scaler is None:
                    optimizer.step()
                else:
                    self.scaler.step(optimizer)
        if self.scaler is not None:
            self.scaler.update()
        for optimizer in self.optimizers.values():  # a loss may have reached more than the chosen
            optimizer.zero_grad(set_to_none=True)

    def forget(self, name: str) -> None:
        """Let the optimizer of a network begin anew; its learning rate goes on."""
        if name in self.optimizers:
            self.optimizers[name].state.clear()

    def end_epoch(self, mean_loss: float) -> None:
        """Move the rates to the next epoch; `mean_loss` steers the policy `plateau`."""
        with warnings.catch_warnings():  # continued at the very end of an epoch, the schedule moves before an optimizer
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for scheduler in self.schedulers.values():
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(mean_loss)
                else:
                    scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of optimizers and schedules, as tensors and plain values."""
        return {
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "schedulers": {name: _plain(scheduler.state_dict()) for name, scheduler in self.schedulers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        """Go on from `state`, which was saved with the options `before`: what differs from them takes effect."""
        for name, optimizer in self.optimizers.items():
            fresh = optimizer.param_groups
            optimizer.load_state_dict(state["optimizers"][name])
            scheduler = self.schedulers[name]
            functions = {"lr_lambdas": [None] * len(scheduler.lr_lambdas)} if hasattr(scheduler, "lr_lambdas") else {}
            scheduler.load_state_dict(functions | state["schedulers"][name])  # early states had no such entry
            follow_options(optimizer, scheduler, fresh, before, self.opt)


@contextmanager
def _at_rate(optimizer: torch.optim.Optimizer, factor: float) -> Iterator[None]:
    """Within the block the learning rate is `factor` times what the schedule says."""
    before = [group["lr"] for group in optimizer.param_groups]
    if factor != 1:
        for group in optimizer.param_groups:
            group["lr"] *= factor
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate


def _parameters(optimizers: Sequence[torch.optim.Optimizer]) -> Iterable[nn.Parameter]:
    return (p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"])


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state without its functions, which the options rebuild."""
    return {name: value for name, value in state.items() if not callable(value)}
