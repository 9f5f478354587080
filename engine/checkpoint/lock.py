"""One training at a time in a folder."""

import os
import time
from contextlib import suppress
from pathlib import Path

from coopcut.util.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Descriptors, with what tells a folder. A forked process inherits them, and a lock is kept until the last one is
# closed: loading processes, which outlive a killed training for a moment, would keep it from being continued.
_held: dict[int, tuple[int, int]] = {}


def _close_in_child() -> None:
    for descriptor, folder in _held.items():
        with suppress(OSError):  # closed, and perhaps a number of something else now
            if _identity(descriptor) == folder:
                os.close(descriptor)
    _held.clear()


def _forget(descriptor: int) -> None:
    del _held[descriptor]
    os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def lock_folder(folder: Path, patience: float = 0) -> int | None:
    """Claim `folder` until the returned descriptor is closed or this process ends, however it ends.

    Processes that are forked from it do not keep the claim.

    Raises `CheckpointError` if another process has claimed it, and keeps it for `patience` seconds. None where the
    system has no such locks.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    _held[descriptor] = _identity(descriptor)
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)
    except BlockingIOError:
        _forget(descriptor)
        raise CheckpointError(
            f"{folder} is in use by another training run: wait for it, or choose another --name"
        ) from None
    except OSError:  # some network file systems know no locks
        _forget(descriptor)
        return None
