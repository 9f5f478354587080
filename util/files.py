"""Files that are written whole or not at all."""

import os
from pathlib import Path


def write_text(path: Path, text: str, flush: bool = False) -> None:
    """Replace `path` by a file with `text` (UTF-8; what a file name holds that is not Unicode becomes a "?").

    flush: wait until it is on the disk. Raises `OSError`; the file is then as it was before.
    """
    write_bytes(path, text.encode("utf-8", "replace"), flush)


def write_bytes(path: Path, content: bytes, flush: bool = False) -> None:
    """Replace `path` by a file with `content`; else as `write_text`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
