"""Writes the data set to disk, all or nothing, and reads its record back."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .errors import ToyError
from .looks import MARKINGS, N_LOOKS, PATTERNS, coat_of, pattern_of
from .png import png_bytes
from .render import Picture, compose, draw_layers
from .scene import VERSION, Scene, make_scene, scene_truth

FOLDERS = ("trainA", "trainB", "testA", "testB")
RECORD = "looks.json"
GENERATOR = "make_toy"
MIN_SIZE, MAX_SIZE = 16, 2048


@dataclass(frozen=True)
class Settings:
    """What is drawn: ``size`` pixels square, ``train`` pictures per domain, ``test`` pairs, random ``seed``.

    ``cue``: how much of its look a horse shows, 0 (nothing) to 1; see ``compose``.
    """

    size: int = 64
    train: int = 200
    test: int = 32
    seed: int = 0
    cue: float = 1.0

    def check(self) -> None:
        """Raise ToyError if a value cannot be drawn."""
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise ToyError(f"--size must be from {MIN_SIZE} to {MAX_SIZE} pixels, not {self.size}; try --size 64")
        for flag, value in (("train", self.train), ("test", self.test), ("seed", self.seed)):
            if value < 0:
                raise ToyError(f"--{flag} must be 0 or more, not {value}")
        if not 0.0 <= self.cue <= 1.0:
            raise ToyError(f"--cue must be from 0 to 1, not {self.cue}; 1 draws horses that show their look fully")
        if self.train + self.test == 0:
            raise ToyError("--train and --test are both 0, which draws nothing; give at least one a positive number")

    def stamp(self) -> dict[str, Any]:
        """Return what makes two data sets the same."""
        return {"generator": GENERATOR, "version": VERSION, **asdict(self)}


def file_names(settings: Settings) -> Iterator[tuple[str, int]]:
    """Yield (folder, index) of every picture."""
    for folder in FOLDERS:
        for index in range(settings.train if folder.startswith("train") else settings.test):
            yield folder, index


def _scene_of(settings: Settings, folder: str, index: int) -> Scene:
    return make_scene(settings.seed, "test" if folder.startswith("test") else folder, index)


def picture_of(settings: Settings, folder: str, index: int) -> Picture:
    """Return picture ``index`` of a folder such as "testA" as (size, size, 3) uint8, without touching the disk."""
    domain = folder[-1]
    layers = draw_layers(_scene_of(settings, folder, index), settings.size, domain)
    return compose(layers, domain, cue=settings.cue)


def _record(settings: Settings) -> bytes:
    looks = [
        {
            "look": k,
            "coat": coat_of(k).name,
            "pattern": PATTERNS[pattern_of(k)],
            "horse": coat_of(k).horse_name,
            "marking": MARKINGS[pattern_of(k)],
        }
        for k in range(N_LOOKS)
    ]
    files = {
        f"{folder}/{index:05d}.png": scene_truth(_scene_of(settings, folder, index))
        for folder, index in file_names(settings)
    }
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(truth)}" for name, truth in files.items())
    head = json.dumps({**settings.stamp(), "looks": looks}, indent=1)[:-2]
    return f'{head},\n "files": {{\n{lines}\n }}\n}}\n'.encode()


def read_truth(dataset: Path) -> dict[str, Any]:
    """Return the content of a data set's ``looks.json``: the stamp, "looks" and "files" (name -> record).

    Raises:
        ToyError: the folder holds no toy data set, or its record cannot be read.
    """
    path = dataset / RECORD
    try:
        found = json.loads(path.read_bytes())
    except OSError as err:
        raise ToyError(f"--out: {dataset} holds no toy data set ({RECORD}: {err.strerror})") from err
    except ValueError as err:
        raise ToyError(f"--out: {path} is damaged; delete {dataset} and make the data set again") from err
    if not isinstance(found, dict) or found.get("generator") != GENERATOR or not isinstance(found.get("files"), dict):
        raise ToyError(f"--out: {path} was not written by make_toy.py; choose another folder")
    return found


def _paint(settings: Settings, root: Path) -> None:
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    splits = [("trainA", "A"), ("trainB", "B"), ("test", "AB")]
    scenes = [(*s, i) for s in splits for i in range(settings.test if s[0] == "test" else settings.train)]
    for split, domains, index in tqdm(scenes, desc="drawing", unit="scene", leave=False, disable=None):
        layers = draw_layers(make_scene(settings.seed, split, index), settings.size, domains)
        for domain in domains:
            folder = split if split != "test" else f"test{domain}"
            (root / folder / f"{index:05d}.png").write_bytes(png_bytes(compose(layers, domain, cue=settings.cue)))
    (root / RECORD).write_bytes(_record(settings))


def _remove_abandoned(out: Path) -> None:
    """Remove what processes that were killed while drawing `out` have left, beside it or in it."""
    pattern = f".{glob.escape(out.name)}.part*"
    for path in (*out.parent.glob(pattern), *out.glob(pattern)):
        number = path.name.rpartition(".part")[2]
        if os.name == "posix" and number.isdigit() and not _runs(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's, or no number of a process
        pass
    return True


def _replace(out: Path, staging: Path, old_files: list[str]) -> None:
    """Move a finished data set over an old one. The record goes first and comes back last: never a false stamp."""
    (out / RECORD).unlink(missing_ok=True)
    for name in old_files:
        (out / name).unlink(missing_ok=True)
    for folder in FOLDERS:
        (out / folder).mkdir(exist_ok=True)
        for path in sorted((staging / folder).iterdir()):
            os.replace(path, out / folder / path.name)
    os.replace(staging / RECORD, out / RECORD)


def _old_files(out: Path, settings: Settings, force: bool) -> list[str] | None:
    """Return the files an existing folder gives up, or None if it already is the wanted data set."""
    if not any(out.iterdir()):
        return []
    if not (out / RECORD).exists():
        raise ToyError(f"--out: {out} is not empty and holds no toy data set; choose another folder or delete it")
    found = read_truth(out)
    names = [name for name in found["files"] if name.split("/")[0] in FOLDERS and ".." not in name]
    found.setdefault("cue", 1.0)  # sets that were drawn before there was a choice
    differing = [f"{key} {found.get(key)}" for key, value in settings.stamp().items() if found.get(key) != value]
    if not differing:
        return None if all((out / name).is_file() for name in names) else names
    if not force:
        raise ToyError(
            f"--out: {out} holds a toy data set with {', '.join(differing)}; "
            "add --force to replace it or choose another folder"
        )
    return names


def make_dataset(out: Path, settings: Settings, force: bool = False) -> bool:
    """Write the data set into folder ``out``; return False if it was there already and nothing was done.

    The pictures are drawn into a hidden folder and moved into place when all is done, ``looks.json`` last.
    An existing data set made with other settings is replaced only with ``force``; other folders never are.

    Raises:
        ToyError: a setting is out of range, or the folder cannot be used or written.
    """
    settings.check()
    try:
        if out.exists() and not out.is_dir():
            raise ToyError(f"--out: {out} is a file; name a folder")
        _remove_abandoned(out)
        old = _old_files(out, settings, force) if out.exists() else []
        if old is None:
            return False
        fresh = not out.exists()
        out.parent.mkdir(parents=True, exist_ok=True)
        # Beside a new folder, inside an existing one: either way moving stays on one file system.
        staging = (out.parent if fresh else out) / f".{out.name}.part{os.getpid()}"
        try:
            _paint(settings, staging)
            if fresh:
                os.replace(staging, out)
            else:
                _replace(out, staging, old)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as err:
        raise ToyError(f"--out: cannot write {out} ({err.strerror or err}); choose another folder") from err
    return True
