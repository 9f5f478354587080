"""Worker processes that make batches ahead of time and stay alive over the epochs."""

import atexit
import signal
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from data.batch import Draw, Failure, Sample
from util.errors import DataError

T = TypeVar("T")


class WorkerPool(Generic[T]):
    """Turns lists of `Draw` into what `collate` makes of their samples, in order, on `num_threads` processes.

    With 0 the main process does the work. The processes start at the first run and end with `close`, with the pool's
    last reference, or with the program. One run at a time. `dataset` and `collate` can be pickled, so that the
    processes may be forked or spawned.
    """

    def __init__(
        self, dataset: Dataset[Sample | Failure], collate: Callable[[list[Sample | Failure]], T], num_threads: int
    ) -> None:
        self._dataset = dataset
        self._collate = collate
        self._num_threads = num_threads
        self._plan = _Plan()
        self._turn = 0  # the number of the current run
        self._loader: DataLoader[Any] | None = None
        self._running: Iterator[T] | None = None

    def run(self, batches: Iterable[list[Draw]]) -> Iterator[T]:
        """One result per element of `batches`. Beginning another run ends this one (`RuntimeError` on its next)."""
        if self._loader is None:
            self._loader = self._open()
        self._turn += 1
        turn = self._turn
        self._plan.batches = batches
        try:
            with warnings.catch_warnings():  # more processes than cores is CUT's default, no reason to worry users
                warnings.filterwarnings("ignore", message="This DataLoader will create")
                self._running = iter(self._loader)
            while True:
                if turn != self._turn or self._running is None:
                    raise RuntimeError("this run was ended by another one, or by close()")
                item = next(self._running, None)
                if item is None:
                    return
                yield item
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):  # an error inside a worker has another beginning
                raise
            self.close()
            raise DataError(
                f"a data loading process ended unexpectedly ({str(error).splitlines()[0]}); out of memory, or of "
                "shared memory: try a smaller --num_threads, 0 for none"
            ) from error

    def close(self) -> None:
        """End the processes. Safe to call twice; a later run starts new ones."""
        running, self._running, self._loader = self._running, None, None
        # Not left to garbage collection: the traceback of an error may keep the iterator alive.
        shutdown = getattr(running, "_shutdown_workers", None)
        if shutdown is not None:
            with suppress(RuntimeError):  # torch's complaint about a process that was killed, again
                shutdown()
        for worker in getattr(running, "_workers", ()):
            if worker.is_alive():  # a busy machine: torch waits for some seconds, then sends SIGTERM, which is ignored
                worker.kill()
                worker.join()

    def _open(self) -> DataLoader[Any]:
        # Python ends remaining processes with SIGTERM and waits for them; ours ignore it and would be waited for
        # forever. So they are told to end before that.
        atexit.register(_close_at_exit, weakref.ref(self))
        with warnings.catch_warnings():  # more processes than cores is CUT's default, and no reason to worry users
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            return DataLoader(
                self._dataset,
                batch_sampler=self._plan,
                collate_fn=self._collate,
                num_workers=self._num_threads,
                persistent_workers=self._num_threads > 0,
                worker_init_fn=_prepare_worker,
                generator=torch.Generator(),  # else each epoch would advance torch's global generator
            )


class _Plan:
    """The batches of the current run, as the `DataLoader` asks for them at the start of each."""

    def __init__(self) -> None:
        self.batches: Iterable[list[Draw]] = ()

    def __iter__(self) -> Iterator[list[Draw]]:
        return iter(self.batches)


def _prepare_worker(worker_id: int) -> None:
    """Leave Ctrl-C and the scheduler's SIGTERM, which reach the whole process group, to the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)  # the processes are the parallelism


def _close_at_exit(reference: "weakref.ref[WorkerPool[Any]]") -> None:
    pool = reference()
    if pool is not None:
        pool.close()
