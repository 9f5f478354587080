"""Figures of matplotlib as picture files."""

import io
from pathlib import Path
from typing import Any

from coopcut.util.errors import DataError
from coopcut.util.files import write_bytes


def save_figure(figure: Any, path: Path, flag: str) -> None:
    """Write `figure` whole or not at all, in the format that `path` ends in, and close it.

    Folders are made. Raises `DataError`, naming the `flag` to change, if the file cannot be written.
    """
    from matplotlib import pyplot

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = io.BytesIO()
        figure.savefig(picture, format=path.suffix[1:].lower(), dpi=110)
        write_bytes(path, picture.getvalue())
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): choose another {flag}") from None
    finally:
        pyplot.close(figure)
