"""A training that waits for data answers signals: it stops at once, keeps what it has trained, and goes on exactly."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from coopcut.data.base_dataset import ImageDataset
from coopcut.data.batch import SampleIndex
from coopcut.engine.guard import FiniteGuard
from coopcut.engine.processes.peers import Peers
from coopcut.engine.processes.shared_stop import shared_signals
from coopcut.engine.signals import SIGNALS, Stopped, StopSignals
from tests.tools import TINY, Outcome, run
from tests.training import run as trained
from tests.training import same

pytestmark = pytest.mark.slow
READ = ImageDataset.__getitem__
MAIN = os.getpid()


def hangs_at(
    place: int, number: signal.Signals, hang: Callable[[], Any], log: Path | None = None
) -> Callable[[ImageDataset, SampleIndex], Any]:
    """Reading that sends this process `number` at one sample, when `log` has a line for each before it; and hangs."""

    def read(dataset: ImageDataset, index: SampleIndex) -> Any:
        if index.position == place:
            while log and (not log.is_file() or log.read_text().count("\n") < place):
                time.sleep(0.02)
            os.kill(MAIN, number)
            hang()
        return READ(dataset, index)

    return read


def never() -> None:
    time.sleep(1000)


def stopped() -> None:
    if os.getpid() != MAIN:
        os.kill(os.getpid(), signal.SIGSTOP)


def deaf() -> None:
    """As a loop in somebody's code that goes on after errors."""
    try:
        never()
    except Exception:
        never()


@pytest.mark.parametrize(
    ("number", "num_threads", "hang"),
    [(each, 0, never) for each in SIGNALS]
    + [(signal.SIGTERM, 0, deaf), (signal.SIGTERM, 2, never), (signal.SIGINT, 1, stopped), (signal.SIGHUP, 2, deaf)],
)
def test_it_stops_saves_and_goes_on(
    images: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, num_threads: int, hang: Callable[[], None]
) -> None:
    folder = images.parent / "checkpoints"
    place = [*TINY, "--seed", 3, "--num_threads", num_threads, "--print_freq", 1, "--no_html", "--display_id", 0]
    place += ["--dataroot", images, "--checkpoints_dir", folder, "--name", "r"]
    with monkeypatch.context() as patch:
        patch.setattr(ImageDataset, "__getitem__", hangs_at(3, number, hang, folder / "r/losses.jsonl"))
        outcome = run("train", *place, "--max_iters", 5)
    assert outcome.code == 128 + number, outcome
    assert outcome.err == ""
    again = f"--checkpoints_dir={folder} --name=r --max_iters=5 --continue_train"
    assert outcome.out.endswith(f"stopped by {number.name} after step 3, saved; resume with: python train.py {again}\n")
    parts = trained(images, "r", "--continue_train", "--max_iters", "5", "--no_html", *TINY)
    if num_threads == 0 and hang is never and number == signal.SIGTERM:  # of one case: it takes time
        whole = trained(images, "whole", "--max_iters", "5", "--no_html", *TINY)
        same(parts["model"], whole["model"])
    assert parts["position"]["step"] == 5


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (lambda: os.stat("/none/mount"), "/none/mount: No such file or directory"),
        (
            lambda: torch.ones(10**14),
            r"out of memory \(.*memory.*\) while loading images: try a smaller --batch_size, --load_size, "
            "--cache_images or --num_threads",
        ),
    ],
)
def test_what_fails_while_it_reads_is_one_line_and_saved(
    images: Path, monkeypatch: pytest.MonkeyPatch, does: Callable[[], Any], says: str
) -> None:
    monkeypatch.setattr(ImageDataset, "__getitem__", lambda self, at: does() if at.position == 2 else READ(self, at))
    folder = images.parent / "checkpoints"
    outcome = run("train", "--dataroot", images, "--checkpoints_dir", folder, "--name", "r", *TINY, "--no_html")
    assert outcome.code == 2
    assert re.fullmatch(
        f"train.py: error: {says}; the 2 steps before it are saved: resume with --continue_train\n", outcome.err
    )
    assert torch.load(folder / "r/latest_state.pth", weights_only=True)["position"]["step"] == 2


def test_before_the_first_step_nothing_is_kept(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageDataset, "__getitem__", hangs_at(0, signal.SIGTERM, never))
    folder = images.parent / "checkpoints"
    outcome = run("train", "--dataroot", images, "--checkpoints_dir", folder, "--name", "r", *TINY)
    assert (outcome.code, outcome.err) == (143, "")
    assert outcome.out.endswith("stopped by SIGTERM before the first step; nothing was saved\n")
    assert not folder.exists()


def test_test_py_ends(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageDataset, "__getitem__", hangs_at(1, signal.SIGTERM, never))
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        outcome: Outcome = run("test", "--dataroot", "data", "--name", "tiny", "--num_threads", 1, "--gpu_ids", -1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert outcome.code == 143
    assert outcome.err.endswith("test.py: error: terminated; saved files are unchanged\n")


def test_a_signal_is_answered_at_once_in_a_wait_alone() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)  # in a step: it only counts
        assert stop.received == signal.SIGTERM
        with pytest.raises(Stopped), stop.waiting():
            raise AssertionError("it is not begun")
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with StopSignals() as stop:
        with stop.waiting():
            pass
        with pytest.raises(Stopped), stop.waiting():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


class SecondOfTwo(Peers):
    """The other process waits at the exchange and was not asked to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.rank, self.size = 1, 2
        self.told: list[list[int]] = []

    def _exchange(self, numbers: Any, trouble: Any) -> list[list[int]]:
        self.told.append(list(numbers))
        return [[0, 1, 32, 32, 32, 32], list(numbers)]


def test_one_of_several_processes_tells_the_others_instead_of_waiting_on() -> None:
    def batches() -> Iterator[Any]:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        never()
        yield

    peers = SecondOfTwo()
    with StopSignals(alone=False) as stop:
        assert list(peers.in_step(batches(), stop, FiniteGuard(defer=True))) == []
    assert peers.told == [[signal.SIGTERM, 0, 0, 0, 0, 0]]
    assert stop.received == signal.SIGTERM


def test_a_signal_to_one_process_is_one_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes have a store in common; this one is first the one that gets the signal, then another."""
    monkeypatch.setattr("coopcut.engine.processes.shared_stop.PAUSE", 0.05)
    before = threading.active_count()
    with StopSignals(alone=False) as stop:
        store = HashStore()
        with shared_signals(store, stop):
            os.kill(os.getpid(), signal.SIGTERM)
            store.wait(["stop"], timedelta(seconds=60))
        assert (int(store.get("stop")), stop.asked) == (signal.SIGTERM, signal.SIGTERM)
    with StopSignals(alone=False) as stop:
        store = HashStore()
        store.set("stop", str(int(signal.SIGHUP)))
        with pytest.raises(Stopped), shared_signals(store, stop), stop.waiting():
            never()
        assert (stop.asked, stop.received) == (signal.SIGHUP, None)
    with StopSignals(alone=False) as stop:  # between two epochs, say: the others may wait already
        store = HashStore()
        os.kill(os.getpid(), signal.SIGTERM)
        with shared_signals(store, stop):
            store.wait(["stop"], timedelta(seconds=60))
    assert int(store.get("stop")) == signal.SIGTERM
    assert threading.active_count() == before
    assert signal.set_wakeup_fd(-1) == -1
