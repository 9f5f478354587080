"""What every method has: networks, optimizers, learning-rate schedules, random generators, and their state."""

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coopcut.engine.passes import Pass, divide
from coopcut.engine.position import Position
from coopcut.engine.precision import Caller, check_device, set_checkpointing
from coopcut.engine.processes.collectives import copy_from_first, sum_gradients
from coopcut.engine.processes.shard import Shard
from coopcut.engine.rng import RandomState
from coopcut.engine.schedule import create_scheduler, follow_options
from coopcut.networks import create_G
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepOutput:
    """What a step reports: scalars for the log (detached, on the device) and images [B, C, H, W] in [-1, 1]."""

    losses: dict[str, Tensor]
    images: dict[str, Tensor]


class BaseModel(ABC):
    """A method: subclass it, register it with `@MODELS.register(name)`, and `train.py --model name` runs it.

    A subclass makes its networks and optimizers in `__init__` with `add_network` and `add_optimizer` and says in
    `step` what happens to a batch. Saving, continuing, schedules, averaging and translating then work by themselves.
    """

    # Whether `step` follows --accumulation_steps, with the passes of `take` and `update`; to be said with each `step`.
    divides = False

    def __init__(self, opt: Options, devices: Sequence[torch.device]) -> None:
        stepping = next(cls for cls in type(self).__mro__ if "step" in vars(cls))
        if opt.isTrain and opt.accumulation_steps > 1 and not vars(stepping).get("divides", False):
            raise OptionError(f"--accumulation_steps: --model {opt.model} does not divide its batches; leave it out")
        self.opt = opt
        self.devices = list(devices)
        self.device = self.devices[0]
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.schedulers: dict[str, torch.optim.lr_scheduler.LRScheduler] = {}
        self.rng = RandomState(opt.seed, self.device)
        self.ema: AveragedModel | None = None
        check_device(opt, self.device, several=len(self.devices) > 1)
        self.callers: dict[str, Caller] = {}
        self.scaler = torch.amp.GradScaler(self.device.type) if opt.amp == "fp16" else None
        self._made = dict[str, list[dict[str, Any]]]()  # groups of the optimizers before a state was loaded
        self.share = Shard.whole(1)  # which part of the step's batch this process has; set by `take`
        self._advised: dict[str, int] = {}

    # -- what a method says of itself -----------------------------------------------------------------------------

    @classmethod
    def options(cls) -> Sequence[Option]:
        """Options that the method adds to the command line."""
        return ()

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        """Defaults of other options that differ for this method."""
        return {}

    @classmethod
    def check(cls, opt: Options) -> None:
        """Raise `OptionError` if the values of the options do not fit together."""
        return

    @classmethod
    def build_generator(cls, opt: Options) -> nn.Module:
        """The network that translates, as saved under the name G."""
        return create_G(opt)

    @abstractmethod
    def step(self, batch: Any, position: Position) -> StepOutput:
        """One training step on a `data.Batch` on the model's device; `position` is where training stands before it."""

    def advice(self, losses: Mapping[str, float], position: Position) -> list[str]:
        """Warnings in view of logged figures, each naming the option to change."""
        return []

    def phase(self, position: Position) -> str:
        """What kind of step comes after `position`, a function of it alone; for the log."""
        return "train"

    # -- building blocks for subclasses ---------------------------------------------------------------------------

    def add_network(self, name: str, net: nn.Module) -> Any:
        """Register `net`, to be saved as `<epoch>_net_<name>.pth`. Returns what to call in `step`.

        That is `net` itself, or a wrapper: with several `--gpu_ids` one that spreads a batch over them, with --amp or
        --compile a `Caller`.
        """
        net.to(self.device).train()
        self.networks[name] = net
        if name == "G" and self.opt.ema > 0:
            self.ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(self.opt.ema), use_buffers=True)
        if name == "G":
            set_checkpointing(net, self.opt)
        spread = nn.DataParallel(net, self.devices) if len(self.devices) > 1 else net
        if self.opt.amp == "none" and not self.opt.compile:
            return spread
        self.callers[name] = Caller(spread, self.device, self.opt.amp, self.opt.compile)
        return self.callers[name]

    def add_optimizer(self, name: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with the rates of the options, for parameters that must not be none."""
        optimizer = torch.optim.Adam(parameters, lr=self.opt.lr, betas=(self.opt.beta1, self.opt.beta2), fused=True)
        self.optimizers[name] = optimizer
        self.schedulers[name] = create_scheduler(optimizer, self.opt)
        return optimizer

    def take(self, batch: Any) -> list[Pass]:
        """Begin a step: losses are means over this process's share of the batch, random numbers are for all of it.

        Returns the passes that --accumulation_steps divides the share into.
        """
        self.share = getattr(batch, "share", None) or Shard.whole(len(batch.A))
        return divide(batch, self.share, self.opt.accumulation_steps)

    def descend(self, loss: Tensor, *names: str) -> None:
        """One step of the optimizers `names` (those that exist) on the gradient of `loss`, over all processes."""
        optimizers = self._start(names)
        self._backward(loss)
        self._finish(optimizers)

    def update(
        self, names: Sequence[str], passes: Sequence[Pass], loss_of: Callable[[Pass], tuple[Tensor, dict[str, Tensor]]]
    ) -> dict[str, Tensor]:
        """As `descend`, on the mean of `loss_of` over `passes`, so that --accumulation_steps can divide the batch.

        `loss_of(part)` gives the mean loss over a pass, and scalars for the log, whose means are returned. Each pass is
        given the same random numbers, which are drawn for the whole batch (see `Shard`).
        """
        optimizers = self._start(names)
        whole, logged = self.share, list[dict[str, Tensor]]()
        before = self.rng.state_dict() if len(passes) > 1 else {}
        for part in passes:
            if logged:
                self.rng.load_state_dict(before)
            self.share = part.share
            loss, scalars = loss_of(part)
            self._backward(loss if part.weight == 1 else loss * part.weight)
            logged.append(scalars)
        self.share = whole
        self._finish(optimizers)
        if len(passes) == 1:
            return logged[0]
        weighted = [[part.weight * each[name] for name in each] for part, each in zip(passes, logged, strict=True)]
        return dict(zip(logged[0], (torch.stack(values).sum() for values in zip(*weighted, strict=True)), strict=True))

    def _start(self, names: Iterable[str]) -> list[torch.optim.Optimizer]:
        optimizers = [self.optimizers[name] for name in names if name in self.optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        return optimizers

    def _backward(self, loss: Tensor) -> None:
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def _finish(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        sum_gradients((p for o in optimizers for group in o.param_groups for p in group["params"]), self.share)
        for optimizer in optimizers:
            if self.scaler is None:
                optimizer.step()
            else:
                self.scaler.step(optimizer)
        if self.scaler is not None:
            self.scaler.update()

    def full_precision(self, name: str) -> AbstractContextManager[None]:
        """Within the block the network `name` computes in float32, whatever --amp says."""
        return self.callers[name].full_precision() if name in self.callers else nullcontext()

    def share_weights(self) -> None:
        """Let every process begin with the weights of the first."""
        copy_from_first(tensor for net in self.networks.values() for tensor in net.state_dict().values())
        if self.ema is not None:
            copy_from_first(self.ema.state_dict().values())

    def update_ema(self) -> None:
        """Fold the generator's new weights into the average; call it after the generator's update."""
        if self.ema is not None:
            self.ema.update_parameters(self.networks["G"])

    def describe(self, verbose: bool) -> None:
        """Log the size of each network, and all of their layers if `verbose`."""
        for name, net in self.networks.items():
            if verbose:
                log.info("%s", net)
            log.info("net%s: %.3f million parameters", name, sum(p.numel() for p in net.parameters()) / 1e6)
        if self.opt.compile:
            log.info("--compile: the first steps wait for the compiler, on a CPU for minutes")

    def advise(self, losses: Mapping[str, float], position: Position) -> None:
        """Log the `advice`, each warning at most once in an epoch."""
        for warning in self.advice(losses, position):
            if self._advised.get(warning) != position.epoch:
                self._advised[warning] = position.epoch
                log.warning("epoch %d, step %d: %s", position.epoch, position.step, warning)

    # -- schedule and state ---------------------------------------------------------------------------------------

    @property
    def lr(self) -> float:
        """The learning rate of the first optimizer."""
        return float(next(iter(self.optimizers.values())).param_groups[0]["lr"])

    def end_epoch(self, mean_loss: float) -> None:
        """Move the learning rates to the next epoch; `mean_loss` steers the policy 'plateau'."""
        with warnings.catch_warnings():  # continued at the very end of an epoch, the schedule moves before an optimizer
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for scheduler in self.schedulers.values():
                if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                    scheduler.step(mean_loss)
                else:
                    scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """All that is stateful, as tensors and plain values."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "schedulers": {name: _plain(scheduler.state_dict()) for name, scheduler in self.schedulers.items()},
            "ema": None if self.ema is None else self.ema.state_dict(),
            "rng": self.rng.state_dict(),
            **({} if self.scaler is None else {"scaler": self.scaler.state_dict()}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, with the rates that it has: see `follow_options` for other flags."""
        for name, net in self.networks.items():
            net.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            self._made[name] = optimizer.param_groups
            optimizer.load_state_dict(state["optimizers"][name])
        for name, scheduler in self.schedulers.items():
            functions = {"lr_lambdas": [None] * len(scheduler.lr_lambdas)} if hasattr(scheduler, "lr_lambdas") else {}
            scheduler.load_state_dict(functions | state["schedulers"][name])  # the first format had no such entry
        if self.ema is not None and state["ema"] is not None:
            self.ema.load_state_dict(state["ema"])
        elif self.ema is not None:  # the run had none: the average begins here
            self.ema.module.load_state_dict(self.networks["G"].state_dict())
        self.rng.load_state_dict(state["rng"])
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])

    def follow_options(self, before: Mapping[str, Any]) -> None:
        """After `load_state_dict`: what differs in the options from those `before` takes effect on the rates."""
        for name, optimizer in self.optimizers.items():
            follow_options(optimizer, self.schedulers.get(name), self._made[name], before, self.opt)

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The weights in CUT's format by network name; the averaged generator as G_ema."""
        weights = {name: net.state_dict() for name, net in self.networks.items()}
        if self.ema is not None:
            weights["G_ema"] = self.ema.module.state_dict()
        return weights


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state without its functions, which the options rebuild."""
    return {name: value for name, value in state.items() if not callable(value)}


@contextmanager
def frozen(net: nn.Module) -> Iterator[nn.Module]:
    """Within the block no gradient reaches the parameters of `net`; they keep the gradients they have.

    Running statistics (batch norm) are afterwards what they were.
    """
    buffers = [(buffer, buffer.clone()) for name, buffer in net.named_buffers() if not name.endswith("filt")]
    was = [(parameter, parameter.requires_grad) for parameter in net.parameters()]
    for parameter, _ in was:
        parameter.requires_grad_(False)
    try:
        yield net
    finally:
        for parameter, flag in was:
            parameter.requires_grad_(flag)
        for buffer, before in buffers:
            buffer.copy_(before)
