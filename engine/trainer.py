"""The engine: drives a method's steps, and holds everything that training changes."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coopcut.data.batch import Batch
from coopcut.engine.accumulation import check_accumulation, joined, mean
from coopcut.engine.method import Method
from coopcut.engine.optimizers import Optimizers
from coopcut.engine.position import Position
from coopcut.engine.processes.collectives import copy_from_first, gather
from coopcut.engine.processes.shard import Shard
from coopcut.engine.rng import RandomState
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Losses, Minimize, Step, StepContext, StepOutput, Together
from coopcut.options.option import Options
from coopcut.util.errors import DataError, OptionError

log = logging.getLogger(__name__)


class Trainer:
    """A method in training: its optimizers, averages and random generators, and their state.

    averages: with --ema an averaged copy of each exported network, by the network's name.
    """

    def __init__(self, opt: Options, method: Method, runtime: Runtime) -> None:
        self.opt, self.method, self.runtime = opt, method, runtime
        self.networks = {name: network.net for name, network in method.networks.items()}
        self.scaler = torch.amp.GradScaler(runtime.device.type) if runtime.amp == "fp16" else None
        self.optimizers = Optimizers(method, opt, self.scaler)
        self.rng = RandomState(opt.seed, runtime.device)
        exported = {export.network for export in method.exports.values()} if opt.ema > 0 else ()
        self.averages = {
            name: AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(opt.ema), use_buffers=True)
            for name, net in self.networks.items()
            if name in exported
        }
        # a run that goes on makes its networks with the same seed: these weights are those that it began with
        self._initial = {name: copy.deepcopy(self.networks[name].state_dict()) for name in method.restarting()}
        self._advised: dict[str, int] = {}
        self.check(opt)

    def check(self, opt: Options) -> None:
        """Raise `OptionError` for options that the networks or the method do not support."""
        self.method.check(opt)
        needed, multiple = self.min_size, self.multiple
        if opt.preprocess.endswith("crop") and round(opt.crop_size / multiple) * multiple < needed:
            raise OptionError(
                f"--crop_size {opt.crop_size} is too small for {self._demanding()}, which needs {needed} pixels"
            )
        if opt.accumulation_steps > 1:
            check_accumulation(opt, self.networks)

    @property
    def _most_demanding(self) -> str:
        return max(self.networks, key=lambda name: getattr(self.networks[name], "min_size", 1))

    def _demanding(self) -> str:
        """The network that needs the largest images, with the flag that chooses it."""
        name = self._most_demanding
        chosen = vars(self.opt).get(f"net{name[0]}")
        return f"net{name}" if chosen is None else f"net{name} (--net{name[0]} {chosen})"

    @property
    def min_size(self) -> int:
        """The least height and width of images, in pixels."""
        return int(getattr(self.networks[self._most_demanding], "min_size", 1))

    @property
    def multiple(self) -> int:
        """The number of which height and width must be multiples."""
        return max(int(getattr(net, "multiple", 1)) for net in self.networks.values())

    @property
    def lr(self) -> float:
        """The learning rate of the first optimizer."""
        return self.optimizers.lr

    # -- a step ---------------------------------------------------------------------------------------------------

    def step(self, batch: Batch, position: Position) -> StepOutput:
        """One training step on a batch on the device; `position` is where training stands before it.

        Raises `DataError` for images that a network cannot take.
        """
        self._check_sizes(batch)
        for name in self.method.restarting(position):
            self._restart(name)
        parts = [p for p in (Shard.of(len(batch), i, self._parts) for i in range(self._parts)) if p.counted]
        weights = [part.weight for part in parts]
        steps: list[Step] = []
        for part in parts:
            ctx = StepContext(replace(position), part.within(batch.shard), len(parts) == 1, self.rng)
            steps.append(self.method.step(batch.part(part.start, part.stop), ctx))
        losses: dict[str, Tensor] = {}
        answers: list[Any] = [None] * len(steps)
        while True:
            requests = self._segment(steps, answers, weights)
            first = requests[0]
            if isinstance(first, Minimize):
                rates = {name: self.method.rate(name, position) for name in first.networks}
                self.optimizers.step(rates, batch.shard)
                losses |= mean([request.losses.logged for request in requests], weights)
                answers = [None] * len(steps)
            elif isinstance(first, Together):
                answers = self._together(requests, batch.shard)
            else:
                break
        for name, average in self.averages.items():
            average.update_parameters(self.networks[name])
            for buffer in unaveraged(self.networks[name]):
                average.module.get_buffer(buffer).copy_(self.networks[name].get_buffer(buffer))
        return StepOutput(losses, {name: joined([images[name] for images in requests]) for name in first})

    def _restart(self, name: str) -> None:
        """Give a network its initial weights, its optimizer no memory, and its average nothing but these weights."""
        self.networks[name].load_state_dict(self._initial[name])
        self.optimizers.forget(name)
        if name in self.averages:
            self.averages[name].module.load_state_dict(self._initial[name])

    @property
    def _parts(self) -> int:
        return int(self.opt.accumulation_steps)

    def _segment(self, steps: Sequence[Step], answers: Sequence[Any], weights: Sequence[float]) -> list[Any]:
        """What each micro-batch asks for next, or its images at the end of the step.

        All are given the same random numbers, which are drawn for the whole batch (see `Shard`).
        """
        before = self.rng.state_dict() if len(steps) > 1 else {}
        requests: list[Any] = []
        for step, answer, weight in zip(steps, answers, weights, strict=True):
            if requests:
                self.rng.load_state_dict(before)
            try:
                request = step.send(answer)
            except StopIteration as end:
                requests.append({name: images.detach() for name, images in end.value.items()})
                continue
            if isinstance(request, Minimize):
                loss = request.losses.total if weight == 1 else request.losses.total * weight
                (loss if self.scaler is None else self.scaler.scale(loss)).backward()
                request = Minimize(Losses(loss.detach(), request.losses.logged), request.networks)  # without its graph
                del loss
            requests.append(request)
        return requests

    def _together(self, requests: Sequence[Together], shard: Shard) -> list[Any]:
        """What each micro-batch is answered by the function that is called with the whole batch."""
        sizes = [len(request.tensors[0]) for request in requests]
        columns = zip(*(request.tensors for request in requests), strict=True)
        answer = requests[0].function(*(gather(joined(parts), shard) for parts in columns))
        if not isinstance(answer, Tensor):
            return [answer] * len(requests)
        return list(answer[shard.start : shard.stop].split(sizes))

    def _check_sizes(self, batch: Batch) -> None:
        needed = self.min_size
        for name, images in batch.tensors.items():
            if min(images.shape[2:], default=needed) < needed:
                size = f"{images.shape[3]}x{images.shape[2]}"
                raise DataError(
                    f"{batch.paths[name][0]}: {size} pixels after --preprocess; {self._demanding()} needs {needed}"
                )

    # -- between steps --------------------------------------------------------------------------------------------

    def trained(self, network: str) -> nn.Module:
        """The network as it translates: averaged if it is."""
        return self.averages[network].module if network in self.averages else self.networks[network]

    def describe(self) -> None:
        """Log the size of each network, and with --verbose all of their layers."""
        for name, net in self.networks.items():
            if self.opt.verbose:
                log.info("%s", net)
            log.info("net%s: %.3f million parameters", name, sum(p.numel() for p in net.parameters()) / 1e6)
        if self.runtime.compile:
            log.info("--compile: the first steps wait for the compiler; on a CPU this takes minutes")

    def advise(self, losses: Mapping[str, float], position: Position) -> None:
        """Log the method's advice, each warning at most once in an epoch."""
        for warning in self.method.advice(losses, position):
            if self._advised.get(warning) != position.epoch:
                self._advised[warning] = position.epoch
                log.warning("epoch %d, step %d: %s", position.epoch, position.step, warning)

    # -- state ----------------------------------------------------------------------------------------------------

    def share_weights(self) -> None:
        """Let every process begin with the weights of the first."""
        copy_from_first(tensor for net in self.networks.values() for tensor in net.state_dict().values())
        for average in self.averages.values():
            copy_from_first(average.state_dict().values())

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The weights in CUT's format by network name; averaged ones as `<name>_ema`."""
        averaged = {f"{name}_ema": average.module.state_dict() for name, average in self.averages.items()}
        return {name: net.state_dict() for name, net in self.networks.items()} | averaged

    def start_averages(self) -> None:
        """Begin the averages with the weights as they are."""
        for name, average in self.averages.items():
            average.module.load_state_dict(self.networks[name].state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that is stateful, as tensors and plain values."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            **self.optimizers.state_dict(),
            "ema": {name: average.state_dict() for name, average in self.averages.items()},
            "objectives": {name: objective.state_dict() for name, objective in self.method.objectives.items()},
            "rng": self.rng.state_dict(),
            **({} if self.scaler is None else {"scaler": self.scaler.state_dict()}),
        }

    def load_state_dict(self, state: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        """Go on from `state`, which was saved with the options `before`; the rates follow what differs from them."""
        for name, net in self.networks.items():
            net.load_state_dict(state["networks"][name])
        self.optimizers.load_state_dict(state, before)
        self.start_averages()  # those of a run that had none begin here
        for name, average in self.averages.items():
            if name in state["ema"]:
                average.load_state_dict(state["ema"][name])
        for name, objective in self.method.objectives.items():
            if name in state["objectives"]:
                objective.load_state_dict(state["objectives"][name])
        self.rng.load_state_dict(state["rng"])
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])


def unaveraged(net: nn.Module) -> list[str]:
    """Buffers of which an average is no use: those that `net` names, and the singular vectors of spectral norms.

    A mean of turning vectors is shorter than 1, and the norm would then divide by too little.
    """
    vectors = [name for name, _ in net.named_buffers() if name.endswith((".weight.0._u", ".weight.0._v"))]
    return [*getattr(net, "unaveraged", ()), *vectors]
