"""Kill a training at random moments, start it again at once, and compare: python benchmarks/kill.py --kills 100

A tiny CUT is trained with worker processes on drawn images, and evaluated. It gets SIGKILL before its first step,
between its savings, and while it saves; each time the same command with --auto_resume starts again at once, every other
time while the loading processes of the killed one linger. In the end all its weights, its full state and its figures
must be those of a training that nobody killed, bit for bit, and no start may have been refused. A kill takes some
seconds, those of Python's start. The exit code is 0 if everything matches, else 1.
"""

# ruff: noqa: E402 (the path comes before what is imported from it)

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":  # in place of benchmarks/, whose profile.py would be taken for Python's
    sys.path[0] = str(ROOT)

import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.arguments import natural, positive
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import OptionError
from coopcut.util.launch import refuse_several

TRAIN = [sys.executable, str(ROOT / "train.py")]
_TINY = (
    "--model cut --ngf 4 --ndf 4 --netF_nc 8 --num_patches 8 --netG resnet_4blocks --load_size 36 --crop_size 32 "
    "--gpu_ids -1 --num_threads 2 --monitor files --print_freq 1 --ema 0.9 --n_epochs 1000000 --save_epoch_freq 3 "
    "--eval_freq 2"
)
TINY = _TINY.split()
PHASES = ("saving", "training", "before the first step")
PATIENCE = 600.0  # seconds for a step to come, or an end
MORE = 10  # steps after the last kill


def main(argv: Sequence[str]) -> int:
    """Train, kill, compare and report. Returns the exit code."""
    parser = Parser(__doc__, "benchmarks/kill.py")
    parser.add_argument("--kills", type=positive, default=100, help="how often [default: 100]")
    parser.add_argument("--seed", type=natural, default=0, help="of the moments [default: 0]")
    parser.add_argument("--save_freq", type=positive, default=3, help="images between two savings [default: 3]")
    parser.add_argument("--out", type=Path, help="folder to keep; by default a temporary one")
    options = parser.parse_args(list(argv))
    refuse_several()
    if options.out and options.out.exists():
        raise OptionError(f"--out {options.out} is there already: name a new folder")
    with contextlib.ExitStack() as stack:
        out = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        draw_images(out / "data")
        killed = Training(out / "killed", out / "data", options.save_freq)
        stack.callback(killed.end_lingering)
        report = kill(killed, options.kills, random.Random(options.seed))
        steps = killed.saved_steps() + MORE
        killed.finish(steps)
        whole = Training(out / "undisturbed", out / "data", options.save_freq)
        whole.finish(steps)
        return tell(report, steps, differences(whole.files(), killed.files()), killed.refused + whole.refused)


class Training:
    """A run below `folder`, and the processes that train it one after the other."""

    def __init__(self, folder: Path, data: Path, save_freq: int) -> None:
        self.run = folder / "run"
        self.save_freq = save_freq  # images, one a step
        self.refused: list[str] = []
        self._before = (0, b"")  # steps that were saved, and the log, when the process of now began
        self._process = 0  # of now; also the number of its process group
        self._lingering = 0  # the process group of a killed one, or 0
        self._output = folder / "output.txt"
        folder.mkdir(parents=True, exist_ok=True)
        flags = ["--dataroot", str(data), "--checkpoints_dir", str(folder), "--name", "run", *TINY]
        self.flags = [*flags, "--save_latest_freq", str(save_freq), "--auto_resume"]

    @contextlib.contextmanager
    def started(self, *more: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Its process, killed when the block ends. One that has failed by itself is noted in `refused`."""
        self._before = (self.saved_steps(), self._log())
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with self._output.open("wb") as output:
            command = [*TRAIN, *self.flags, *more]
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        self._process = process.pid
        try:
            yield process
        finally:
            process.kill()
            if process.wait() not in (0, -signal.SIGKILL):
                self.refused.append((self._output.read_text().splitlines() or ["it said nothing"])[-1])

    def stop(self) -> None:
        """Stop the process of now and its loading processes."""
        _send(self._process, signal.SIGSTOP)

    def end_lingering(self, others: int = 0) -> None:
        """Kill the loading processes that linger; from now on `others` do, of this process group."""
        _send(self._lingering, signal.SIGKILL)
        self._lingering = others

    def finish(self, steps: int) -> None:
        """Train until there are `steps`."""
        with self.started("--max_iters", str(steps)) as process:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.refused.append(f"--max_iters {steps} did not end within {PATIENCE:g} s")

    def stepped(self, steps: int = 1) -> bool:
        """Whether the process of now has made `steps` steps. First it takes those to be redone out of the log."""
        saved, before = self._before
        log = self._log()
        return log != before and log.count(b"\n") >= saved + steps

    def _log(self) -> bytes:
        log = self.run / "losses.jsonl"
        return log.read_bytes() if log.is_file() else b""

    def saves(self) -> bool:
        """Whether files are being written at this moment."""
        return any(self.run.glob(f".*.{self._process}.tmp"))  # not those of a process that was killed

    def saved_steps(self) -> int:
        """Steps of the last saving."""
        state = self.run / "latest_state.pth"
        return int(torch.load(state, weights_only=True)["position"]["step"]) if state.is_file() else 0

    def files(self) -> dict[str, Any]:
        """All weights, the full state and the figures, by file."""
        saved: dict[str, Any] = {path.name: torch.load(path, weights_only=True) for path in self.run.glob("*.pth")}
        figures = self.run / "metrics.jsonl"
        lines = figures.read_text().splitlines() if figures.is_file() else []
        return saved | {figures.name: [json.loads(line) for line in lines]}


def _send(group: int, number: int) -> None:
    """Send a signal to a process group, if it is there."""
    if group:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


def draw_images(folder: Path) -> None:
    """trainA with 5, trainB with 7, and testA and testB with 3 images of noise."""
    rng = np.random.default_rng(0)
    for name, number in (("trainA", 5), ("trainB", 7), ("testA", 3), ("testB", 3)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")


def kill(training: Training, kills: int, rng: random.Random) -> "Counter[str]":
    """Kill it `kills` times; returns the number of kills in each phase."""
    met: Counter[str] = Counter()
    starting = 5.0  # seconds
    for number in tqdm(range(kills), unit="kill"):
        aim = PHASES[number % len(PHASES)]
        with training.started() as process:
            began = time.monotonic()
            if aim == PHASES[2]:
                wait_for(training.stepped, process, rng.uniform(0, starting))
            else:
                wait_for(training.stepped, process, PATIENCE)
                starting = time.monotonic() - began
                steps = rng.randint(1, 3 * training.save_freq)  # else none would get past its first saving
                wait_for(partial(training.stepped, steps), process, PATIENCE)
                if aim == PHASES[0]:
                    wait_for(training.saves, process, PATIENCE)
                time.sleep(rng.uniform(0, 0.5 if aim == PHASES[1] else 0.01))
            training.stop()  # for a look at where it stands
            saves, stepped = training.saves(), training.stepped()
            process.kill()
            linger = number % 2 == 0
            if not linger:
                process.wait()
                _send(process.pid, signal.SIGCONT)  # they end by themselves
            training.end_lingering(process.pid if linger else 0)
        met[PHASES[0] if saves else PHASES[1] if stepped else PHASES[2]] += 1
    return met


def wait_for(what: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Return when `what()`, after `seconds`, or when the process has ended."""
    deadline = time.monotonic() + seconds
    while not what() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two nested states are not equal bit for bit; the folder in the options may differ."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        same = same and one.contiguous().reshape(-1).view(torch.uint8).equal(other.reshape(-1).view(torch.uint8))
        return [] if same else [place]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(one[key], other[key], f"{place}/{key}") for key in one if key != "checkpoints_dir"]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = [(x, y, f"{place}/{i}") for i, (x, y) in enumerate(zip(one, other, strict=True))]
    else:
        return [] if type(one) is type(other) and one == other else [place or "files"]
    return [found for pair in pairs for found in differences(*pair)]


def tell(met: "Counter[str]", steps: int, found: Sequence[str], refused: Sequence[str]) -> int:
    """Print the report; the exit code."""
    print(f"{met.total()} kills: " + ", ".join(f"{met[phase]} {phase}" for phase in PHASES))
    print(f"{len(refused)} starts refused or failed" + "".join(f"\n  {line}" for line in refused))
    print(f"{steps} steps; " + (f"different: {', '.join(found[:8])}" if found else "the same state, bit for bit"))
    good = not found and not refused
    print("good" if good else "FAULT")
    return 0 if good else 1


if __name__ == "__main__":
    run_script(main)
