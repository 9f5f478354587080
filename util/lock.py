"""One training at a time in a folder."""

import os
import time
from pathlib import Path

from util.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock_folder(folder: Path, patience: float = 0) -> int | None:
    """Claim `folder` until the returned descriptor is closed or the process ends, however it ends.

    Raises `CheckpointError` if another process has claimed it, and keeps it for `patience` seconds. None where the
    system has no such locks.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
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
        os.close(descriptor)
        raise CheckpointError(
            f"{folder} is in use by another training: wait for it, or choose another --name"
        ) from None
    except OSError:  # some network file systems know no locks
        os.close(descriptor)
        return None
