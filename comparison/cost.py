"""What a step of a method costs, relative to another: in processor time, and in operations at CUT's defaults."""

import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from coopcut.comparison.plan import Candidate, steps_per_epoch
from coopcut.data import create_loader
from coopcut.data.batch import Batch
from coopcut.engine.device import set_up
from coopcut.engine.position import Position
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.engine.trainer import Trainer
from coopcut.models import create_method
from coopcut.options.option import Options
from coopcut.options.parser import OptionParser

log = logging.getLogger("compare")

BLOCK, BLOCKS = 8, 7  # steps of one method before the next has its turn; turns
NETWORKS = ("ngf", "ndf", "netG", "netD", "n_layers_D", "netF", "netF_nc", "num_patches", "nce_layers", "batch_size",
            "load_size", "crop_size", "preprocess", "normD", "normG", "init_type", "ema")  # fmt: skip


def stages(opt: Options) -> list[tuple[int, Position]]:
    """(number of steps, a position in it) of the start, if there is one, and of what follows; 0 steps: all the rest."""
    after = (0, Position(epoch=10**6, step=10**6))
    start = int(vars(opt).get("coop_iters", 0))
    if start == 0 and vars(opt).get("coop_epochs", 0) > 0:
        start = int(opt.coop_epochs) * steps_per_epoch(opt)
    return [(start, Position()), after] if start else [after]


def steps_for(opt: Options, costs: Sequence[float], budget: float) -> int:
    """The steps that `budget` steps of the first method pay for, if one costs as much as `costs` says by stage."""
    total = 0
    for (number, _), cost in zip(stages(opt), costs, strict=True):
        steps = int(budget / cost) if number == 0 else min(number, int(budget / cost))
        total, budget = total + steps, budget - steps * cost
    return max(total, 1)


def time_costs(trainers: Mapping[str, Trainer], batches: Mapping[str, Batch]) -> dict[str, list[float]]:
    """By name and stage: processor time of a step over that of the first trainer's last stage.

    Blocks of steps alternate in this process; the figure is the ratio of the medians.
    """
    log.info("measuring the processor time of a step of %d methods", len(trainers))
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in stages(t.opt)] for name, t in trainers.items()}
    for turn in range(BLOCKS + 1):
        for name, trainer in trainers.items():
            for stage, (_, where) in enumerate(stages(trainer.opt)):
                began = time.process_time()
                for step in range(BLOCK):
                    output = trainer.step(batches[name], Position(epoch=where.epoch, step=where.step + step))
                    float(next(iter(output.losses.values())))  # waits for the device
                if turn > 0:
                    seconds[name][stage].append(time.process_time() - began)
    return _relative({name: [statistics.median(found) for found in own] for name, own in seconds.items()})


def operation_costs(candidates: Sequence[Candidate], dataroot: Path) -> dict[str, list[float]]:
    """As `time_costs`, in multiplications at CUT's defaults: networks, images of 256 px, one image in a batch."""
    log.info("counting the operations of a step of %d methods at CUT's defaults", len(candidates))
    found: dict[str, list[float]] = {}
    batch = batch_of((torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256)), 1)
    for candidate in candidates:
        opt = OptionParser(True).parse([*_at_defaults(candidate), "--dataroot", str(dataroot)])
        trainer = trainer_of(opt)
        every = int(vars(opt).get("coop_every", 1))
        for _, where in stages(opt):
            counts = []
            for step in range(2 if every > 1 else 1):  # a step that revises and one that does not
                with _Operations() as counter:
                    trainer.step(batch, Position(epoch=where.epoch, step=where.step // every * every + step))
                counts.append(counter.total)
            share = 1 / every if len(counts) > 1 and where.step else 1.0
            found.setdefault(candidate.text, []).append(counts[0] * share + counts[-1] * (1 - share))
    return _relative(found)


class _Operations(TorchDispatchMode):
    """Counts floating-point operations; torch's own counter does not work with `torch.autograd.grad`."""

    total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def _at_defaults(candidate: Candidate) -> list[str]:
    """The flags without those that choose networks and images."""
    flags, kept = candidate.flags, list[str]()
    skip = False
    for flag in flags:
        if flag.startswith("--"):
            skip = flag[2:].split("=")[0] in NETWORKS
        if not skip:
            kept.append(flag)
    return [*kept, "--gpu_ids", "-1"]


def _relative(found: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    base = next(iter(found.values()))[-1]
    return {name: [cost / base for cost in own] for name, own in found.items()}


def trainer_of(opt: Options) -> Trainer:
    """What trains the method of `opt` in this process."""
    runtime = Runtime.from_options(opt, Peers())
    set_up(opt.seed, opt.deterministic, runtime.device, opt.tf32)
    return Trainer(opt, create_method(opt, runtime), runtime)


def first_batch(opt: Options) -> Batch:
    """The first batch of a training, read here."""
    loader = create_loader(Options(**{**vars(opt), "num_threads": 0}))
    try:
        return next(iter(loader.epoch(1)))
    finally:
        loader.close()


def batch_of(images: tuple[Tensor, Tensor], size: int) -> Batch:
    """The first `size` images [N, C, H, W] of both domains, without files."""
    A, B = (side[:size] for side in images)
    return Batch.whole({"A": A, "B": B}, {"A": [""] * len(A), "B": [""] * len(B)})
