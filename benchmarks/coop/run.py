"""One run of the study: a method trained on the toy set in memory, and measured along the way."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from benchmarks.coop.measure import Data, measure, translate
from benchmarks.coop.variants import Variant
from benchmarks.ready import batch_of, options, trainer_of
from coopcut.engine.position import Position
from coopcut.engine.processes.shard import Shard
from coopcut.engine.step import StepContext
from coopcut.engine.trainer import Trainer
from coopcut.models import Method
from coopcut.objectives.cooperative import Cooperative

MEASURED = 10  # times in a run
LAST = 3  # of these, which are averaged and have all figures
SHOWN = 8  # test images in the picture of a run


@dataclass(frozen=True)
class Result:
    """rows: the figures at `MEASURED` places, with the seconds of training alone up to there.

    pictures: by name [8, 3, H, W] of the first test images, among them fake_B of the last and of the averaged
    weights, and what the last warm-up step saw.
    """

    rows: list[dict[str, Any]]
    pictures: dict[str, Tensor]


def train(
    data: Data,
    flags: Sequence[str],
    steps: int,
    supervised: bool = False,
    variant: type[Method] | None = None,
    decay: bool = True,
) -> Result:
    """Train for `steps` steps.

    The rate is constant for half of the steps and then, with `decay`, falls to 0 in a straight line, step by step.
    `supervised`: the generator alone learns the true counterparts (mean absolute difference), as a ceiling.
    `variant`: a class in place of that of --model.
    """
    trainer, position = trainer_of(options(flags), variant), Position()
    opt, method, device = trainer.opt, trainer.method, trainer.runtime.device
    rows, seconds = list[dict[str, Any]](), 0.0
    began, means = time.perf_counter(), _Means()
    pictures = {split: data.images[split][:SHOWN] for split in ("testA", "testB")}
    for step, (a, b, true) in enumerate(_batches(data, opt.batch_size, steps, opt.seed), 1):
        _set_rate(trainer, opt.lr * (min(1.0, 2 * (1 - (step - 1) / steps)) if decay else 1.0))
        phase, starting = method.stage(position), _starting(trainer, position)
        if supervised:
            phase = "supervised"
            _supervised_step(trainer, a.to(device), true.to(device))
        else:
            means.add(trainer.step(batch_of(a, b).to(device), position).losses)
        position.advance(len(a))
        if starting and (step == steps or not _starting(trainer, position)):
            pictures |= _switch(trainer, pictures["testA"].to(device), pictures["testB"].to(device))
        if step * MEASURED // steps > (step - 1) * MEASURED // steps:
            losses = means.take()  # waits for the device
            seconds += time.perf_counter() - began
            full = len(rows) >= MEASURED - LAST
            found = {name: measure(data, net, device, full) for name, net in _generators(trainer)}
            row = {"step": step, "seconds": seconds, "phase": phase, "losses": losses}
            rows.append(row | {"advice": method.advice(losses, position)} | found)
            began = time.perf_counter()
    for name, net in _generators(trainer):
        pictures[f"fake_B, {name}"] = translate(net, pictures["testA"], device)
    return Result(rows, pictures)


def _set_rate(trainer: Trainer, rate: float) -> None:
    for optimizer in trainer.optimizers.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate


def _cooperative(trainer: Trainer) -> Cooperative:
    objective = trainer.method.objectives["adversarial"]
    assert isinstance(objective, Cooperative)
    return objective


def _starting(trainer: Trainer, position: Position) -> bool:
    """Whether the step after `position` belongs to a cooperative start."""
    return _cooperative(trainer).starting(position)


def _switch(trainer: Trainer, sources: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """End the start: a variant forgets. Returns translations before and after the revision, [N, 3, H, W] on the CPU."""
    with torch.no_grad():
        fake_B = trainer.networks["G"](sources)
    ctx = StepContext(Position(), batch_of(sources, targets).shard, True, trainer.rng)
    revised_B = _cooperative(trainer).reviser(fake_B, targets, ctx).x
    if isinstance(trainer.method, Variant):
        for name in trainer.method.forgetting:
            trainer.optimizers.optimizers[name].state.clear()
    return {"fake_B, warm-up": fake_B.clamp(-1, 1).cpu(), "revised_B": revised_B.cpu()}


def _batches(data: Data, size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Random sources, random targets and the true counterparts of the sources, each batch mirrored by chance."""
    rng = torch.Generator().manual_seed(seed)
    A, B = data.images["trainA"], data.images["trainB"]
    for _ in range(steps):
        i, j = torch.randint(len(A), (size,), generator=rng), torch.randint(len(B), (size,), generator=rng)
        flip_A, flip_B = (torch.rand(2, generator=rng) < 0.5).tolist()
        a, true, b = A[i], data.trainA_true[i], B[j]
        yield (a.flip(-1) if flip_A else a), (b.flip(-1) if flip_B else b), (true.flip(-1) if flip_A else true)


def _supervised_step(trainer: Trainer, a: Tensor, true: Tensor) -> None:
    l1_loss(trainer.networks["G"](a), true).backward()
    trainer.optimizers.step({"G": 1.0}, Shard.whole(len(a)))
    for name, average in trainer.averages.items():
        average.update_parameters(trainer.networks[name])


def _generators(trainer: Trainer) -> Iterator[tuple[str, nn.Module]]:
    yield "raw", trainer.networks["G"]
    if "G" in trainer.averages:
        yield "ema", trainer.averages["G"].module


class _Means:
    """The mean of each loss since it was last taken."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            total, number = self.sums.get(name, (torch.zeros_like(loss), 0))
            self.sums[name] = total + loss, number + 1

    def take(self) -> dict[str, float]:
        means = {name: float(total) / number for name, (total, number) in self.sums.items()}
        self.sums.clear()
        return means
