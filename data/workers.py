"""Worker processes that make batches ahead of time and stay alive over the epochs."""

import atexit
import errno
import itertools
import logging
import signal
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Any, Generic, NamedTuple, TypeVar

from coopcut.data.base_dataset import BaseDataset
from coopcut.data.batch import Failure, Picture, Sample, SampleIndex
from coopcut.data.channel import ChannelError, GoneError
from coopcut.data.process import WorkerProcess, end, signals_blocked
from coopcut.data.worker import NO_CONNECTION, Mistake, answer
from coopcut.util.errors import DataError, first_line

log = logging.getLogger(__name__)

T = TypeVar("T")
AHEAD = 2  # batches per process that are made or being made
PATIENCE = 60.0  # seconds without a batch, of which the user is told
CRASHES = [getattr(signal, name, None) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")]
ENDED = "this iteration was ended by a later one, or by close()"
RAISE_LIMIT = {
    errno.EMFILE: "raise the limit of open files (ulimit -n), or ",
    errno.EAGAIN: "raise the limit of processes (ulimit -u, or the container's), or ",
}


class _Request(NamedTuple):
    worker: WorkerProcess
    indices: list[SampleIndex]
    future: "Future[Any]"


class WorkerPool(Generic[T]):
    """Turns lists of `SampleIndex` into what `collate` makes of their samples, in order, on `num_threads` processes.

    With 0 the main process does the work. The processes start at the first run and end with `close`, with the pool's
    last reference, or with the program, however it ends. One run at a time. `dataset` and `collate` can be pickled, so
    that the processes may be forked or spawned. Results come through sockets: no shared memory is needed.
    """

    def __init__(
        self, dataset: BaseDataset, collate: Callable[[list[Sample | Picture | Failure]], T], num_threads: int
    ) -> None:
        self._dataset = dataset
        self._collate = collate
        self._num_threads = num_threads
        self._turn = 0  # the number of the current run
        self._workers: list[WorkerProcess] = []
        self._pending: deque[_Request] = deque()  # what the current run has asked for
        # Python ends remaining processes with SIGTERM and waits for them; ours ignore it and would be waited for
        # forever. So they are told to end before that.
        atexit.register(_close_at_exit, weakref.ref(self))

    def run(self, batches: Iterable[list[SampleIndex]]) -> Iterator[T]:
        """One result per element of `batches`. Beginning another run ends this one (`RuntimeError` on its next).

        Raises what the data set raises, with the worker's traceback as its cause; `DataError` if a process cannot be
        started, ended unexpectedly, or lacks memory.
        """
        self._turn += 1
        turn = self._turn
        results = self._in_workers(batches) if self._num_threads else self._in_this_process(batches)
        while True:
            if turn != self._turn:
                raise RuntimeError(ENDED)
            item = next(results, None)
            if item is None:
                return
            yield item

    def close(self) -> None:
        """End the processes, by force if they hang. Safe to call twice; a later run starts new ones."""
        self._turn += 1
        workers, self._workers = self._workers, []
        end(workers)

    def __del__(self) -> None:
        end(self.__dict__.get("_workers", ()))

    def _in_this_process(self, batches: Iterable[list[SampleIndex]]) -> Iterator[T]:
        for indices in batches:
            try:
                result = answer(self._dataset, self._collate, indices)
            except SystemExit as error:  # it would end training, perhaps as if all were well
                raise Mistake.of(error).exception() from None
            yield result

    def _in_workers(self, batches: Iterable[list[SampleIndex]]) -> Iterator[T]:
        for request in self._pending:  # of a run that this one ends
            request.future.cancel()
        if not self._workers:
            self._start()
        # Each in its turn, not whoever is free: what a data set draws from global generators is then always the same.
        turns = zip(batches, itertools.cycle(self._workers), strict=False)
        requests = (_Request(worker, indices, worker.ask(indices)) for indices, worker in turns)
        pending = self._pending = deque(itertools.islice(requests, AHEAD * self._num_threads))
        while pending:
            result = self._result(pending.popleft())
            pending.extend(itertools.islice(requests, 1))
            yield result

    def _start(self) -> None:
        try:
            with signals_blocked():
                for number in range(self._num_threads):
                    self._workers.append(WorkerProcess(number, self._dataset, self._collate))
        except (OSError, RuntimeError, MemoryError) as error:
            self.close()
            if isinstance(error, RuntimeError) and "start new thread" not in str(error):
                raise
            code = errno.EAGAIN if isinstance(error, RuntimeError) else getattr(error, "errno", None)
            raise DataError(
                f"--num_threads {self._num_threads}: the data loading processes cannot be started "
                f"({getattr(error, 'strerror', None) or first_line(error)}): {RAISE_LIMIT.get(code or 0, '')}try a "
                "smaller --num_threads, or 0 for none"
            ) from error

    def _result(self, request: _Request) -> T:
        """Wait for it. Raises what went wrong there."""
        self._wait(request)
        try:
            result = request.future.result(0)
        except (ChannelError, TimeoutError) as error:
            if request.worker not in self._workers:
                raise RuntimeError(ENDED) from None
            raise self._broken(request, error) from None
        except BaseException:
            self.close()
            raise
        if isinstance(result, Mistake):
            raise result.exception()
        return result

    def _broken(self, request: _Request, error: Exception) -> DataError:
        """What to raise for a process that can no longer be asked. Ends all of them."""
        images = self._images(request.indices)
        code = request.worker.exit_code()
        self.close()
        if isinstance(error, ChannelError) and not isinstance(error, GoneError):
            return DataError(
                f"the connection to a data loading process failed ({error}) while it read {images}: {NO_CONNECTION}"
            )
        return DataError(
            f"a data loading process ended unexpectedly ({_how_it_ended(code)}) while it read {images}: "
            f"{_what_helps(code)}"
        )

    def _wait(self, request: _Request) -> None:
        """Return once the answer is there or cannot come any more."""
        began, told = time.monotonic(), False
        while not wait([request.future], 1.0).done:
            if not request.worker.alive:
                wait([request.future], 1.0)  # for what it has sent before
                return
            if not told and time.monotonic() - began > PATIENCE:
                told = True
                images = self._images(request.indices)
                log.warning("no images for %g s: the process that reads %s is not responding", PATIENCE, images)

    def _images(self, indices: list[SampleIndex]) -> str:
        """The images of a batch, in words."""
        first = indices[0]
        paths = [self._dataset.paths_A[first.A]] + ([] if first.B is None else [self._dataset.paths_B[first.B]])
        others = len(indices) - 1
        return " and ".join(paths) + (f", or the next {others} samples" if others else "")


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "it closed its connection"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {-code}"


def _what_helps(code: int | None) -> str:
    number = -(code or 0)
    if number == getattr(signal, "SIGKILL", None):
        return "usually the system ran out of memory; try a smaller --num_threads (0 for none) or --batch_size"
    if number in CRASHES:
        return "an image library crashed; replace or remove these images"
    return "check its messages above and the code of the data set for what ended it"


def _close_at_exit(reference: "weakref.ref[WorkerPool[Any]]") -> None:
    pool = reference()
    if pool is not None:
        pool.close()
