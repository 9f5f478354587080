"""Several processes that train or translate as one (torchrun), and how they stay in step.

`Peers` keeps the processes together: none goes on, stops or fails without the others. What they compute together is in
`coopcut.engine.processes.collectives`.
"""

import datetime
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from threading import Timer
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from coopcut.engine.guard import FiniteGuard
from coopcut.engine.processes.collectives import guarded, rank, world_size
from coopcut.engine.processes.rendezvous import meet
from coopcut.engine.processes.shared_stop import shared_signals
from coopcut.engine.signals import Stopped, StopSignals
from coopcut.util import errors
from coopcut.util.errors import DataError, OptionError, PeerError, UserError, first_line, of_system
from coopcut.util.launch import TIMEOUT, Place, cure_of_several, find_place
from coopcut.util.memory import is_out_of_memory

T = TypeVar("T")
log = logging.getLogger(__name__)
PATIENCE = 20.0  # seconds that a process waits for the others before it says so

LESS_DATA = "try a smaller --batch_size, --load_size, --cache_images or --num_threads"
DIFFERENT_OPTIONS = "the processes were given different options: {}; start all of them with the same options"
DIFFERENT_IMAGES = "the processes see different images: {}; give all of them the same --dataroot"


def restarted() -> bool:
    """Whether torchrun has started this process again after a failure."""
    return find_place().restarts > 0


class Images(Protocol):
    """What `Peers.in_step` looks at in a batch."""

    @property
    def tensors(self) -> dict[str, Tensor]: ...

    @property
    def paths(self) -> dict[str, list[str]]: ...


B = TypeVar("B", bound=Images)


@contextmanager
def join() -> Iterator["Peers"]:
    """Within the block this process works with the others that torchrun started. Raises `PeerError`."""
    here = find_place()
    if here.alone:
        yield Peers()
        return
    # Its functions take the group of the moment they are imported as a default, and an optimizer imports them: a group
    # that they keep is not taken down, and its threads may then need Python while it ends, which aborts the process.
    import_module("torch.distributed.nn")
    timeout = datetime.timedelta(seconds=here.timeout)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        with _told_of_waiting(here):
            store = meet(here, timeout)
            dist.init_process_group(backend, store=store, rank=here.rank, world_size=here.size, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        raise PeerError(
            f"{_who(here)} did not find the others at {here.host} port {here.port} (MASTER_ADDR, MASTER_PORT): "
            f"{first_line(error).rstrip('.')}; start all {here.size} with the same free port, or {cure_of_several()} "
            "to run this one alone"
        ) from None
    try:
        yield Peers(store)
    except BaseException as error:
        if getattr(error, "agreed", False):
            dist.destroy_process_group()
        raise  # else it is left to `run_script`: others may not answer
    dist.destroy_process_group()


@contextmanager
def _told_of_waiting(here: Place) -> Iterator[None]:
    """Within the block a process that waits long for the others says so: they may never have been started."""
    log.setLevel(logging.WARNING)  # also where a process leaves it to the first to talk
    patience = f"up to {here.timeout:g} seconds ({TIMEOUT})"
    message = f"{_who(here)} is waiting for the others, {patience}; to run it alone, {cure_of_several()}"
    timer = Timer(PATIENCE, log.warning, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _who(here: Place) -> str:
    return f"process {here.rank} of {here.size} (RANK, WORLD_SIZE)"


class Peers:
    """The processes of a run, this one among them. Alone, every method is free of charge."""

    def __init__(self, store: dist.Store | None = None) -> None:
        self.rank, self.size = rank(), world_size()
        self._store = store

    @property
    def alone(self) -> bool:
        """Whether there is only this process."""
        return self.size == 1

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """A block that all processes leave together; an error that a user can mend becomes the error of all.

        No tensors may be exchanged in it after such an error could have arisen, except by `in_step` and `results`,
        which begin by telling each other of errors.
        """
        trouble: UserError | None = None
        try:
            yield
        except UserError as error:
            if self.alone or error.agreed:
                raise
            trouble = error
        except OSError as error:
            if self.alone:
                raise
            trouble = UserError(of_system(error))
        if not self.alone:
            self._exchange((), trouble)

    def results(self, compute: Callable[[], T]) -> list[T]:
        """What `compute` gives in every process, by number; a plain object. Raises the error of any in all."""
        with self.agreed():
            value = compute()
        return self.collect(value)

    def in_step(self, batches: Iterable[B], stop: StopSignals, guard: FiniteGuard) -> Iterator[B]:
        """`batches`, as long as no process was asked to stop, `guard` found nothing, and all have images of one size.

        A signal to any of the processes sets `stop.received` in all of them; see also `shared`. Raises the error of any
        in all.
        """
        iterator = iter(batches)
        while True:
            batch, trouble = _next(iterator, stop)
            if self.alone:
                if trouble is not None:
                    raise trouble
            elif not self._all_go_on(batch, stop, guard.trouble or trouble):
                return
            if batch is None:
                return
            yield batch

    def shared(self, stop: StopSignals) -> AbstractContextManager[None]:
        """Within the block a signal to any of the processes ends the wait of each for an image."""
        return shared_signals(self._store, stop)

    def agree_on(self, stop: StopSignals) -> None:
        """All processes call this together when one of them was asked to stop: all stop for its reason."""
        if not self.alone:
            stop.agree(next(number for number in self.collect(int(stop.asked or 0)) if number))

    def _all_go_on(self, batch: Images | None, stop: StopSignals, trouble: UserError | None) -> bool:
        """Tell the others how this process stands before a step, and whether all take it. Raises the error of any."""
        told = self._exchange((int(stop.asked or 0), *_sizes(batch)), trouble)
        signals = [line[0] for line in told if line[0]]
        if signals:
            stop.agree(signals[0])
            return False
        if len({tuple(line[1:]) for line in told}) > 1:
            self._refuse_sizes(batch)
        return True

    def settle(self, guard: FiniteGuard) -> None:
        """Let `guard` judge what it has not judged yet: before anything is saved."""
        guard.settle()
        if not self.alone:
            self._exchange((), guard.trouble)

    def check_same(self, what: Callable[[], Mapping[str, Any]], complaint: str) -> None:
        """Raise `OptionError` in all processes unless `what()` is the same in all; `{}` in `complaint`: what is not."""
        if self.alone:
            return
        digests = {name: hashlib.sha256(repr(value).encode()).hexdigest() for name, value in what().items()}
        everyone = self.collect(digests)
        names = sorted({name for theirs in everyone for name in theirs if len({d.get(name) for d in everyone}) > 1})
        if names:
            raise _as_agreed(OptionError(complaint.format(", ".join(names))))

    def collect(self, value: T) -> list[T]:
        """The `value` of every process, by its number; a plain object."""
        if self.alone:
            return [value]
        everyone: list[Any] = [None] * self.size
        guarded(lambda: dist.all_gather_object(everyone, value))
        return everyone

    # -- one message a step ---------------------------------------------------------------------------------------

    def _exchange(self, numbers: Sequence[int], trouble: UserError | None) -> list[list[int]]:
        """The up to 7 `numbers` of every process. Raises the `trouble` of the first that has one, in all of them."""
        mine = torch.zeros(8, dtype=torch.int64)
        mine[: 1 + len(numbers)] = torch.tensor([int(trouble is not None), *numbers])
        everyone = [torch.empty_like(mine) for _ in range(self.size)]
        guarded(lambda: dist.all_gather(everyone, mine))
        told = [line.tolist() for line in everyone]
        if any(line[0] for line in told):
            troubles = self.collect(None if trouble is None else (type(trouble).__name__, str(trouble)))
            raise _first_of(troubles)
        return [line[1:] for line in told]

    def _refuse_sizes(self, batch: Images | None) -> None:
        mine = "no more images"
        if batch is not None:
            name, images = next(iter(batch.tensors.items()))
            mine = f"{batch.paths[name][0]} is {images.shape[3]}x{images.shape[2]}"
        found = "; ".join(dict.fromkeys(self.collect(mine)))
        raise _as_agreed(
            DataError(
                f"images of different sizes in one batch over {self.size} processes ({found} pixels after "
                "--preprocess); use a cropping --preprocess (for example resize_and_crop)"
            )
        )


def _next(iterator: Iterator[B], stop: StopSignals) -> tuple[B | None, DataError | None]:
    """The next batch, or why there is none; neither at the end or on a signal, which ends the wait."""
    try:
        with stop.waiting():
            return next(iterator, None), None
    except Stopped:
        return None, None
    except DataError as error:
        return None, error
    except OSError as error:
        return None, DataError(of_system(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None, DataError(f"out of memory ({first_line(error)}) while loading images: {LESS_DATA}")


def _sizes(batch: Images | None) -> list[int]:
    """Whether there is a batch, and height and width of the images of up to two domains."""
    if batch is None:
        return [0] * 5
    sides = [side for images in batch.tensors.values() for side in images.shape[2:]]
    return ([1, *sides] + [0] * 4)[:5]


def _first_of(troubles: Sequence[tuple[str, str] | None]) -> UserError:
    """The error of all processes: that of the first which has one, with its number if not all have the same."""
    number, first = next((i, trouble) for i, trouble in enumerate(troubles) if trouble is not None)
    where = "" if all(trouble == first for trouble in troubles) else f"process {number} of {len(troubles)}: "
    return _as_agreed(getattr(errors, first[0], UserError)(where + first[1]))


def _as_agreed(error: UserError) -> UserError:
    error.agreed = True
    return error
