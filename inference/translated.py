"""What a folder of `coopcut.inference.results` notes of its last translation, and what lies in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coopcut.images.listing import list_images
from coopcut.images.names import same_files
from coopcut.util.files import write_text

LABELS = ("real_A", "fake_B", "real_B")  # of the folders in images/
FAKES = "images/fake_B"
TRANSLATED = "translated.json"


def note_translated(results: Path, source: str, images: Mapping[str, str]) -> None:
    """Write which pictures were made, of which images below the folder `source`; none until all are. `OSError`."""
    note = {"source": str(Path(source).resolve()), "pictures": [*images.keys()], "images": [*images.values()]}
    write_text(results / TRANSLATED, json.dumps(note))


def is_result(folder: Path) -> bool:
    """Whether a folder is one of images/<label> that a translation wrote."""
    place = folder.absolute()
    return place.parent.name == "images" and (place.parents[1] / TRANSLATED).is_file()


def earlier_pictures(results: Path) -> list[str]:
    """The translations in a folder of `Results` that its last translation, if it finished, did not make.

    None if that is not known.
    """
    note = _note(results)
    there = _pictures(results / FAKES)
    return [] if note is None else sorted(set(there) - same_files(there, note["pictures"]).keys())


def lost_pictures(results: Path) -> list[str]:
    """The translations that the last translation into a folder of `Results` made and that are gone."""
    note = _note(results)
    made = [] if note is None else note["pictures"]
    return sorted(set(made) - set(same_files(_pictures(results / FAKES), made).values()))


def translated_images(folder: Path) -> dict[str, str]:
    """Of the pictures in images/<label> of `Results`: picture -> the image that the last translation made it of.

    Both by their path below their folder. Empty if that is not known.
    """
    place = folder.absolute()
    note = _note(place.parents[1]) if place.parent.name == "images" else None
    if note is None or not _texts(note.get("images")) or len(note["images"]) != len(note["pictures"]):
        return {}
    images = dict(zip(note["pictures"], note["images"], strict=True))
    return {name: images[made] for name, made in same_files(_pictures(folder), images).items()}


def _pictures(folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in list_images(folder)] if folder.is_dir() else []


def translated_from(results: Path) -> Path | None:
    """The folder of the images that the last translation into a folder of `Results` was made of, if that is known."""
    note = _note(results)
    source = note.get("source") if note is not None else None
    return Path(source) if isinstance(source, str) else None


def _note(results: Path) -> dict[str, Any] | None:
    try:
        note = json.loads((results / TRANSLATED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    note = note if isinstance(note, dict) else {"pictures": note}  # a list: of an earlier version
    return note if _texts(note.get("pictures")) else None


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
