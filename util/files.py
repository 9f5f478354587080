"""Files that are written whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, extension: str = ".tmp") -> Iterator[Path]:
    """A hidden name in the folder of `path`: what the block writes there replaces `path`, unless an error ends it.

    Raises `OSError`; the file is then as it was before.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}{extension}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with suppress(OSError):  # where there is no folder
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, flush: bool = False) -> None:
    """Replace `path` by a file with `text` (UTF-8; what a file name holds that is not Unicode becomes a "?").

    flush: wait until it is on the disk. Raises `OSError`; the file is then as it was before.
    """
    write_bytes(path, text.encode("utf-8", "replace"), flush)


def write_bytes(path: Path, content: bytes, flush: bool = False) -> None:
    """Replace `path` by a file with `content`; else as `write_text`."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())
