"""Ctrl-C, SIGTERM and a lost terminal (SIGHUP) as a request that training answers between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """Raised in `StopSignals.waiting`. Not an `Exception`: it also ends a data set that catches those."""


class StopSignals:
    """While entered, the first of `SIGNALS` only sets `received`; a second SIGINT interrupts at once.

    Within `waiting` it is answered at once too.

    alone: whether this process decides by itself. Else a signal sets `asked`; `agree` follows when all know.
    """

    def __init__(self, alone: bool = True) -> None:
        self.alone = alone
        self.asked: signal.Signals | None = None
        self.received: signal.Signals | None = None
        self._waits = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:  # nohup wants it ignored
                continue
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number)
        if self.alone:
            self.received = self.asked
        if self._waits:
            self._waits = False
            raise Stopped

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A block that waits for what may never come: a signal in it or before it raises `Stopped`."""
        self._waits = True
        try:
            if self.asked is not None:
                raise Stopped
            yield
        finally:
            self._waits = False

    def agree(self, number: int) -> None:
        """Every process of the run stops now, because one of them received this signal."""
        self.received = signal.Signals(number)
