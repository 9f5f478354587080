"""Worker processes that end, or never begin: one line with the cause, and no wait."""

import errno
import faulthandler
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coopcut.data import create_loader
from coopcut.data.loader import EpochLoader
from coopcut.engine.signals import SIGNALS
from coopcut.util.errors import DataError
from tests.test_data_sets import make_options

LINE = "a data loading process ended unexpectedly ({}) while it read {}: {}"
IN_ITS_CODE = "check its messages above and the code of the data set for what ended it"
MORE_PROCESSES = "raise the limit of processes (ulimit -u, or the container's), or "


def abort() -> None:
    faulthandler.disable()  # of pytest, which would print
    os.abort()


ENDS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "killed": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        "killed by SIGKILL",
        "usually the system ran out of memory; try a smaller --num_threads (0 for none) or --batch_size",
    ),
    "abort": (abort, "killed by SIGABRT", "an image library crashed; replace or remove these images"),
    "user signal": (lambda: os.kill(os.getpid(), signal.SIGUSR1), "killed by SIGUSR1", IN_ITS_CODE),
    "real-time signal": (lambda: os.kill(os.getpid(), 40), "killed by signal 40", IN_ITS_CODE),
    "_exit": (lambda: os._exit(7), "exit code 7", IN_ITS_CODE),
    "_exit(0)": (lambda: os._exit(0), "exit code 0", IN_ITS_CODE),
    "descriptors": (lambda: os.closerange(3, 256), "exit code 1", IN_ITS_CODE),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends_is_one_line(fails: Callable[..., EpochLoader], five_images: Path, end: str) -> None:
    does, how, helps = ENDS[end]
    loader = fails(does)
    batches = loader.epoch(1)
    for _ in range(3):  # those before it come
        next(batches)
    with pytest.raises(DataError) as caught:
        next(batches)
    assert str(caught.value) == LINE.format(how, f"{five_images}/trainA/3.png and {five_images}/trainB/3.png", helps)
    assert multiprocessing.active_children() == []
    assert len([next(batch) for batch in [loader.epoch(1)] for _ in range(3)]) == 3  # on new processes
    loader.close()


@pytest.mark.parametrize("here", [True, False])
def test_a_connection_that_fails_names_its_cause(
    fails: Callable[..., EpochLoader],
    five_images: Path,
    here: bool,
    monkeypatch: Any,
    capfd: pytest.CaptureFixture[str],
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
    cure = "try a smaller --num_threads, or 0 for none"
    if here:
        failed, images = line.split(" while it read ")
        assert failed == "the connection to a data loading process failed (No buffer space available)"
        assert images.endswith(f": {cure}")
        assert says == ""
    else:
        assert line == LINE.format(
            "exit code 1", f"{five_images}/trainA/0.png and {five_images}/trainB/0.png", IN_ITS_CODE
        )
        said = f"a data loading process exited: its connection failed (No buffer space available): {cure}"
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
    says = f"{__file__}, line {line}, called sys.exit while loading images: raise an error there instead"
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
    five_images: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception, says: str
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

    loader = create_loader(make_options(five_images, num_threads=3))
    with monkeypatch.context() as patch:
        patch.setattr(target, name, second_fails)
        with pytest.raises(DataError) as caught:
            next(loader.epoch(1))
    reason = getattr(error, "strerror", None) or str(error)
    assert str(caught.value) == (
        f"--num_threads 3: the data loading processes cannot be started ({reason}): {says}"
        "try a smaller --num_threads, or 0 for none"
    )
    assert multiprocessing.active_children() == []
