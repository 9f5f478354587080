"""One training at a time in a folder."""

import os
from pathlib import Path

from util.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock_folder(folder: Path) -> int | None:
    """Claim `folder` until the returned descriptor is closed or the process ends, however it ends.

    Raises `CheckpointError` if another process has claimed it. None where the system has no such locks.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CheckpointError(
            f"{folder} is in use by another training: wait for it, or choose another --name"
        ) from None
    except OSError:  # some network file systems know no locks
        os.close(descriptor)
        return None
    return descriptor
