"""Text files that are written whole or not at all."""

import os
from pathlib import Path


def write_text(path: Path, text: str, flush: bool = False) -> None:
    """Replace `path` by a file with `text` (UTF-8; what a file name holds that is not Unicode becomes a "?").

    flush: wait until it is on the disk. Raises `OSError`; the file is then as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
