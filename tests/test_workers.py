"""Worker processes: what they hand over, and what goes wrong in them or with them, in one line and without a wait."""

import errno
import faulthandler
import logging
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import coopcut.data.workers
from coopcut.data import create_loader
from coopcut.data.base_dataset import ImageDataset
from coopcut.data.batch import Sample, SampleIndex
from coopcut.data.channel import ChannelError
from coopcut.data.loader import EpochLoader
from coopcut.engine.signals import SIGNALS
from coopcut.util.errors import DataError
from tests.project import ROOT
from tests.test_data_sets import make_images, make_options
from tests.training import same

LINE = "a data loading process ended unexpectedly ({}) while it read {}: {}"
IN_ITS_CODE = "look for what ends the process in its messages above, or in the code of the data set"
MORE_PROCESSES = "raise the limit of processes (ulimit -u, or that of the container), or "
READ = ImageDataset.__getitem__


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """trainA with 5 images and trainB with 4."""
    make_images(tmp_path / "trainA", 5, seed=1)
    make_images(tmp_path / "trainB", 4, seed=2)
    return tmp_path


@pytest.fixture
def fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EpochLoader]]:
    """A loader of two workers, in order, in which the fourth sample does something else."""
    loaders: list[EpochLoader] = []

    def make(does: Callable[[], Any], num_threads: int = 2) -> EpochLoader:
        monkeypatch.setattr(
            ImageDataset,
            "__getitem__",
            lambda self, index: does() or READ(self, index) if index.position == 3 else READ(self, index),
        )
        loaders.append(create_loader(make_options(root, num_threads=num_threads, serial_batches=True)))
        return loaders[-1]

    yield make
    for loader in loaders:
        loader.close()
    assert multiprocessing.active_children() == []


# -- what they hand over ----------------------------------------------------------------------------------------------


def test_neither_shared_memory_nor_files_are_written(fails: Callable[..., EpochLoader]) -> None:
    """A process that may not write a byte to files cannot use shared memory either."""
    expected = list(fails(lambda: None, 0).epoch(1))
    loader = fails(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    for one, other in zip(loader.epoch(1), expected, strict=True):
        same(vars(one), vars(other))
    loader.close()


def test_global_randomness_of_a_data_set_differs_between_workers_not_between_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawing(self: ImageDataset, index: SampleIndex) -> Any:
        sample = READ(self, index)
        assert isinstance(sample, Sample)
        sample.A[0, 0] = torch.rand(8) + np.random.rand()
        return sample

    monkeypatch.setattr(ImageDataset, "__getitem__", drawing)
    runs = []
    for _ in range(2):
        loader = create_loader(make_options(root, num_threads=2, serial_batches=True))
        runs.append(torch.cat([batch["A"][:, 0, 0] for epoch in (1, 2) for batch in loader.epoch(epoch)]))
        loader.close()
    assert torch.equal(runs[0], runs[1])
    assert len(runs[0].unique(dim=0)) == len(runs[0]) == 10


# -- processes that end -----------------------------------------------------------------------------------------------


def abort() -> None:
    faulthandler.disable()  # of pytest, which would print
    os.abort()


ENDS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "killed": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        "killed by SIGKILL",
        "systems do this when memory runs out; try a smaller --num_threads, 0 for none, or --batch_size",
    ),
    "abort": (abort, "killed by SIGABRT", "a library crashed there; replace or remove these images"),
    "user signal": (lambda: os.kill(os.getpid(), signal.SIGUSR1), "killed by SIGUSR1", IN_ITS_CODE),
    "real-time signal": (lambda: os.kill(os.getpid(), 40), "killed by signal 40", IN_ITS_CODE),
    "_exit": (lambda: os._exit(7), "exit code 7", IN_ITS_CODE),
    "_exit(0)": (lambda: os._exit(0), "exit code 0", IN_ITS_CODE),
    "descriptors": (lambda: os.closerange(3, 256), "exit code 1", IN_ITS_CODE),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends_is_one_line(fails: Callable[..., EpochLoader], root: Path, end: str) -> None:
    does, how, helps = ENDS[end]
    loader = fails(does)
    batches = loader.epoch(1)
    for _ in range(3):  # those before it come
        next(batches)
    with pytest.raises(DataError) as caught:
        next(batches)
    assert str(caught.value) == LINE.format(how, f"{root}/trainA/3.png and {root}/trainB/3.png", helps)
    assert multiprocessing.active_children() == []
    assert len([next(batch) for batch in [loader.epoch(1)] for _ in range(3)]) == 3  # on new processes
    loader.close()


@pytest.mark.parametrize("here", [True, False])
def test_a_connection_that_fails_names_its_cause(
    fails: Callable[..., EpochLoader], root: Path, here: bool, monkeypatch: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the main process, or in the one that reads the images: it says so itself, and ends."""
    main, works = os.getpid(), socket.socket.sendall

    def send(*arguments: Any) -> None:
        if (os.getpid() == main) == here:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        works(*arguments)

    loader = fails(lambda: None)
    batches = loader.epoch(1)
    if here:
        next(batches)  # the processes run
    monkeypatch.setattr(socket.socket, "sendall", send)
    with pytest.raises(DataError) as caught:
        list(batches)
    says, line = capfd.readouterr().err, str(caught.value)
    cure = "try a smaller --num_threads, 0 for none"
    if here:
        failed, images = line.split(" while it read ")
        assert failed == "the connection to a data loading process failed (No buffer space available)"
        assert images.endswith(f": {cure}")
        assert says == ""
    else:
        assert line == LINE.format("exit code 1", f"{root}/trainA/0.png and {root}/trainB/0.png", IN_ITS_CODE)
        said = f"a data loading process ends, its connection failed (No buffer space available): {cure}"
        assert set(says.splitlines()) == {said}
    assert multiprocessing.active_children() == []


def test_a_signal_while_they_start_is_answered_by_the_main_process_alone(
    fails: Callable[..., EpochLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C reaches all of a process group, the new process right after its fork."""
    answered, answers = os.pipe()
    fork = os.fork

    def fork_meanwhile() -> int:
        child = fork()
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        return child

    before = [signal.signal(number, lambda *_: os.write(answers, b"%d " % os.getpid())) for number in SIGNALS]
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", fork_meanwhile)
            assert len(list(fails(lambda: None, 1).epoch(1))) == 5
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
        os.close(answers)
    os.set_blocking(answered, False)
    assert os.read(answered, 1000).split() == [b"%d" % os.getpid()] * len(SIGNALS)
    os.close(answered)


def test_a_child_of_a_process_that_ended_keeps_nobody_waiting(fails: Callable[..., EpochLoader]) -> None:
    def leave_a_child() -> None:
        if os.fork():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(8)  # with the other end of the connection
        os._exit(0)

    with pytest.raises(DataError, match="killed by SIGKILL"):
        list(fails(leave_a_child).epoch(1))


@pytest.mark.parametrize("num_threads", [0, 2])
def test_sys_exit_in_a_data_set_names_its_line(fails: Callable[..., EpochLoader], num_threads: int) -> None:
    line = leave.__code__.co_firstlineno + 1
    with pytest.raises(DataError) as caught:
        list(fails(leave, num_threads).epoch(1))
    says = f"{__file__}, line {line}, called sys.exit while images were read: raise an error there instead"
    assert str(caught.value) == says


def leave() -> None:
    sys.exit()


@pytest.mark.parametrize(
    ("broken", "error", "says"),
    [
        ("socketpair", OSError(errno.EMFILE, "Too many open files"), "raise the limit of open files (ulimit -n), or "),
        ("fork", OSError(errno.EAGAIN, "Resource temporarily unavailable"), MORE_PROCESSES),
        ("thread", RuntimeError("can't start new thread"), MORE_PROCESSES),
        ("fork", OSError(errno.ENOMEM, "Cannot allocate memory"), ""),
    ],
)
def test_processes_that_cannot_be_started(
    root: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception, says: str
) -> None:
    target, name = {"socketpair": (socket, "socketpair"), "fork": (os, "fork"), "thread": (threading.Thread, "start")}[
        broken
    ]
    works, calls = getattr(target, name), []

    def second_fails(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise error
        return works(*arguments)

    loader = create_loader(make_options(root, num_threads=3))
    with monkeypatch.context() as patch:
        patch.setattr(target, name, second_fails)
        with pytest.raises(DataError) as caught:
            next(loader.epoch(1))
    reason = getattr(error, "strerror", None) or str(error)
    assert str(caught.value) == (
        f"--num_threads 3: the data loading processes cannot be started ({reason}): {says}"
        "try a smaller --num_threads, 0 for none"
    )
    assert multiprocessing.active_children() == []


# -- errors in them ---------------------------------------------------------------------------------------------------


class MadeOfTwoError(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one}, {other}")


class HoldsError(Exception):
    def __init__(self) -> None:
        super().__init__("holds a function")
        self.function = lambda: 0


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise ValueError


def raises(error: BaseException) -> None:
    raise error


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "torch": (lambda: torch.ones(2) @ torch.ones(3), RuntimeError, "inconsistent tensor size"),
    "torch's own words": (lambda: raises(RuntimeError("DataLoader worker 1")), RuntimeError, "^DataLoader worker 1$"),
    "key": (lambda: os.environ["NO_SUCH_KEY"], KeyError, "NO_SUCH_KEY"),
    "not unpickled": (
        lambda: raises(MadeOfTwoError("1", "2")),
        RuntimeError,
        "loading process: .*MadeOfTwoError: 1, 2$",
    ),
    "not pickled": (lambda: raises(HoldsError()), RuntimeError, "loading process: .*HoldsError: holds a function$"),
    "no words": (lambda: raises(SpeechlessError()), SpeechlessError, ""),
    "interrupt": (lambda: raises(KeyboardInterrupt()), RuntimeError, "in a data loading process: KeyboardInterrupt$"),
    "end of file": (lambda: raises(EOFError("no more")), EOFError, "^no more$"),
    "time": (lambda: raises(TimeoutError("of a server")), TimeoutError, "^of a server$"),
    "closed": (lambda: raises(ChannelError("not ours")), ChannelError, "^not ours$"),
}


@pytest.mark.parametrize("error", ERRORS)
def test_a_mistake_keeps_its_traceback(fails: Callable[..., EpochLoader], error: str) -> None:
    does, kind, says = ERRORS[error]
    loader = fails(does)
    batches = loader.epoch(1)
    for _ in range(3):
        next(batches)
    with pytest.raises(kind) as caught:
        next(batches)
    loader.close()
    if says:
        assert caught.match(says)
    assert f'File "{__file__}", line {does.__code__.co_firstlineno}' in str(caught.value.__cause__)


def test_what_cannot_be_sent_is_a_mistake_too(fails: Callable[..., EpochLoader], monkeypatch: Any) -> None:
    loader = fails(lambda: lambda: 0)
    with pytest.raises((AttributeError, TypeError)) as caught:
        list(loader.iterate(loader.indices(1)))
    assert "pickle" in str(caught.value)
    assert "data/channel.py" in str(caught.value.__cause__)


def test_an_error_of_the_user_stays_one(fails: Callable[..., EpochLoader]) -> None:
    with pytest.raises(DataError, match=r"^3\.png: take another$"):
        list(fails(lambda: raises(DataError("3.png: take another"))).epoch(1))


def use_too_much() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2**22
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    np.ones(10**9)


def use_too_much_in_torch() -> None:
    torch.ones(10**14)


@pytest.mark.parametrize("does", [use_too_much, use_too_much_in_torch])
def test_memory_that_runs_out_is_one_line(fails: Callable[..., EpochLoader], does: Callable[[], None]) -> None:
    with pytest.raises(DataError) as caught:
        list(fails(does).epoch(1))
    assert str(caught.value) == (
        "out of memory in a data loading process: try a smaller --num_threads, 0 for none, or a smaller --batch_size"
    )


# -- processes that do not answer -------------------------------------------------------------------------------------


def hang() -> None:
    time.sleep(1000)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("does", [hang, stop])
def test_closing_does_not_wait_for_them(
    fails: Callable[..., EpochLoader], does: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    monkeypatch.setattr(coopcut.data.workers, "PATIENCE", 0.0)
    loader = fails(does)
    batches, got = loader.epoch(1), list[Any]()

    def read() -> None:
        with pytest.raises(RuntimeError, match=r"this run was ended by another one, or by close\(\)"):
            next(batch for batch in batches if got.append(batch))  # type: ignore[func-returns-value]

    reader = threading.Thread(target=read, daemon=True)
    with caplog.at_level(logging.WARNING):
        reader.start()
        deadline = time.time() + 60
        while not caplog.messages and time.time() < deadline:
            time.sleep(0.05)
    assert len(caplog.messages) == 1
    assert "no images for 0 s: the process that reads " in caplog.messages[0]
    assert "trainA/3.png" in caplog.messages[0]
    loader.close()
    reader.join(60)
    assert not reader.is_alive()
    assert len(got) == 3
    assert multiprocessing.active_children() == []


ORPHANS = """
import multiprocessing, os, pathlib, signal, sys, time
from coopcut.data import create_loader
from coopcut.data.base_dataset import ImageDataset
from tests.test_data_sets import make_options
read = ImageDataset.__getitem__
def get(self, index):
    if index.position == 3:
        time.sleep(1000)
    return read(self, index)
ImageDataset.__getitem__ = get
loader = create_loader(make_options(pathlib.Path(sys.argv[1]), num_threads=4, serial_batches=True))
batches = loader.epoch(1)
for _ in range(3):
    next(batches)
print(*(worker._process.pid for worker in loader._stacked._workers), flush=True)
os.fork()
time.sleep(1000)
"""


def test_they_end_when_the_main_process_is_killed(root: Path) -> None:
    """Idle or hanging, while a stopped one and another child of the main process hold what they have inherited."""
    command = [sys.executable, "-c", ORPHANS, str(root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            stopped, *others = [int(pid) for pid in process.stdout.readline().split()]
            assert len(others) == 3
            os.kill(stopped, signal.SIGSTOP)
            process.kill()
            deadline = time.time() + 60
            while any(map(lives, others)) and time.time() < deadline:
                time.sleep(0.02)
            assert not any(map(lives, others))
            assert lives(stopped)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
