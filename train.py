"""Train a translator: python train.py --model coopcut --dataroot ./datasets/horse2zebra"""

import coopcut.util.interrupts  # noqa: F401 (before torch)

# isort: split
import logging
import math
import shlex
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from coopcut.data import TRAINING_CHOICES, EpochLoader, HeldOut, create_loader
from coopcut.data.prefetch import on_device
from coopcut.engine.evaluation import BEST, Evaluation
from coopcut.engine.guard import FiniteGuard
from coopcut.engine.position import Position
from coopcut.engine.processes.collectives import mean_over_processes
from coopcut.engine.processes.peers import DIFFERENT_IMAGES, DIFFERENT_OPTIONS, Peers, join
from coopcut.engine.run import Run
from coopcut.engine.runtime import choose_devices, set_up
from coopcut.engine.signals import StopSignals
from coopcut.models import MODELS, NETWORK_CHOICES, BaseModel, create_model
from coopcut.monitors import MONITOR_CHOICES, Monitors, RunInfo, create_monitors
from coopcut.options.option import Options
from coopcut.options.parser import OptionParser
from coopcut.options.saved import to_dict
from coopcut.options.savings import for_training
from coopcut.util.cli import run_script
from coopcut.util.errors import DataError, StoppedError
from coopcut.util.memory import memory_advice

log = logging.getLogger("train")


def main(argv: Sequence[str]) -> int:
    """Parse, build, train, together with the other processes if torchrun started several. Returns the exit code."""
    with join() as peers, memory_advice() as advice:
        with peers.agreed():
            opt = OptionParser(True, MODELS, NETWORK_CHOICES | TRAINING_CHOICES | MONITOR_CHOICES).parse(argv)
            devices = choose_devices(opt.gpu_ids)
            advice.less = lambda error: for_training(opt, devices[0])
            set_up(opt.seed, opt.deterministic, devices[0], opt.tf32)
            loader = create_loader(opt)
            if not loader.dataset.size_B:
                raise DataError(f"--dataset_mode {opt.dataset_mode} has no target images to learn from; use unaligned")
            model = create_model(opt, devices)
            advice.less = lambda error: for_training(opt, devices[0], model)
            held_out = HeldOut(opt) if opt.eval_freq else None
        peers.check_same(lambda: to_dict(opt), DIFFERENT_OPTIONS)
        peers.check_same(lambda: loader.fingerprint() | (held_out.fingerprint() if held_out else {}), DIFFERENT_IMAGES)
        with peers.agreed():
            evaluation = Evaluation(opt, held_out, model.device) if held_out else None
        return start(opt, devices[0], loader, model, evaluation, peers)


def start(
    opt: Options,
    device: torch.device,
    loader: EpochLoader,
    model: BaseModel,
    evaluation: Evaluation | None,
    peers: Peers,
) -> int:
    """Make or continue the run, train, and say how it ended."""
    run = Run(opt, model)
    try:
        with peers.agreed():
            run.claim()
        with peers.agreed():
            position = run.start()
        model.share_weights()
        model.describe(opt.verbose)
        log.info("run %s on %s: epoch %d of %d", run.folder, device, position.epoch, last_epoch(opt))
        if position.epoch > last_epoch(opt) or position.step >= opt.max_iters:
            log.info("all epochs or steps are done: to go on, raise --n_epochs, --n_epochs_decay or --max_iters")
        info = RunInfo(opt, run.folder, position, total_steps(opt, loader, position), loader.samples_per_epoch)
        with StopSignals(peers.alone) as stop, peers.shared(stop), create_monitors(info) as monitors, peers.agreed():
            monitors.log_every = peers.collect(monitors.log_every)[0]
            train(opt, loader, model, run, monitors, stop, evaluation, peers)
    finally:
        loader.close()
        run.close()
    if stop.received and not position.step:
        log.info("stopped by %s before the first step; nothing is kept", stop.received.name)
        return 128 + stop.received
    if stop.received:
        again = resume_command(opt)
        log.info("stopped by %s after step %d, saved; go on with: %s", stop.received.name, position.step, again)
        return 128 + stop.received
    steps = "1 step" if position.step == 1 else f"{position.step} steps"
    log.info("done: %s; weights and options are in %s", steps, run.folder)
    return 0


def resume_command(opt: Options) -> str:
    """What to type in a shell to go on with the run."""
    flags = [f"--checkpoints_dir={opt.checkpoints_dir}", f"--name={opt.name}"]
    if opt.max_iters < math.inf:  # of the call, not of the run
        flags.append(f"--max_iters={opt.max_iters}")
    return f"python train.py {shlex.join(flags)} --continue_train"


def train(
    opt: Options,
    loader: EpochLoader,
    model: BaseModel,
    run: Run,
    monitors: Monitors,
    stop: StopSignals,
    evaluation: Evaluation | None,
    peers: Peers,
) -> None:
    """Epochs of steps, from where `run` stands to the last one, --max_iters, or a signal to stop."""
    position, guard = run.position, FiniteGuard(defer=not peers.alone)
    began = position.step
    finish_epoch(opt, model, run, monitors, stop, evaluation, peers)  # one that a signal or a kill left
    while position.epoch <= last_epoch(opt) and position.step < opt.max_iters and not stop.received:
        try:
            images = train_epoch(opt, loader, model, run, monitors, stop, guard, peers)
        except DataError as error:
            if position.step > 0:
                peers.settle(guard)
                run.save()
                steps = "step before it is" if position.step == 1 else f"{position.step} steps before it are"
                raise DataError(f"{error}; the {steps} saved") from None
            raise
        if images:
            monitors.show(position, 0, images, epoch_ended=True)
        if position.samples < loader.samples_per_epoch:  # stopped within the epoch
            break
        run.end_epoch()
        finish_epoch(opt, model, run, monitors, stop, evaluation, peers)
    if position.step > began:  # else there is nothing new, and the options stay those of what is there
        if stop.received:
            log.info("%s: saving before the end", stop.received.name)
        run.save()


def finish_epoch(
    opt: Options,
    model: BaseModel,
    run: Run,
    monitors: Monitors,
    stop: StopSignals,
    evaluation: Evaluation | None,
    peers: Peers,
) -> None:
    """Evaluate an epoch that has ended and keep its weights, in one save: a kill leaves all of it to do, or nothing."""
    ended = run.unfinished
    if ended is None:
        return
    keep: list[str] = []
    if evaluation is not None:
        try:
            keep += [BEST] if evaluation(ended, model, run, monitors, stop) else []
        except StoppedError:
            peers.agree_on(stop)
            return
    if ended % opt.save_epoch_freq == 0:
        keep.append(str(ended))
    run.unfinished = None
    if keep:
        run.save(*keep)


def train_epoch(
    opt: Options,
    loader: EpochLoader,
    model: BaseModel,
    run: Run,
    monitors: Monitors,
    stop: StopSignals,
    guard: FiniteGuard,
    peers: Peers,
) -> dict[str, Tensor]:
    """The steps of an epoch that are still to do; returns the pictures of the last one."""
    position = run.position
    images: dict[str, Tensor] = {}
    asked = time.perf_counter()
    # a data set that has shrunk since the checkpoint: its epoch is over
    batches = loader.epoch(position.epoch, min(position.samples, loader.samples_per_epoch))
    for batch in peers.in_step(on_device(batches, model.device), stop, guard):
        waited, phase = time.perf_counter() - asked, model.phase(position)
        output = model.step(batch, position)
        images = output.images
        position.advance(batch.samples)
        run.add_loss(output.losses, batch.share)
        guard.check(output.losses, position.step, [*batch.A_paths, *batch.B_paths])
        monitors.step(position, batch.samples, waited)
        if monitors.due_losses(position, batch.samples):
            means = mean_over_processes(output.losses, model.share)
            losses = {name: float(loss) for name, loss in means.items()}
            monitors.log(position, batch.samples, phase, losses, model.lr)
            model.advise(losses, position)
        monitors.show(position, batch.samples, images)
        if position.crossed(opt.save_latest_freq, batch.samples):
            peers.settle(guard)
            run.save(*([f"iter_{position.images}"] if opt.save_by_iter else []))
        if stop.received or position.step >= opt.max_iters:
            break
        asked = time.perf_counter()
    peers.settle(guard)
    return images


def last_epoch(opt: Options) -> int:
    """The number of the last epoch."""
    return int(opt.n_epochs + opt.n_epochs_decay)


def total_steps(opt: Options, loader: EpochLoader, position: Position) -> int:
    """Steps of the whole training, those already done included."""
    rest = -(-(loader.samples_per_epoch - position.samples) // loader.batch_size)
    left = rest + (last_epoch(opt) - position.epoch) * loader.steps_per_epoch
    return int(min(opt.max_iters, position.step + max(left, 0)))


def command() -> None:
    """What `coopcut-train` runs."""
    run_script(main)


if __name__ == "__main__":
    command()
