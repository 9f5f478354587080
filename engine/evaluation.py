"""Evaluation in training: figures of held-out images every --eval_freq epochs, and the best generator kept."""

import contextlib
import copy
import json
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coopcut.engine.method import Export, Method, channels
from coopcut.engine.processes.shard import Shard
from coopcut.engine.run import Run
from coopcut.engine.runtime import Runtime
from coopcut.engine.signals import Stopped, StopSignals
from coopcut.images.io import to_image
from coopcut.inference.sampler import Sampler
from coopcut.inference.translator import Translator
from coopcut.metrics.distribution import LOWER_IS_BETTER, figures
from coopcut.metrics.features import create_features
from coopcut.metrics.packages import versions
from coopcut.monitors import Monitors
from coopcut.networks.contract import Generator, NoiseGenerator
from coopcut.options.generation_options import names_of_classes
from coopcut.options.option import Options
from coopcut.util.errors import DataError, NoMemoryError, OptionError, StoppedError, UserError
from coopcut.util.files import write_text

log = logging.getLogger(__name__)

FILE = "metrics.jsonl"
SEED = 0  # of the noise of samples: the same in every evaluation


class HeldOutImages(Protocol):
    """Images by their domain, A or B, and their number, [C, H, W] in [-1, 1]; what `data.HeldOut` is."""

    @property
    def paths(self) -> Mapping[str, list[str]]: ...

    def read(self, domain: str, index: int) -> Tensor: ...


class Evaluation:
    """Translates held-out images with the networks of all exports (averaged if they are) and measures them.

    Training is not disturbed: copies of the networks translate, and every random generator is afterwards as before.
    Of several processes each takes a part of the images; all make and call it together, and all raise what one raises.
    Raises `OptionError` at the start if a package is missing, `CheckpointError` for wrong weights of the features.
    """

    def __init__(self, opt: Options, held_out: HeldOutImages, method: type[Method], runtime: Runtime) -> None:
        self.opt, self.every, self.metric = opt, int(opt.eval_freq), str(opt.eval_metric)
        self.held_out, self.exports, self.runtime = held_out, method.exports, runtime
        self._suffix = method.suffix
        with undisturbed(runtime.device):
            self.libraries = versions()
            try:
                self.features = create_features(opt.eval_features, device=runtime.device)
            except UserError as error:
                raise OptionError(f"--eval_features {opt.eval_features}: {error}") from None
            for domain in {export.source for export in self.exports.values() if not export.samples}:
                for i in self._ours(held_out.paths[domain]):
                    held_out.read(domain, i)  # what cannot be read is told of now, not after an epoch
            self.real = {export.target: self._of_domain(export.target) for export in self.exports.values()}

    def __call__(self, ended: int, run: Run, monitors: Monitors, stop: StopSignals) -> list[str]:
        """At the end of epoch `ended`, if it is its turn: measure, tell the monitors, note.

        Returns the networks that are better than ever. Raises `StoppedError` in all processes if a signal comes to one
        that waits for an image.
        """
        if ended % self.every:
            return []
        began, trainer = time.perf_counter(), run.trainer
        found: dict[str, float] = {}
        try:
            with undisturbed(self.runtime.device):
                for name, export in self.exports.items():
                    measured = self._measure(export, trainer.trained(export.network), stop)
                    found |= {f"{metric}{self._suffix(name)}": value for metric, value in measured.items()}
        except (DataError, NoMemoryError, OSError) as error:  # a file is gone, say
            log.warning("epoch %d is not evaluated: %s", ended, error)
            return []
        monitors.evaluated(run.position, ended, trainer.method.stage(run.position), found, trainer.lr)
        self._note(run, ended, found)
        better = [name for name in self.exports if self._is_better(run, name, found, ended)]
        monitors.clock.since += time.perf_counter() - began  # it is not the time of steps
        return [network for name in better for network in self._kept(name, trainer.networks)]

    def _kept(self, export: str, networks: Iterable[str]) -> list[str]:
        """The networks to keep when an export is better than ever: its own; for the first, all but other exports'."""
        others = {other.network for name, other in self.exports.items() if name != export}
        if self._suffix(export):
            return [self.exports[export].network]
        return [network for network in networks if network not in others]

    def _measure(self, export: Export, network: nn.Module, stop: StopSignals) -> dict[str, float]:
        """The metrics of an export's translations; the first process computes them."""
        peers, real = self.runtime.peers, self.real[export.target]
        fake = self._translated(export, network, stop)
        return peers.results(lambda: figures(real, fake) if peers.rank == 0 else {})[0]

    def _translated(self, export: Export, network: nn.Module, stop: StopSignals) -> NDArray[np.float64]:
        """Features [n, d] of the translations; of as many samples as there are held-out images."""
        generator = copy.deepcopy(network)
        if isinstance(generator, NoiseGenerator):
            paths = self.held_out.paths[export.target]
            ours = self._ours(paths)
            made = Sampler(generator, self.runtime.device, names_of_classes(self.opt)).sample(ours, SEED)
            return self._vectors(lambda index: made[index - ours.start], paths)
        source, paths = export.source, self.held_out.paths[export.source]
        assert isinstance(generator, Generator)
        translator = Translator(generator, channels(self.opt, source), self.runtime.device)

        def translation(index: int) -> Tensor:
            try:
                with stop.waiting():  # a disk may not answer
                    image = self.held_out.read(source, index)
            except Stopped:
                raise StoppedError(f"stopped before {paths[index]} was read") from None
            return translator.translate(image[None])

        return self._vectors(translation, paths)

    def _of_domain(self, domain: str) -> NDArray[np.float64]:
        """Features [n, d] of the held-out images of a domain."""
        return self._vectors(lambda index: self.held_out.read(domain, index), self.held_out.paths[domain])

    def _ours(self, paths: Sequence[str]) -> range:
        """The numbers of the images that this process takes."""
        shard = Shard.of(len(paths), self.runtime.peers.rank, self.runtime.peers.size)
        return range(shard.start, shard.start + shard.counted)

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

        return np.concatenate(self.runtime.peers.results(of_ours))

    def _is_better(self, run: Run, export: str, found: Mapping[str, float], ended: int) -> bool:
        """Whether an export is better than ever; the run then notes how good it is."""
        value, best = found[f"{self.metric}{self._suffix(export)}"], run.best.get(export)
        better = math.isfinite(value)
        if better and best is not None and best["metric"] == self.metric:
            before = float(best["value"])
            better = value < before if self.metric in LOWER_IS_BETTER else value > before
        if better:
            run.best[export] = best = {"metric": self.metric, "value": value, "epoch": ended}
        what = f"{self.metric}{self._suffix(export)}"
        so_far = f"; best: epoch {best['epoch']}, {best['value']:.5g}" if best else ""
        log.info("epoch %d: %s %.5g on held-out images%s", ended, what, value, so_far)
        return better

    def _note(self, run: Run, ended: int, found: dict[str, float]) -> None:
        """A line in metrics.jsonl; those of this and later epochs, left by a process that was killed, go."""
        if not run.writes:
            return
        first = next(iter(self.exports.values()))
        plain = {name: value if math.isfinite(value) else None for name, value in found.items()}
        entry = {
            "epoch": ended,
            "step": run.position.step,
            "images": run.position.images,
            **plain,
            "real_images": len(self.held_out.paths[first.target]),
            "fake_images": len(self.held_out.paths[first.target if first.samples else first.source]),
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
