"""Errors in worker processes: a mistake keeps its traceback, an error of the user stays one line."""

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coopcut.data.channel import ChannelError
from coopcut.data.loader import EpochLoader
from coopcut.util.errors import DataError


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
        "out of memory in a data loading process: try a smaller --num_threads, or 0 for none, or a smaller --batch_size"
    )
