"""A process that loads images, seen from the process that asks it."""

import multiprocessing
import os
import signal
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

from coopcut.data.channel import receive, send
from coopcut.data.worker import GRACE, serve
from coopcut.engine.signals import SIGNALS

# Forked processes inherit these: a worker would not see that nobody is at the other end any more.
_ours: "weakref.WeakSet[socket.socket]" = weakref.WeakSet()


def _close_in_child() -> None:
    for connection in _ours:
        connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class WorkerProcess:
    """Runs `serve`. A thread sends the requests and takes the answers as they come, one at a time.

    Raises `OSError`, `RuntimeError` or `MemoryError` if the system cannot provide a process, file or thread.
    """

    def __init__(self, number: int, dataset: Any, collate: Callable[[list[Any]], Any]) -> None:
        self._owner = os.getpid()
        self._requests: SimpleQueue[tuple[Future[Any], Any] | None] = SimpleQueue()
        self._connection, theirs = socket.socketpair()
        _ours.add(self._connection)
        with theirs:
            arguments = (theirs, number, dataset, collate)
            self._process = multiprocessing.Process(target=serve, args=arguments, daemon=True)
            self._process.start()
        talk = threading.Thread(target=_talk, args=(self._connection, self._requests), daemon=True)
        try:
            talk.start()
        except RuntimeError:
            end([self])
            raise

    @property
    def alive(self) -> bool:
        """Whether the process runs or is stopped."""
        return self._process.is_alive()

    def ask(self, indices: Sequence[Any]) -> "Future[Any]":
        """The answer to `indices` when it is there: see `serve`. `ChannelError` if the process ended before."""
        future: Future[Any] = Future()
        self._requests.put((future, indices))
        return future

    def exit_code(self) -> int | None:
        """Of a process that no longer answers: minus the signal that killed it; None if it still runs."""
        self._process.join(GRACE)
        return self._process.exitcode

    def hang_up(self) -> None:
        """Let the process end; its pending answers are no longer needed."""
        self._requests.put(None)
        with suppress(OSError):  # closed already
            self._connection.shutdown(socket.SHUT_RDWR)


def end(workers: Sequence[WorkerProcess]) -> None:
    """End the processes; those that do not end by themselves within about a second get SIGKILL."""
    workers = [worker for worker in workers if worker._owner == os.getpid()]  # else this is a forked copy
    for worker in workers:
        worker.hang_up()
    deadline = time.monotonic() + 1.5 * GRACE
    for worker in workers:
        worker._process.join(max(0.0, deadline - time.monotonic()))
        if worker._process.is_alive():
            worker._process.kill()
            worker._process.join(GRACE)  # no longer: reading from a dead disk, it would not even die


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold `SIGNALS` back: a process that is being started would answer them as this one does."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _talk(connection: socket.socket, requests: "SimpleQueue[tuple[Future[Any], Any] | None]") -> None:
    """Answer the requests, also with errors, until None comes instead of one."""
    with connection:
        for future, indices in iter(requests.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    send(connection, indices)
                    answer = receive(connection)
                except BaseException as error:
                    connection.close()  # what comes next from there would be the rest of this answer
                    future.set_exception(error)
                else:
                    future.set_result(answer)
                    del answer
            del future
