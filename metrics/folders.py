"""Is a folder one set of images, or does it hold several, as a data set, a result of test.py or a run does?"""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import permutations, product
from pathlib import Path

from coopcut.images.listing import file_size, list_images
from coopcut.images.names import DOMAIN_FOLDERS
from coopcut.inference.translated import FAKES, LABELS
from coopcut.metrics.sets import WRITTEN, Folder, some
from coopcut.options.saved import FILE
from coopcut.util.errors import DataError, OptionError

log = logging.getLogger(__name__)

TRANSLATIONS = Path(FAKES).name
SETS = (*DOMAIN_FOLDERS, *LABELS)


def one_set(flag: str, folder: Path) -> Path:
    """`folder`, or the one set of images that it holds, with a line that says so.

    Sub-folders as such are part of a set; those of a data set (trainA, ...) and of a result are sets of their own.
    Raises `DataError` if there are several, or images beside them.
    """
    if not folder.is_dir() or folder.name in SETS or folder.resolve().name in SETS:
        return folder
    _refuse_labels_side_by_side(flag, folder)
    found = sets_below(folder)
    beside = found.pop("", 0)
    if _is_web(folder.resolve()):
        raise DataError(_training(flag, folder))
    translations = {name: number for name, number in found.items() if Path(name).name == TRANSLATIONS}
    wanted = translations if flag == "--fake" and translations else found
    if not wanted:
        return folder
    runs = [name for name in wanted if _is_run(folder / name)]
    if len(runs) == len(wanted):
        raise DataError(_training(flag, folder))
    if len(wanted) > 1 or beside:
        parts = [f"{name} ({number}{' of a training run' * (name in runs)})" for name, number in wanted.items()]
        parts += [f"{beside} elsewhere"] if beside else []
        raise DataError(f"{flag} {folder} holds more than one set of images: {some(parts)}; name the one you mean")
    ((name, number),) = wanted.items()
    log.info("%s %s: measuring its only set of images, %s (%d)", flag, folder, folder / name, number)
    return folder / name


def _refuse_labels_side_by_side(flag: str, folder: Path) -> None:
    """Other toolkits write <name>_real_A.png, <name>_fake_B.png, ... into one folder."""
    endings = "|".join((*LABELS, "fake_A", "rec_A", "rec_B", "idt_A", "idt_B"))
    names = (re.search(rf"_({endings})$", Path(path).stem) for path in list_images(folder))
    labels = Counter(match[1] for match in names if match)
    if len(labels) > 1:
        parts = [f"{number} {label}" for label, number in labels.items()]
        raise DataError(
            f"{flag} {folder} holds inputs and translations side by side, judging by their names ({', '.join(parts)}): "
            "move the ones you mean into a separate folder"
        )


def _training(flag: str, folder: Path) -> str:
    return (
        f"{flag} {folder}: its images are snapshots of a training run; name a folder of images, or measure the "
        "translations of the run with --name"
    )


def sets_below(folder: Path) -> dict[str, int]:
    """The sets of images and the runs below a folder by their path, sorted, with the number of images of each.

    "" are the images that are in none, but for those that are `WRITTEN`.
    """
    folders = Counter(Path(path).parent for path in list_images(folder) if os.path.basename(path) not in WRITTEN)
    counts: Counter[str] = Counter()
    for place, number in folders.items():
        parents = [above for above in (place, *place.parents) if above.is_relative_to(folder)][::-1]
        sets = [above for above in parents if above.name in SETS] or [above for above in parents if _is_run(above)]
        counts[sets[0].relative_to(folder).as_posix() if sets else ""] += number
    return dict(sorted(counts.items()))


def _is_run(folder: Path) -> bool:
    return (folder / FILE).is_file()


def _is_web(folder: Path) -> bool:
    """Whether a folder is the page of a run, or the pictures of that page."""
    return any(page.name == "web" and _is_run(page.parent) for page in (folder, folder.parent))


def check_apart(groups: Sequence[Sequence[Folder]]) -> None:
    """Raise `DataError` if a folder of one group lies in one of another: its images would count for both."""
    for group, other in permutations(groups, 2):
        for inner, outer in product(group, other):
            if inner.path.resolve() != outer.path.resolve() and _lies_in(inner.path, outer.path):
                raise DataError(
                    f"{inner.flag} {inner.path} is inside {outer.flag} {outer.path}, so its images would count for "
                    "both: name two separate folders"
                )


def check_outside(flag: str, file: Path, folders: Sequence[Folder]) -> None:
    """Raise `OptionError` if a picture would be written among images that are measured."""
    for folder in folders:
        if _lies_in(file, folder.path):
            raise OptionError(
                f"{flag} {file} is inside {folder.flag} {folder.path}, so the next run would measure it as an image: "
                "name another place"
            )


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def is_domain_beside(folder: Path, other: Path) -> bool:
    """Whether two folders are different domains or phases of one data set."""
    one, two = folder.resolve(), other.resolve()
    return one != two and one.parent == two.parent and {one.name, two.name} <= set(DOMAIN_FOLDERS)


def count_copies(files: Iterable[str], others: Iterable[str]) -> int:
    """How many files have the content of one of the others. Only files of equal size are read, missing ones skipped."""
    of_size: dict[int, list[str]] = {}
    for path in others:
        of_size.setdefault(file_size(path), []).append(path)
    like_others = [path for path in files if file_size(path) > 0 and file_size(path) in of_size]
    contents = {_digest(path) for size in {file_size(path) for path in like_others} for path in of_size[size]}
    return sum(_digest(path) in contents for path in like_others)


def _digest(path: str) -> bytes:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return path.encode(errors="surrogateescape")
