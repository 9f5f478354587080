"""Batches that are copied to the device one step ahead."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from coopcut.data.batch import Batch
from coopcut.data.prefetch import CopyStream, on_device
from coopcut.util.errors import DataError
from tests.steps import batch_of


def batch(number: int) -> Batch:
    A = torch.full((1, 3, 4, 4), float(number))
    return batch_of(A, -A)


def number_of(batch: Batch) -> int:
    return int(batch["A"][0, 0, 0, 0])


class Recorded(CopyStream):
    """Copies nothing, and notes what it is asked for."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def start(self, batch: Batch) -> Any:
        self.told.append(f"start {number_of(batch)}")
        return batch, None

    def finish(self, batch: Batch, copied: Any) -> Batch:
        self.told.append(f"finish {number_of(batch)}")
        return batch


def used(batches: Iterator[Batch], told: list[str]) -> None:
    for each in batches:
        told.append(f"use {number_of(each)}")


CPU = torch.device("cpu")


def test_the_next_copy_begins_before_a_batch_is_used() -> None:
    told: list[str] = []
    used(on_device(map(batch, (1, 2, 3)), CPU, Recorded(told)), told)
    assert told == [
        *("start 1", "start 2", "finish 1", "use 1"),
        *("start 3", "finish 2", "use 2"),
        *("finish 3", "use 3"),
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_comes_after_the_batches_before_it(stream: bool) -> None:
    def failing() -> Iterator[Batch]:
        yield batch(1)
        yield batch(2)
        raise DataError("3.png: not an image")

    told: list[str] = []
    with pytest.raises(DataError, match=r"3\.png"):
        used(on_device(failing(), CPU, Recorded([]) if stream else None), told)
    assert told == ["use 1", "use 2"]


def test_nothing_more_is_read_after_the_end_or_a_stop() -> None:
    asked: list[int] = []

    def counted() -> Iterator[Batch]:
        try:
            for number in range(1, 9):
                asked.append(number)
                yield batch(number)
        finally:
            asked.append(0)

    batches = on_device(counted(), CPU, Recorded([]))
    next(batches)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert asked == [1, 2, 3, 0]
    assert list(on_device([], CPU, Recorded([]))) == []


def test_without_cuda_nothing_is_read_ahead() -> None:
    asked: list[int] = []

    def counted() -> Iterator[Batch]:
        for number in (1, 2):
            asked.append(number)
            yield batch(number)

    first = next(on_device(counted(), CPU))
    assert asked == [1]
    assert torch.equal(first["A"], batch(1)["A"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_batch_is_used_after_its_copy_and_kept_until_it_was_used() -> None:
    """Copies are late, so that a use at once would read too early; uses are late too, and nothing waits."""

    class Late(CopyStream):
        def start(self, batch: Batch) -> Any:
            with torch.cuda.stream(self._stream):
                torch.cuda._sleep(20_000_000)
            return super().start(batch)

    device, sums = torch.device("cuda"), []
    for moved in on_device((batch(number).pin_memory() for number in range(30)), device, Late(device)):
        torch.cuda._sleep(40_000_000)
        sums += [moved["A"].mean(), moved["B"].mean()]
    assert torch.stack(sums).tolist() == [sign * number for number in range(30) for sign in (1.0, -1.0)]
