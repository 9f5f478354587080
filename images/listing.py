"""The image files of a folder: which names are images, and what a system or another program leaves among them."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from coopcut.util.errors import DataError

OTHER_PICTURES = (  # not read
    ".avif", ".dng", ".exr", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg", ".tga",
    ".arw", ".cr2", ".nef", ".raw",
    ".czi", ".dcm", ".h5", ".hdr", ".lif", ".mrc", ".nd2", ".ndpi", ".nii", ".npy", ".npz", ".svs",
    ".avi", ".mov", ".mp4", ".zip",
)  # fmt: skip
IMAGE_EXTENSIONS = (
    ".bmp",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)

_NOT_THE_USERS = frozenset(  # folders of systems: thumbnails, deleted files, snapshots; some cannot even be listed
    name.lower()
    for name in (
        "@eaDir", "@Recycle", "@Recently-Snapshot", "@tmp", "@sharebin", "@__thumb",  # network storage
        "#recycle", "#snapshot", "~snapshot",
        "$RECYCLE.BIN", "RECYCLER", "System Volume Information",  # Windows
        "__MACOSX", "lost+found",
    )
)  # fmt: skip


def list_images(folder: str | Path) -> list[str]:
    """The image files in `folder` and its sub-folders, by extension in any case; see `list_files`."""
    return [path for path in list_files(folder) if is_image_name(os.path.basename(path))]


def list_files(folder: str | Path) -> list[str]:
    """The files in `folder` and its sub-folders (links followed), sorted by path.

    Hidden files and folders (".name") and folders of the system (thumbnails, recycle bins) are left out. Raises
    `DataError` if a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions")

    paths: list[str] = []
    visited: set[str] = set()
    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:  # a link back to one of its own parents
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if is_data_folder(name))
        paths += (os.path.join(root, name) for name in files if not name.startswith("."))
    return sorted(paths)


def count_other_pictures(files: Iterable[str]) -> list[str]:
    """The files of kinds that are not read, counted: '2 .gif', '1 .heic'."""
    kinds = Counter(os.path.splitext(path)[1].lower() for path in files)
    return [f"{kinds[kind]} {kind}" for kind in OTHER_PICTURES if kinds[kind]]


def file_size(path: str) -> int:
    """Bytes; -1 for a missing file, which is reported when it is read."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def is_image_name(name: str) -> bool:
    """Whether a file of this name (without folder) is taken for an image: a known extension and not hidden."""
    return name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")


def is_data_folder(name: str) -> bool:
    """Whether a sub-folder of this name is looked into: neither hidden nor one of the system."""
    return not (name.startswith(".") or name.lower() in _NOT_THE_USERS or re.fullmatch(r"found\.\d{3}", name.lower()))
