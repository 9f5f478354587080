"""What the scripts share: plain messages on the terminal, and one line instead of a traceback for a user's error."""

import contextlib
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import torch
from tqdm import tqdm

from coopcut.util.errors import UserError, of_system
from coopcut.util.interrupts import Terminated, raise_on_terminate
from coopcut.util.launch import Place, find_place, without_local_rank
from coopcut.util.memory import is_out_of_memory, no_memory


class _Console(logging.Handler):
    """Messages above a progress bar instead of through it; warnings and errors go to stderr.

    Their stream may be gone (a closed pipe, a lost terminal): that does not end training.
    """

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stdout if record.levelno < logging.WARNING else sys.stderr
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        _say(prefix + record.getMessage(), stream)


def _say(text: str, stream: TextIO | None) -> None:
    """Print a line; a stream that takes none is silent from then on."""
    if stream is None or stream.closed:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"  # a path may hold what the terminal cannot show
    try:
        tqdm.write(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())  # else what is still in the stream's buffer would fail at the very end
            os.close(null)


def run_script(main: Callable[[Sequence[str]], int]) -> None:
    """Call `main` with the command line and exit with what it returns; a user's error is one line and exit code 2."""
    before = set(multiprocessing.active_children())
    try:
        _run(main)
    except BaseException as error:
        # Others of the group may not answer, so it was not taken down; its threads would not survive Python's end.
        grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
        # A process that reads from a dead disk does not even die of SIGKILL, and Python would wait for it.
        stuck = set(multiprocessing.active_children()) - before
        if isinstance(error, SystemExit) and (grouped or stuck):
            _end_at_once(error.code)
        if stuck:
            sys.excepthook(type(error), error, error.__traceback__)
            _end_at_once(1)
        raise


def _end_at_once(code: int | str | None) -> None:
    if isinstance(code, str):
        _say(code, sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _run(main: Callable[[Sequence[str]], int]) -> None:
    script = Path(sys.argv[0]).name
    here = Place()
    try:
        here = find_place()
        level = logging.INFO if here.rank == 0 else logging.ERROR  # the others would say the same
        logging.basicConfig(level=level, handlers=[_Console()], force=True)
        raise_on_terminate()
        argv = without_local_rank(sys.argv[1:], here)
        sys.exit(main(argv))
    except UserError as error:
        if error.agreed and here.rank > 0:
            sys.exit(2)  # the first process says it
        complain(script, str(error))
    except (OSError, MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            complain(script, no_memory(error))
        if isinstance(error, OSError):
            complain(script, of_system(error))
        if "start new thread" in str(error):
            complain(script, "cannot start a thread: raise the limit of processes (ulimit -u, or the container's)")
        raise
    except KeyboardInterrupt as error:
        what, code = ("terminated", 143) if isinstance(error, Terminated) else ("interrupted", 130)
        complain(script, f"{what}; saved files are unchanged", code)


def complain(script: str, message: str, code: int = 2) -> None:
    """Print one line and leave."""
    _say(f"{script}: error: {' '.join(message.split())}", sys.stderr)
    sys.exit(code)
