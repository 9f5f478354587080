"""A training run from its flags to its last message: what `train.py` does, step by step."""

import contextlib
import logging
import math
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from coopcut.data import Batch, EpochLoader, HeldOut, HeldOutSamples, create_held_out, create_loader
from coopcut.data.prefetch import on_device
from coopcut.engine.device import set_up
from coopcut.engine.evaluation import Evaluation
from coopcut.engine.guard import FiniteGuard
from coopcut.engine.position import Position
from coopcut.engine.processes.collectives import mean_over_processes
from coopcut.engine.processes.peers import DIFFERENT_IMAGES, DIFFERENT_OPTIONS, Peers, join
from coopcut.engine.run import Run
from coopcut.engine.runtime import Runtime
from coopcut.engine.signals import StopSignals
from coopcut.engine.step import StepOutput
from coopcut.engine.trainer import Trainer
from coopcut.models import MODELS, create_method
from coopcut.monitors import Monitors, RunInfo, create_monitors
from coopcut.options.option import Options
from coopcut.options.parser import OptionParser
from coopcut.options.saved import to_dict
from coopcut.options.savings import for_training
from coopcut.util.errors import DataError, StoppedError
from coopcut.util.memory import memory_advice

log = logging.getLogger("train")


class Training:
    """A run in progress, together with the other processes if torchrun started several.

    >>> with Training.prepared(argv) as training:
    ...     for batch in training.batches():
    ...         training.note(training.trainer.step(batch, training.position), batch)
    """

    def __init__(self, opt: Options, loader: EpochLoader, trainer: Trainer, run: Run) -> None:
        self.opt, self.loader, self.trainer, self.run = opt, loader, trainer, run
        self.peers = trainer.runtime.peers
        self.guard = FiniteGuard(defer=not self.peers.alone)
        self.stop = StopSignals(self.peers.alone)
        self.evaluation: Evaluation | None = None
        self.monitors: Monitors
        self._began = 0
        self._asked = self._waited = 0.0
        self._stage = ""
        self._images: dict[str, Tensor] = {}

    # -- before and after -----------------------------------------------------------------------------------------

    @classmethod
    @contextmanager
    def prepared(cls, argv: Sequence[str]) -> Iterator["Training"]:
        """The training that the command line describes, its folder made or continued, ready for the first step."""
        with join() as peers, memory_advice() as advice, ExitStack() as stack:
            with peers.agreed():
                opt = OptionParser(True).parse(argv)
                runtime = Runtime.from_options(opt, peers)
                advice.less = lambda error: for_training(opt, runtime.device)
                set_up(opt.seed, opt.deterministic, runtime.device, opt.tf32)
                loader = create_loader(opt)
                stack.callback(loader.close)
                if not loader.dataset.paths_B and loader.dataset.purpose == "translation":
                    raise DataError(
                        f"--dataset_mode {opt.dataset_mode} has no target images to learn from; use unaligned"
                    )
                if loader.dataset.class_names:
                    opt.class_names = ",".join(loader.dataset.class_names)
                trainer = Trainer(opt, create_method(opt, runtime), runtime)
                advice.less = lambda error: for_training(opt, runtime.device, trainer)
                held_out = create_held_out(opt) if opt.eval_freq else None
            _check_same(peers, opt, loader, held_out)
            training = cls(opt, loader, trainer, Run(opt, trainer))
            with peers.agreed():
                if held_out is not None:
                    training.evaluation = Evaluation(opt, held_out, MODELS[opt.model], runtime)
            with training._started():
                yield training

    @contextmanager
    def _started(self) -> Iterator[None]:
        """Within the block the run's folder is ours, signals ask training to stop, and monitors watch."""
        opt, run, peers = self.opt, self.run, self.peers
        with contextlib.closing(run):
            with peers.agreed():
                run.claim()
            with peers.agreed():
                run.start()
            self.trainer.share_weights()
            self.trainer.describe()
            position, device = run.position, self.trainer.runtime.device
            log.info("run %s on %s: epoch %d of %d", run.folder, device, position.epoch, self.last_epoch)
            if position.epoch > self.last_epoch or position.step >= opt.max_iters:
                log.info("all epochs or steps are done; to train on, raise --n_epochs, --n_epochs_decay or --max_iters")
            self._began = position.step
            info = RunInfo(opt, run.folder, position, self._total_steps(), self.loader.samples_per_epoch)
            stop = self.stop
            with stop, peers.shared(stop), create_monitors(info, peers.rank == 0) as monitors, peers.agreed():
                monitors.log_every = peers.collect(monitors.log_every)[0]
                self.monitors = monitors
                yield

    def conclude(self) -> int:
        """Say how the training ended; the exit code."""
        signal, position = self.stop.received, self.position
        if signal and not position.step:
            log.info("stopped by %s before the first step; nothing was saved", signal.name)
        elif signal:
            again = resume_command(self.opt)
            log.info("stopped by %s after step %d, saved; resume with: %s", signal.name, position.step, again)
        else:
            steps = "1 step" if position.step == 1 else f"{position.step} steps"
            log.info("done: %s; weights and options are in %s", steps, self.run.folder)
        return 128 + signal if signal else 0

    # -- where it stands ------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        return self.run.position

    @property
    def last_epoch(self) -> int:
        """The number of the last epoch."""
        return int(self.opt.n_epochs + self.opt.n_epochs_decay)

    def _total_steps(self) -> int:
        """Steps of the whole training, those already done included."""
        loader, position = self.loader, self.position
        rest = -(-(loader.samples_per_epoch - position.samples) // loader.batch_size)
        left = rest + (self.last_epoch - position.epoch) * loader.steps_per_epoch
        return int(min(self.opt.max_iters, position.step + max(left, 0)))

    @property
    def ended(self) -> bool:
        """Whether all epochs or --max_iters are done, or a signal asked to stop."""
        return self.position.epoch > self.last_epoch or self._halted

    @property
    def _halted(self) -> bool:
        return self.position.step >= self.opt.max_iters or self.stop.received is not None

    # -- verbs of the loop ----------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """The batches of the epoch that are still to do, on the device."""
        position, loader, device = self.position, self.loader, self.trainer.runtime.device
        # a data set that has shrunk since the checkpoint: its epoch is over
        batches = loader.epoch(position.epoch, min(position.samples, loader.samples_per_epoch))
        self._images, self._asked = {}, time.perf_counter()
        for batch in self.peers.in_step(on_device(batches, device), self.stop, self.guard):
            self._waited, self._stage = time.perf_counter() - self._asked, self.trainer.method.stage(position)
            yield batch
            if self._halted:
                break
            self._asked = time.perf_counter()
        self.peers.settle(self.guard)

    @contextmanager
    def saved_before_errors(self) -> Iterator[None]:
        """Within the block an unusable image ends training only after all steps before it are saved."""
        try:
            yield
        except DataError as error:
            step = self.position.step
            if step == 0:
                raise
            self.peers.settle(self.guard)
            self.run.save()
            steps = "step before it is" if step == 1 else f"{step} steps before it are"
            raise DataError(f"{error}; the {steps} saved: resume with --continue_train") from None

    def note(self, output: StepOutput, batch: Batch) -> None:
        """A step is done: move on, and watch its losses."""
        self._images = output.images
        self.position.advance(batch.samples)
        self.run.add_loss(output.losses, batch.shard)
        paths = [path for paths in batch.paths.values() for path in paths]
        self.guard.check(output.losses, self.position.step, paths)

    def show(self, output: StepOutput, batch: Batch) -> None:
        """Tell the monitors of a step, when it is their turn."""
        position, monitors = self.position, self.monitors
        monitors.step(position, batch.samples, self._waited)
        if monitors.due_losses(position, batch.samples):
            means = mean_over_processes(output.losses, batch.shard)
            losses = {name: float(loss) for name, loss in means.items()}
            monitors.log(position, batch.samples, self._stage, losses, self.trainer.lr)
            self.trainer.advise(losses, position)
        monitors.show(position, batch.samples, output.images)

    def save_if_due(self, batch: Batch) -> None:
        """Save every --save_latest_freq images."""
        if self.position.crossed(self.opt.save_latest_freq, batch.samples):
            self.peers.settle(self.guard)
            self.run.save(*([f"iter_{self.position.images}"] if self.opt.save_by_iter else []))

    def end_epoch(self) -> None:
        """Move on to the next epoch if this one is complete."""
        if self._images:
            self.monitors.show(self.position, 0, self._images, epoch_ended=True)
        if self.position.samples >= self.loader.samples_per_epoch:
            self.run.end_epoch()
            self.finish_epoch()

    def finish_epoch(self) -> None:
        """Evaluate an epoch that has ended and keep its weights, in one save: all of it is done or nothing."""
        ended = self.run.unfinished
        if ended is None:
            return
        best: Sequence[str] = ()
        if self.evaluation is not None:
            try:
                best = self.evaluation(ended, self.run, self.monitors, self.stop)
            except StoppedError:
                self.peers.agree_on(self.stop)
                return
        keep = [str(ended)] if ended % self.opt.save_epoch_freq == 0 else []
        self.run.unfinished = None
        if keep or best:
            self.run.save(*keep, best=best)

    def save(self) -> None:
        """Save at the end if there is anything new; otherwise the saved options stay as they are."""
        if self.position.step > self._began:
            if self.stop.received:
                log.info("%s: saving before the end", self.stop.received.name)
            self.run.save()


def _check_same(peers: Peers, opt: Options, loader: EpochLoader, held_out: HeldOut | HeldOutSamples | None) -> None:
    """Raise `OptionError` in all processes if they were given different options or see different images."""
    peers.check_same(lambda: to_dict(opt), DIFFERENT_OPTIONS)
    peers.check_same(lambda: loader.fingerprint() | (held_out.fingerprint() if held_out else {}), DIFFERENT_IMAGES)


def resume_command(opt: Any) -> str:
    """The shell command that resumes the run."""
    flags = [f"--checkpoints_dir={opt.checkpoints_dir}", f"--name={opt.name}"]
    if opt.max_iters < math.inf:  # of the call, not of the run
        flags.append(f"--max_iters={opt.max_iters}")
    return f"python train.py {shlex.join(flags)} --continue_train"
