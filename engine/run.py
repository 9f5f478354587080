"""A run: the folder checkpoints/<name>, what is saved there, and how training goes on from it."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from coopcut.engine.checkpoint.files import STATE, finish_writing, load_weights, read_file, write_files
from coopcut.engine.checkpoint.formats import FORMAT, current
from coopcut.engine.checkpoint.lock import lock_folder
from coopcut.engine.checkpoint.weights import fill
from coopcut.engine.position import Position
from coopcut.engine.processes.collectives import sum_over_processes
from coopcut.engine.processes.peers import restarted
from coopcut.engine.processes.shard import Shard
from coopcut.engine.trainer import Trainer
from coopcut.options.option import Options
from coopcut.options.saved import FILE, as_json, load_options, save_options, to_dict
from coopcut.util.errors import CheckpointError, NonFiniteLossError, OptionError, UserError

log = logging.getLogger(__name__)

BEST = "best"


class Run:
    """Saves and restores training.

    mean_loss: sum and number of the losses of the epoch that steer the learning rate. best: of each export, the
    evaluation that was best so far: metric, value, epoch.
    """

    def __init__(self, opt: Options, trainer: Trainer) -> None:
        self.opt = opt
        self.trainer = trainer
        self.peers = trainer.runtime.peers
        self.folder = Path(opt.checkpoints_dir) / opt.name
        self.position = Position(epoch=opt.epoch_count)
        self.mean_loss = torch.zeros(2, dtype=torch.float64)
        self.best: dict[str, dict[str, Any]] = {}
        self.writes = self.peers.rank == 0
        self.unfinished: int | None = None  # epoch that ended, of which evaluation and weights to keep are still to do
        self._lock: int | None = None
        self._made: list[Path] = []  # folders that this run created, the innermost first

    # -- at the start ---------------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Lock the folder, if it exists, and finish what a killed save had begun; to be called first."""
        if self.writes and self.folder.is_dir():
            with self._writing():
                self._lock = lock_folder(self.folder, patience=30 if restarted() else 0)
                finish_writing(self.folder)

    def start(self) -> Position:
        """Make the folder, or continue what is in it; then save the options there. Raises `CheckpointError`."""
        state = self.folder / STATE
        if self.opt.continue_train and state.is_file():
            if "pretrained_name" in self.opt.given:
                raise OptionError("--pretrained_name starts a run and --continue_train resumes one: leave one out")
            self._restore(read_file(state), state)
        elif self.opt.pretrained_name:
            self._refuse_to_overwrite()
            self._start_from(Path(self.opt.checkpoints_dir) / self.opt.pretrained_name)
        elif self.opt.continue_train:
            if not any((self.folder / f"{self.opt.epoch}_net_{name}.pth").is_file() for name in self._exported()):
                raise CheckpointError(
                    f"--continue_train: there is nothing to continue in {self.folder}; "
                    "check --name and --checkpoints_dir, or leave --continue_train out to start"
                )
            if load_options(self.folder):  # written here: CUT keeps no train_opt.json
                raise CheckpointError(
                    f"{state} is missing, and the run cannot resume exactly without it: restore it, or start a new run "
                    f"from the saved weights with --pretrained_name {self.opt.name} and another --name"
                )
            self._start_from(self.folder)  # weights of CUT, without the state of optimizers and schedule
        else:
            self._refuse_to_overwrite()
        if not self.writes:
            self.mean_loss[0] = 0  # the sum over the processes holds it once
            return self.position
        with self._writing():
            self._made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._lock is None:  # a new folder
                self.claim()
            with TemporaryFile(dir=self.folder):  # else hours could pass before the first save fails
                pass
            if not self.position.step:  # a continued run keeps its options until it has something new to save
                save_options(self.opt, self.folder)
        return self.position

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"{self.folder} cannot be written ({error.strerror}): check --checkpoints_dir and its permissions"
            ) from None

    def close(self) -> None:
        """Let others use the folder; a folder made for a run that took no step is removed."""
        if self.position.step == 0 and not (self.folder / STATE).exists() and self.folder in self._made:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # something else is in a folder above: it stays
                for folder in self._made[1:]:
                    folder.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _refuse_to_overwrite(self) -> None:
        found = sorted(self.folder.glob("*_net_*.pth")) + sorted(self.folder.glob(STATE))
        if found:
            raise CheckpointError(
                f"{self.folder} already holds a trained run ({found[0].name}): resume it with --continue_train, "
                "choose another --name, or move the folder away"
            )

    def _restore(self, state: Any, source: Path) -> None:
        if self.opt.epoch != "latest":
            raise OptionError(
                f"--epoch {self.opt.epoch}: only 'latest' keeps the full state; to start again from those "
                f"weights use --pretrained_name {self.opt.name} --epoch {self.opt.epoch} with another --name"
            )
        try:
            state = current(state, source)
            position = Position(**{name: int(value) for name, value in state["position"].items()})
            began = int(load_options(self.folder).get("epoch_count", 1))
            if "epoch_count" in self.opt.given and self.opt.epoch_count not in (position.epoch, began):
                raise OptionError(
                    f"--epoch_count {self.opt.epoch_count}: {self.folder} is in epoch {position.epoch}; leave it out"
                )
            self.opt.epoch_count = began  # the schedule counts from where the run began
            weights = state["model"]["networks"]
            if self.trainer.networks.keys() - weights.keys():
                raise CheckpointError(
                    f"{source} holds the networks {', '.join(weights)}, but this --model needs "
                    f"{', '.join(self.trainer.networks)}: restore the file, or start again with another --name"
                )
            for name, net in self.trainer.networks.items():
                load_weights(net, weights[name], source)
            self.trainer.load_state_dict(state["model"], state["options"])
            self.mean_loss = torch.as_tensor(state["mean_loss"])
            self.best, self.unfinished = dict(state["best"]), state.get("unfinished")
        except UserError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError, ArithmeticError, AttributeError) as error:
            raise CheckpointError(
                f"{source} does not fit this training ({type(error).__name__}: {error}): restore the file, or start "
                "again with another --name"
            ) from None
        self.position = position
        log.info("continuing %s: epoch %d, step %d", self.folder, position.epoch, position.step)

    def _start_from(self, folder: Path) -> None:
        """Take the weights of another run; only networks that translate must be there."""
        for name, net in self.trainer.networks.items():
            path = folder / f"{self.opt.epoch}_net_{name}.pth"
            if name not in self._exported() and not path.is_file():
                log.warning("%s does not exist: net%s starts from its initial weights", path, name)
                continue
            fill(net, read_file(path), path, self.opt)
        self.trainer.start_averages()
        log.info("starting from the weights %s of %s", self.opt.epoch, folder)

    def _exported(self) -> set[str]:
        return {export.network for export in self.trainer.method.exports.values()}

    # -- while training -------------------------------------------------------------------------------------------

    def save(self, *keep: str, best: Sequence[str] = ()) -> None:
        """Save the full state and the weights as 'latest', and the weights under the names `keep` too.

        best: networks whose weights are kept under the name 'best'. All processes of a run call it together; the first
        one writes.
        """
        mean_loss = self._total_loss()
        with self.peers.agreed():
            if self.writes:
                self._write(keep, best, mean_loss)

    def _write(self, keep: Sequence[str], best: Sequence[str], mean_loss: torch.Tensor) -> None:
        weights = self.trainer.weights()
        for name, values in weights.items():
            if not all(bool(value.isfinite().all()) for value in values.values()):
                raise NonFiniteLossError(
                    f"net{name} is no longer finite at step {self.position.step}; saved files are unchanged: "
                    "lower --lr, then resume with --continue_train, or start again"
                )
        files = {f"{BEST}_net_{n}.pth": w for n, w in weights.items() if n.removesuffix("_ema") in best}
        files |= {f"{label}_net_{n}.pth": w for label in (*keep, "latest") for n, w in weights.items()}
        options = {FILE: as_json(self.opt).encode()}
        write_files(self.folder, {**files, **options, STATE: self.state_dict() | {"mean_loss": mean_loss}})

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to resume exactly."""
        return {
            "format": FORMAT,
            "options": to_dict(self.opt),
            "position": asdict(self.position),
            "mean_loss": self.mean_loss,
            "best": self.best,
            "unfinished": self.unfinished,
            "model": self.trainer.state_dict(),
        }

    def add_loss(self, losses: Mapping[str, torch.Tensor], shard: Shard) -> None:
        """Note the loss of a step that steers the learning rate, the mean over `shard`; the device need not wait."""
        loss = losses.get(self.trainer.method.steered_by)
        if loss is not None:
            loss = loss * shard.weight
            if self.mean_loss.device != loss.device:
                self.mean_loss = self.mean_loss.to(loss.device, _double(loss.device))
            self.mean_loss = self.mean_loss + torch.stack([loss.to(self.mean_loss.dtype), self.mean_loss.new_ones(())])

    def end_epoch(self) -> float:
        """Move schedule and position to the next epoch; returns the mean of the steering loss in the one that ended."""
        total, number = self._total_loss().tolist()
        mean = total / max(number, 1)
        self.mean_loss = torch.zeros(2, dtype=torch.float64)
        self.trainer.optimizers.end_epoch(mean)
        self.unfinished = self.position.epoch
        self.position.next_epoch()
        return mean

    def _total_loss(self) -> torch.Tensor:
        """`mean_loss` with the parts of all processes."""
        return torch.stack([sum_over_processes(self.mean_loss[0]), self.mean_loss[1]])


def _double(device: torch.device) -> torch.dtype:
    """The widest float of a device: Apple's GPUs have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64
