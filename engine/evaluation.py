"""Evaluation in training: figures of held-out images every --eval_freq epochs, and the best generator kept."""

import contextlib
import copy
import json
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coopcut.engine.base_model import BaseModel
from coopcut.engine.processes.peers import Peers
from coopcut.engine.processes.shard import Shard
from coopcut.engine.run import Run
from coopcut.engine.signals import Stopped, StopSignals
from coopcut.images.io import to_image
from coopcut.inference.translator import Translator
from coopcut.metrics.distribution import LOWER_IS_BETTER, figures
from coopcut.metrics.features import create_features
from coopcut.metrics.packages import versions
from coopcut.monitors import Monitors
from coopcut.options.option import Options
from coopcut.util.errors import DataError, NoMemoryError, OptionError, StoppedError, UserError
from coopcut.util.files import write_text

log = logging.getLogger(__name__)

FILE = "metrics.jsonl"
BEST = "best"


class HeldOutImages(Protocol):
    """Source and target images by their number, [C, H, W] in [-1, 1]; what `data.HeldOut` is."""

    paths_A: list[str]
    paths_B: list[str]

    def A(self, index: int) -> Tensor: ...

    def B(self, index: int) -> Tensor: ...


class Evaluation:
    """Translates held-out images with the current generator (the averaged one if there is one) and measures them.

    Training is not disturbed: a copy of the generator translates, and every random generator is afterwards as before.
    Of several processes each takes a part of the images; all make and call it together, and all raise what one raises.
    Raises `OptionError` at the start if a package is missing, `CheckpointError` for wrong weights of the features.
    """

    def __init__(self, opt: Options, held_out: HeldOutImages, device: torch.device) -> None:
        self.every, self.metric, self.input_nc = int(opt.eval_freq), str(opt.eval_metric), int(opt.input_nc)
        self.held_out = held_out
        self.peers = Peers()
        with undisturbed(device):
            self.libraries = versions()
            try:
                self.features = create_features(opt.eval_features, device=device)
            except UserError as error:
                raise OptionError(f"--eval_features {opt.eval_features}: {error}") from None
            for i in self._ours(held_out.paths_A):
                held_out.A(i)  # what cannot be read is told of now, not after an epoch
            self.real = self._vectors(held_out.B, held_out.paths_B)

    def __call__(self, ended: int, model: BaseModel, run: Run, monitors: Monitors, stop: StopSignals) -> bool:
        """At the end of epoch `ended`, if it is its turn: measure, tell the monitors, note; whether it is the best.

        Raises `StoppedError` in all processes if a signal comes to one that waits for an image.
        """
        if ended % self.every:
            return False
        began = time.perf_counter()
        try:
            with undisturbed(model.device):
                fake = self._translated(model, stop)
                found = self.peers.results(lambda: figures(self.real, fake) if self.peers.rank == 0 else {})[0]
        except (DataError, NoMemoryError, OSError) as error:  # a file is gone, say
            log.warning("epoch %d is not evaluated: %s", ended, error)
            return False
        monitors.evaluated(run.position, ended, model.phase(run.position), found, model.lr)
        self._note(run, ended, found)
        is_best = self._is_best(run.best, found[self.metric])
        if is_best:
            run.best = {"metric": self.metric, "value": found[self.metric], "epoch": ended}
        best = run.best and f"; best: epoch {run.best['epoch']}, {run.best['value']:.5g}"
        log.info("epoch %d: %s %.5g on held-out images%s", ended, self.metric, found[self.metric], best or "")
        monitors.clock.since += time.perf_counter() - began  # it is not the time of steps
        return is_best

    def _translated(self, model: BaseModel, stop: StopSignals) -> NDArray[np.float64]:
        """Features [n, d] of the translations."""
        trained = model.networks["G"] if model.ema is None else model.ema.module
        translator = Translator(copy.deepcopy(trained), self.input_nc, model.device)

        def translation(index: int) -> Tensor:
            try:
                with stop.waiting():  # a disk may not answer
                    image = self.held_out.A(index)
            except Stopped:
                raise StoppedError(f"stopped before {self.held_out.paths_A[index]} was read") from None
            return translator.translate(image[None])

        return self._vectors(translation, self.held_out.paths_A)

    def _ours(self, paths: Sequence[str]) -> range:
        """The numbers of the images that this process takes."""
        share = Shard.of(len(paths), self.peers.rank, self.peers.size)
        return range(share.start, share.start + share.counted)

    def _vectors(self, image: Callable[[int], Tensor], paths: Sequence[str]) -> NDArray[np.float64]:
        """Features [n, d] of the n images of `paths`, which become 8-bit values as in the files of test.py."""

        def of_ours() -> NDArray[np.float64]:
            ours = self._ours(paths)
            vectors = self.features([np.asarray(to_image(image(i))) for i in ours])
            broken = ~np.isfinite(vectors).all(axis=1)
            if broken.any():
                path = paths[ours[int(np.argmax(broken))]]
                raise DataError(f"the features of {path} are NaN or infinite: see --eval_features")
            return vectors

        return np.concatenate(self.peers.results(of_ours))

    def _is_best(self, best: dict[str, Any] | None, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if best is None or best["metric"] != self.metric:
            return True
        before = float(best["value"])
        return value < before if self.metric in LOWER_IS_BETTER else value > before

    def _note(self, run: Run, ended: int, found: dict[str, float]) -> None:
        """A line in metrics.jsonl; those of this and later epochs, left by a process that was killed, go."""
        if not run.writes:
            return
        plain = {name: value if math.isfinite(value) else None for name, value in found.items()}
        entry = {
            "epoch": ended,
            "step": run.position.step,
            "images": run.position.images,
            **plain,
            "real_images": len(self.real),
            "fake_images": len(self.held_out.paths_A),
            "features": self.features.name,
            "features_sha256": self.features.fingerprint,
            "resize": self.features.transform,
            "libraries": self.libraries,
        }
        path = run.folder / FILE
        kept = [line for line in read_metrics(path) if line["epoch"] < ended]
        try:
            write_text(path, "".join(json.dumps(line) + "\n" for line in [*kept, entry]))
        except OSError as error:
            log.warning("%s cannot be written (%s); training goes on", path, error.strerror)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, without what a crash cut short; none if there is no such file."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            int(entry["epoch"])
            found.append(entry)
    return found


@contextlib.contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """After the block every global random generator (Python, NumPy, torch on CPU and `device`) is as before."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpu is not None:
            torch.cuda.set_rng_state(gpu, device)
