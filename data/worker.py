"""What runs in a process that loads images: it answers requests until the process that asks is gone."""

import contextlib
import os
import pickle
import random
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from coopcut.data.channel import ChannelError, GoneError, receive, send
from coopcut.engine.signals import SIGNALS
from coopcut.util.errors import DataError
from coopcut.util.memory import is_out_of_memory

NO_CONNECTION = "try a smaller --num_threads, or 0 for none"  # what helps if it fails
GRACE = 0.5  # seconds in which a process whose work nobody wants any more may end in its own way


class WorkerError(Exception):
    """The traceback of an error in another process, as the cause of the same error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Mistake:
    """An exception of a worker, as a value that can always be sent."""

    error: bytes | None  # the exception, pickled, if it can be
    text: str  # its traceback
    line: str | None = None  # for a user, if this says it all

    @classmethod
    def of(cls, error: BaseException) -> "Mistake":
        """For exceptions of any type, also those that cannot be pickled."""
        line = None
        if isinstance(error, Exception) and is_out_of_memory(error):
            line = (
                "out of memory in a data loading process: try a smaller --num_threads, or 0 for none, or a smaller "
                "--batch_size"
            )
        elif isinstance(error, SystemExit):
            place = traceback.extract_tb(error.__traceback__)[-1]
            line = (
                f"{place.filename}, line {place.lineno}, called sys.exit while loading images: raise an error there "
                "instead"
            )
        try:
            pickled = pickle.dumps(error)
        except Exception:
            pickled = None
        return cls(pickled, "".join(traceback.format_exception(error)), line)

    def exception(self) -> Exception:
        """The exception to raise in the process that asked."""
        if self.line is not None:
            return DataError(self.line)
        error: Any = None
        if self.error is not None:
            with contextlib.suppress(Exception):  # one that is made by other arguments than it keeps
                error = pickle.loads(self.error)
        if not isinstance(error, Exception):
            error = RuntimeError(f"in a data loading process: {self.text.splitlines()[-1]}")
        error.__cause__ = WorkerError(self.text)
        return error


def answer(dataset: Any, collate: Callable[[list[Any]], Any], indices: list[Any]) -> Any:
    """What `collate` makes of the samples `indices`."""
    return collate([dataset[index] for index in indices])


def serve(connection: socket.socket, number: int, dataset: Any, collate: Callable[[list[Any]], Any]) -> None:
    """Answer the lists of indices that come through `connection`, in order; an exception is answered as a `Mistake`.

    Returns when the other side is gone. Raises `SystemExit` with one line if the connection fails.
    """
    _prepare(connection, number)
    try:
        while True:
            reply = _reply(dataset, collate, receive(connection))
            try:
                send(connection, reply)
            except ChannelError:
                raise
            except BaseException as error:  # of pickling: nothing has been sent yet
                send(connection, Mistake.of(error))
            del reply  # else it would take room beside the next one
    except GoneError:
        return
    except ChannelError as error:
        raise SystemExit(f"a data loading process exited: its connection failed ({error}): {NO_CONNECTION}") from None


def _reply(dataset: Any, collate: Callable[[list[Any]], Any], indices: list[Any]) -> Any:
    try:
        return answer(dataset, collate, indices)
    except BaseException as error:
        return Mistake.of(error)


def _prepare(connection: socket.socket, number: int) -> None:
    for each in SIGNALS:  # they reach the whole process group, and the main process answers them
        signal.signal(each, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    torch.set_num_threads(1)  # the processes are the parallelism
    # Ours need none of these; a data set that does gets other numbers in each process, and the same ones in each run.
    seed = 0x3D30_19B2_6E5B + number
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if hasattr(select, "poll"):
        with contextlib.suppress(RuntimeError):  # no thread to be had: then the next answer finds nobody
            threading.Thread(target=_end_with_the_other_side, args=(connection,), daemon=True).start()


def _end_with_the_other_side(connection: socket.socket) -> None:
    """End this process once the other end is gone, whatever it is doing at that time."""
    gone = select.poll()
    gone.register(connection, 0)  # no data, but the end
    gone.poll()
    time.sleep(GRACE)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(1)
