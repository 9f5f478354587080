"""Feature vectors on disk, so that a real set is put through the network once.

The name of a cache file is a hash over the network, the scaling, and the name and content of every image. A set that
differs in anything has another name. Files are written whole or not at all; a damaged one is computed anew.
"""

import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coopcut.images.pixels import Range
from coopcut.metrics.features import Features
from coopcut.util.files import write_bytes

log = logging.getLogger(__name__)

FORMAT = 2
ARRAYS = ("features", "thumbnails", "sizes", "gray")  # of an `ImageSet`


def cache_folder() -> Path:
    """The user's cache: $XDG_CACHE_HOME or ~/.cache, and there coopcut/features."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "coopcut" / "features"


class FeatureCache:
    """Measured sets under their keys in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, features: Features, paths: Mapping[str, str], value_range: Range | None = None) -> str:
        """SHA-256 over the network with its scaling, the range of values, and the images in order: name and content."""
        values = "" if value_range is None else f" {value_range[0]} to {value_range[1]}"
        digest = hashlib.sha256(f"{FORMAT} {features.key} {len(paths)}{values}".encode())
        for name, path in paths.items():
            digest.update(hashlib.sha256(name.encode(errors="surrogateescape")).digest())
            try:
                digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
            except OSError as error:  # it is told of when it is to be read as an image
                digest.update(str(error.errno).encode())
        return digest.hexdigest()

    def load(self, key: str, number: int, dims: int) -> dict[str, Any] | None:
        """The arrays of `ImageSet` for so many images; None if there are none, or if the file is damaged."""
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = {name: stored[name] for name in ARRAYS}
                whole = str(stored["key"]) == key
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.debug("%s is damaged (%s): computed anew", path, error)
            return None
        fits = found["features"].shape == (number, dims) and all(len(array) == number for array in found.values())
        return found if whole and fits else None

    def save(self, key: str, measured: Any) -> None:
        """Store an `ImageSet`. A folder that cannot be written only costs the next run time."""
        content = io.BytesIO()
        np.savez(content, key=np.array(key), **{name: getattr(measured, name) for name in ARRAYS})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self._path(key), content.getvalue())
        except OSError as error:
            log.debug("%s cannot be written (%s)", self.folder, error)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key[:40]}.npz"
