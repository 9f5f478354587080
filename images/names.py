"""Which image belongs to which, told by their names: the one rule for counterparts, and the names of translations.

A name is the path of an image below its folder, with "/" between folders.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

DOMAIN_FOLDERS = tuple(f"{phase}{domain}" for phase in ("train", "val", "test") for domain in "AB")  # of a data set
LONGEST = 255  # bytes of a file's name, on the usual file systems
_DOMAIN = re.compile(r"_[AB]$")


@dataclass
class Pairs:
    """found: name -> name of its counterpart. unclear: names that could each belong to any of some others."""

    found: dict[str, str] = field(default_factory=dict)
    unclear: list[tuple[list[str], list[str]]] = field(default_factory=list)


def pair_names(names: Iterable[str], others: Iterable[str]) -> Pairs:
    """The counterparts of images among `others`.

    A counterpart has the same name (accents may be composed or not), or else the same one without extension (a.jpg,
    a.png), or else the same one without the domain too (a_A.jpg, a_B.jpg). Endings are no domains where most images
    that have them have a counterpart with the same: well1_A and well1_B are two channels then, say.
    """
    left, there, pairs, of_domains = list(names), list(others), Pairs(), Pairs()
    for key in (str, composed, stem):
        _match(left, there, key, pairs)
    for key in (_of_one_kind, _without_domain):
        _match(left, there, key, of_domains)
    endings = sum(bool(_DOMAIN.search(stem(name))) for name in pairs.found)
    if not endings or endings < len(of_domains.found):
        pairs.found |= of_domains.found
        pairs.unclear += of_domains.unclear
    return pairs


def _match(left: list[str], there: list[str], key: Callable[[str], str], pairs: Pairs) -> None:
    """Move the names that have the same `key` from `left` and `there` to `pairs`."""
    ours, theirs = _groups(left, key), _groups(there, key)
    for common in [common for common in ours if common in theirs]:
        if len(ours[common]) == len(theirs[common]) == 1:
            pairs.found[ours[common][0]] = theirs[common][0]
        else:
            pairs.unclear.append((ours[common], theirs[common]))
    left[:] = [name for name in left if key(name) not in theirs]
    there[:] = [name for name in there if key(name) not in ours]


def pair_pictures(pictures: Sequence[str], images: Sequence[str]) -> Pairs:
    """The images that translations were made of: those that `PictureNames` names so, or else by `pair_names`."""
    naming = PictureNames()
    planned = {composed(naming.name(image)): image for image in images}
    if len(planned) == len(pictures) and planned.keys() == {composed(picture) for picture in pictures}:
        return Pairs({picture: planned[composed(picture)] for picture in pictures})
    return pair_names(pictures, images)


def same_files(names: Iterable[str], written: Iterable[str]) -> dict[str, str]:
    """Of names found on a disk, those under which files were written there: found name -> written name.

    File systems may change case and accents.
    """
    left, there, same = list(names), list(written), {}
    for key in (str, composed, folded):
        waiting = {key(name): name for name in there}
        same.update({name: waiting[key(name)] for name in left if key(name) in waiting})
        taken = set(same.values())
        left, there = [name for name in left if name not in same], [name for name in there if name not in taken]
    return same


def composed(name: str) -> str:
    """With accents as one character each (NFC); files that were on a Mac have them apart."""
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    """Composed and without extension."""
    return os.path.splitext(composed(name))[0]


def sort_key(name: str) -> tuple[str, str]:
    """For an order that extensions, _A and _B do not change."""
    return _DOMAIN.sub("", os.path.splitext(name)[0]), name


def _without_domain(name: str) -> str:
    """Composed, without extension, and without one _A or _B at the end."""
    return _DOMAIN.sub("", stem(name))


def _of_one_kind(name: str) -> str:
    """`_without_domain` with the extension: 1_A.jpg belongs to 1_B.jpg rather than to 1_B.png."""
    return _without_domain(name) + os.path.splitext(name)[1]


def folded(name: str) -> str:
    """The same for names that are one file where case or accents do not count, as on Windows and a Mac."""
    return composed(composed(name).casefold())


def _groups(names: Iterable[str], key: Callable[[str], str]) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


class PictureNames:
    """The names of translations: that of each image with the extension .png, and never the same twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._taken_folders: set[str] = set()

    def name(self, image: str) -> str:
        """<file>.png; if another file took that name (a.jpg, a.png), the extension becomes part of it.

        A name that is too long then loses its end. Folders with the name of a picture (a.png/b.jpg) become part of the
        file's name.
        """
        file, extension = os.path.splitext(image)
        if any(folder in self._taken for folder in _folders(folded(file))):
            file = file.replace("/", "_")
        name, number = _png(file), 0
        while folded(name) in self._taken or folded(name) in self._taken_folders:
            number += 1
            name = _png(file, f"_{extension[1:]}" * number)
        self._taken.add(folded(name))
        self._taken_folders.update(_folders(folded(name)))
        return name


def _folders(name: str) -> list[str]:
    """The folders of a relative path: a/b/c.png -> a, a/b."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def _png(file: str, ending: str = "") -> str:
    """file + ending + .png, cut so that the file's name has no more than `LONGEST` bytes."""
    folder, slash, name = file.rpartition("/")
    ending += ".png"
    if len(os.fsencode(name + ending)) > LONGEST:
        name = os.fsencode(name)[: LONGEST - len(os.fsencode(ending))].decode(errors="ignore")
    return f"{folder}{slash}{name}{ending}"
