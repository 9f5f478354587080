"""The image files of one domain: found, counted and checked, with messages that say what was there instead."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from coopcut.images.decode import check_header
from coopcut.images.listing import (
    IMAGE_EXTENSIONS,
    count_other_pictures,
    file_size,
    is_data_folder,
    is_image_name,
    list_files,
    list_images,
)
from coopcut.util.errors import DataError

_MAX_NAMES = 8  # sub-folders named in a message
CHECKING_THREADS = 8  # waiting for the disk or the network, not computing


@dataclass(frozen=True)
class Domain:
    """The images of one domain that are used: the first ones, in sorted order, of `total` found in `folder`."""

    folder: str
    paths: list[str]
    total: int
    others: str = ""  # pictures of kinds that are not read: "2 .gif, 1 .heic"

    def refuse_inside(self, flag: str, written: str) -> None:
        """Raise `DataError` if the folder `written`, which `flag` names, lies where these images are read."""
        inside = Path(written).resolve().is_relative_to(Path(self.folder).resolve())
        if written and inside and os.path.isdir(self.folder):
            raise DataError(
                f"{flag} {written} is inside {self.folder}, which is read with all its subfolders: the next run would "
                "take the pictures written there for inputs; name a folder outside of it"
            )

    def fingerprint(self) -> list[tuple[str, int]]:
        """The images by name and size in bytes, to tell whether two processes see the same ones."""
        return [(os.path.basename(path), file_size(path)) for path in self.paths]

    def describe(self) -> str:
        """For example '1067 images in ./datasets/horse2zebra/trainA'; '100 of 1067 images ...' if capped."""
        used = len(self.paths)
        count = _count(used) if used == self.total else f"{used} of {_count(self.total)}"
        return f"{count} in {self.folder}" + (f" ({self.others} skipped)" if self.others else "")


def domains_of(direction: str) -> tuple[str, str]:
    """The letters of the folders of source and target images: A and B, or with `--direction BtoA` B and A."""
    return ("A", "B") if direction == "AtoB" else ("B", "A")


def phase_of(root: str | Path, phase: str, domains: str) -> str:
    """`phase`, or val in place of test for a data set that has no test folders of `domains` and has val folders."""
    test, val = ([os.path.isdir(os.path.join(root, name + d)) for d in domains] for name in ("test", "val"))
    return "val" if phase == "test" and not all(test) and all(val) else phase


def find_domain(source: str, max_size: float, expected: str, check: bool = True) -> Domain:
    """The images in the folder `source` and its sub-folders (or the one file `source`), at most `max_size` of them.

    With `check` the header of each is read. `expected` says in error messages what should have been there. Raises
    `DataError` if there is no such folder, no image in it, or a file among them that is no image.
    """
    if max_size < 1:
        raise DataError(f"--max_dataset_size {max_size:g} must be at least 1")
    files: list[str] = []
    if os.path.isfile(source):
        found = [source]
    elif not os.path.isdir(source):
        raise DataError(f"{source}: no such folder; {expected}; {_whats_near(source)}")
    else:
        files = list_files(source)
        found = [path for path in files if is_image_name(os.path.basename(path))]
    others = ", ".join(count_other_pictures(files))
    if not found:
        known = " ".join(IMAGE_EXTENSIONS)
        raise DataError(
            f"{source}: no images ({known}) in this folder; {expected}; {whats_in(source)}"
            + (f"; {others} are of an unsupported type" if others else "")
        )
    used = found[: int(min(max_size, len(found)))]
    if check:
        check_headers(used, source)
    return Domain(source, used, len(found), others)


def check_headers(paths: Iterable[str], folder: str) -> None:
    """Raise a `DataError` that names the first file that is no image, and says how many of them there are."""
    with ThreadPoolExecutor(CHECKING_THREADS) as pool:
        complaints = [complaint for complaint in pool.map(_complaint, paths) if complaint]
    if len(complaints) == 1:
        raise DataError(complaints[0])
    if complaints:
        raise DataError(f"{complaints[0]} (the first of {len(complaints)} unusable files in {folder})")


def whats_in(folder: str) -> str:
    """One phrase on what an existing folder holds, for error messages: its sub-folders with their image counts."""
    names = _subfolders(folder)
    parts = [f"{name} ({_count(len(list_images(os.path.join(folder, name))))})" for name in names[:_MAX_NAMES]]
    if len(names) > _MAX_NAMES:
        parts.append(f"{len(names) - _MAX_NAMES} more folders")
    direct = sum(map(is_image_name, os.listdir(folder)))
    if direct:
        parts.append(f"{_count(direct)} not in a subfolder")
    return f"found in {folder}: {', '.join(parts) if parts else 'no subfolders and no images'}"


def _whats_near(missing: str) -> str:
    """What the nearest existing parent of `missing` holds. Not counted: that may be somebody's whole home."""
    parent = os.path.dirname(os.path.abspath(missing))
    if os.path.isfile(parent):
        return f"{parent} is a file"
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent)
    names = _subfolders(parent)
    parts = names[:_MAX_NAMES] + ([f"{len(names) - _MAX_NAMES} more"] if len(names) > _MAX_NAMES else [])
    return f"folders in {parent}: {', '.join(parts) if parts else 'none'}"


def _subfolders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and is_data_folder(entry.name))


def _complaint(path: str) -> str | None:
    try:
        check_header(path)
    except DataError as error:
        return str(error)
    return None


def _count(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"
