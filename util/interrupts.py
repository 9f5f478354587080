"""Imported by the scripts before torch, which takes seconds: Ctrl-C in this time is one line, as it is later."""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType

from coopcut.util.launch import find_place


class Terminated(KeyboardInterrupt):
    """SIGTERM, where nothing else handles it."""


def _say_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"{Path(sys.argv[0]).name}: error: interrupted before anything started", file=sys.stderr, flush=True)
    os._exit(128 + signal.SIGINT)  # libraries that are half loaded would print more


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def raise_on_terminate() -> None:
    """Let SIGTERM end this process as Ctrl-C does, with what is cleaned up then, unless something answers it already.

    Of several processes none does: it would wait for the others, which got the signal too.
    """
    main = threading.current_thread() is threading.main_thread()  # no other may set what answers a signal
    if find_place().alone and main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


sys.excepthook = _say_interrupted
