"""One training of a comparison: `train.py`'s own loop, with figures along the way."""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from coopcut.comparison.judge import Judge, images_of
from coopcut.comparison.plan import QUIET, Job
from coopcut.comparison.sample_judge import SampleJudge
from coopcut.data.batch import Batch
from coopcut.engine.evaluation import undisturbed
from coopcut.engine.position import Position
from coopcut.engine.processes.shard import Shard
from coopcut.engine.step import StepOutput
from coopcut.engine.trainer import Trainer
from coopcut.engine.training import Training
from coopcut.images.io import save_image
from coopcut.models import MODELS
from coopcut.options.option import Options
from coopcut.util.errors import StoppedError
from coopcut.util.files import write_text

MEASURED = 8  # times in a run
ADVISED = 50  # steps from one look at the method's warnings to the next

Stepper = Callable[[Batch, Position], StepOutput]


def run(job: Job) -> dict[str, Any]:
    """Train, measure, and write figures and pictures, the figures last. Returns the last ones.

    Raises `StoppedError`, with nothing written, if a signal ended the training.
    """
    judge = judge_of(job.candidate.options(job.dataroot))
    with tempfile.TemporaryDirectory(prefix="compare-") as folder, quiet():
        flags = [*QUIET, *job.flags(), "--checkpoints_dir", folder, "--name", "run"]
        with Training.prepared(flags) as training:
            watch = Watch(training, judge, job.steps)
            step = supervised(job.dataroot, training.trainer, job.seed) if job.candidate.supervised else None
            for output, seconds in steps(training, step or training.trainer.step):
                watch.after(output, seconds)
        if training.stop.received:
            raise StoppedError(f"{job.candidate.text}, seed {job.seed}: stopped; it begins anew with the next call")
    found = {"method": job.candidate.text, "flags": job.flags(), "seed": job.seed, "steps": job.steps}
    found |= {"rows": watch.rows, "warnings": watch.warnings}
    job.path.parent.mkdir(parents=True, exist_ok=True)
    save_image(judge.strip(watch.fake), job.path.with_suffix(".png"))
    write_text(job.path, json.dumps(found, indent=1) + "\n")
    return watch.rows[-1]


def judge_of(opt: Options) -> Judge | SampleJudge:
    """What measures a training with the options `opt`."""
    translates = MODELS[opt.model].purpose == "translation"
    return Judge.load(Path(opt.dataroot)) if translates else SampleJudge.load(opt)


def steps(training: Training, step: Stepper) -> Iterator[tuple[StepOutput, float]]:
    """The steps of a training, each with its processor time in seconds; nothing is saved."""
    while not training.ended:
        for batch in training.batches():
            began = time.process_time()
            output = step(batch, training.position)
            float(next(iter(output.losses.values())))  # waits for the device
            training.note(output, batch)
            yield output, time.process_time() - began
        training.end_epoch()


class Watch:
    """Measures a training as it goes: figures at `MEASURED` places, and how often the method warned."""

    def __init__(self, training: Training, judge: Judge | SampleJudge, total: int) -> None:
        self.training, self.judge, self.total = training, judge, total
        self.rows: list[dict[str, Any]] = []
        self.warnings: dict[str, Any] = {"looks": 0, "with": 0, "said": {}}
        self.fake = judge.A
        self._seconds, self._number = 0.0, 0

    def after(self, output: StepOutput, seconds: float) -> None:
        """A step is done."""
        self._seconds, self._number = self._seconds + seconds, self._number + 1
        if self._number % ADVISED == 0:
            self._look(output)
        if self._number * MEASURED // self.total > (self._number - 1) * MEASURED // self.total:
            self._measure(output)

    def _look(self, output: StepOutput) -> None:
        losses = {name: float(loss) for name, loss in output.losses.items()}
        said = self.training.trainer.method.advice(losses, self.training.position)
        self.warnings["looks"] += 1
        self.warnings["with"] += bool(said)
        for text in said:
            kind = text.split(";")[0]
            self.warnings["said"][kind] = self.warnings["said"].get(kind, 0) + 1

    def _measure(self, output: StepOutput) -> None:
        trainer = self.training.trainer
        with undisturbed(trainer.runtime.device):
            self.fake = self.judge.make(trainer, self._number == self.total)
            found = self.judge.figures(self.fake)
        row = {"step": self._number, "seconds": self._seconds, "figures": found}
        self.rows.append(row | {"losses": {name: float(loss) for name, loss in output.losses.items()}})


def supervised(dataroot: Path, trainer: Trainer, seed: int) -> Stepper:
    """A step in which the generator alone learns the true counterparts (mean absolute difference): the ceiling."""
    A, B = images_of(dataroot / "trainA"), images_of(dataroot / "trueB")
    rng = torch.Generator().manual_seed(seed)

    def step(batch: Batch, _: Position) -> StepOutput:
        chosen = torch.randint(len(A), (len(batch),), generator=rng)
        sides = (A[chosen], B[chosen])
        a, true = (side.flip(-1) for side in sides) if torch.rand((), generator=rng) < 0.5 else sides
        loss: Tensor = l1_loss(trainer.networks["G"](a.to(trainer.runtime.device)), true.to(trainer.runtime.device))
        loss.backward()
        trainer.optimizers.step({"G": 1.0}, Shard.whole(len(a)))
        for name, average in trainer.averages.items():
            average.update_parameters(trainer.networks[name])
        return StepOutput({"G": loss.detach()}, {})

    return step


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block the log says warnings alone."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
