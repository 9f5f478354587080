"""Is a folder one set of images, or does it hold several, as a data set, a result of test.py or a run does?"""

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path

from coopcut.images.listing import list_images
from coopcut.images.names import DOMAIN_FOLDERS
from coopcut.inference.translated import FAKES, LABELS
from coopcut.metrics.sets import WRITTEN, some
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
        parts = [f"{name} ({number}{' of a training' * (name in runs)})" for name, number in wanted.items()]
        parts += [f"{beside} elsewhere"] if beside else []
        raise DataError(f"{flag} {folder} holds more than one set of images: {some(parts)}; name the one that you mean")
    ((name, number),) = wanted.items()
    log.info("%s %s: measured is the one set of images there, %s (%d)", flag, folder, folder / name, number)
    return folder / name


def _refuse_labels_side_by_side(flag: str, folder: Path) -> None:
    """Other toolkits write <name>_real_A.png, <name>_fake_B.png, ... into one folder."""
    endings = "|".join((*LABELS, "fake_A", "rec_A", "rec_B", "idt_A", "idt_B"))
    names = (re.search(rf"_({endings})$", Path(path).stem) for path in list_images(folder))
    labels = Counter(match[1] for match in names if match)
    if len(labels) > 1:
        parts = [f"{number} {label}" for label, number in labels.items()]
        raise DataError(
            f"{flag} {folder} holds inputs and translations side by side by their names ({', '.join(parts)}): move "
            "those that you mean into a folder of their own"
        )


def _training(flag: str, folder: Path) -> str:
    return (
        f"{flag} {folder}: its images are pictures of a training; name a folder of images, or measure what the run "
        "translates with --name"
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


def check_apart(groups: Sequence[Mapping[str, Path]]) -> None:
    """Raise `DataError` if a folder of one group (by flag) lies in one of another: its images would count for both."""
    pairs = [pair for one, two in permutations(groups, 2) for pair in product(one.items(), two.items())]
    for (inner, folder), (outer, above) in pairs:
        if folder.resolve() != above.resolve() and folder.resolve().is_relative_to(above.resolve()):
            raise DataError(
                f"{inner} {folder} lies in {outer} {above}, so that its images would count for both: name two folders "
                "that are apart"
            )


def check_outside(flag: str, file: Path, folders: Mapping[str, Path]) -> None:
    """Raise `OptionError` if a picture would be written among images that are measured."""
    for name, folder in folders.items():
        if file.resolve().is_relative_to(folder.resolve()):
            raise OptionError(
                f"{flag} {file} lies in {name} {folder}, where it would be measured as an image the next time: name "
                "another place"
            )


def is_domain_beside(folder: Path, other: Path) -> bool:
    """Whether two folders are different domains or phases of one data set."""
    one, two = folder.resolve(), other.resolve()
    return one != two and one.parent == two.parent and {one.name, two.name} <= set(DOMAIN_FOLDERS)


def count_copies(files: Iterable[str], others: Iterable[str]) -> int:
    """How many files have the content of one of the others. Those of equal size are read; the lost ones are passed."""
    sizes: dict[int, list[str]] = {}
    for path in others:
        sizes.setdefault(_size(path), []).append(path)
    contents: dict[int, set[bytes]] = {}
    number = 0
    for path in files:
        size = _size(path)
        if size <= 0 or size not in sizes:
            continue
        if size not in contents:
            contents[size] = {_digest(other) for other in sizes[size]}
        number += _digest(path) in contents[size]
    return number


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # of which reading tells in its turn
        return -1


def _digest(path: str) -> bytes:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return path.encode(errors="surrogateescape")
