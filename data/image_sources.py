"""What a generator learns from, by what --dataroot names: files, arrays of images, or points of a mixture."""

import math
import os
import re
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from coopcut.data.array_files import Arrays, idx_files, load_digits, read_idx_folder, read_npz
from coopcut.data.folders import Domain, find_domain, phase_of, whats_in
from coopcut.data.mixtures import DATA, Mixture
from coopcut.images.names import DOMAIN_FOLDERS
from coopcut.util.errors import DataError

DIGITS, STACKED = "digits", "stacked:"
POINTS_PER_EPOCH = 10_000


class Source(ABC):
    """Images, by number.

    paths: a name for each. labels: the class of each, a number of `class_names`; None without classes. held_out:
    whether they are the held-out images that were asked for, and not the ones to train on.
    """

    paths: list[str]
    labels: list[int] | None = None
    class_names: Sequence[str] = ()
    folder = ""
    held_out = False

    @abstractmethod
    def describe(self) -> str:
        """For example '10000 images of 28x28 in t10k-images-idx3-ubyte.gz'."""

    def fingerprint(self) -> list[tuple[str, int]]:
        """By name and size, to tell whether two processes see the same ones."""
        return [(self.describe(), len(self.paths))]


class Files(Source):
    """Image files of a folder; with `classes` those in its sub-folders, each of which is a class."""

    def __init__(self, domain: Domain, classes: bool, held_out: bool, most: float) -> None:
        chosen = evenly(len(domain.paths), most)
        self.domain = replace(domain, paths=[domain.paths[i] for i in chosen])
        self.paths, self.folder, self.held_out = self.domain.paths, domain.folder, held_out
        if classes:
            parts = [Path(path).relative_to(domain.folder).parts for path in domain.paths]
            loose = next((path for path, part in zip(domain.paths, parts, strict=True) if len(part) < 2), None)
            if loose:
                raise DataError(f"{loose}: is in no sub-folder, and with --conditional these are the classes")
            self.class_names = sorted({part[0] for part in parts})
            numbers = {name: number for number, name in enumerate(self.class_names)}
            self.labels = [numbers[parts[i][0]] for i in chosen]

    def describe(self) -> str:
        return self.domain.describe()

    def fingerprint(self) -> list[tuple[str, int]]:
        return self.domain.fingerprint()


class Packed(Source):
    """Images of arrays."""

    def __init__(self, arrays: Arrays, most: float) -> None:
        chosen = evenly(len(arrays.images), most)
        self.images, self.held_out, self.file = arrays.images[chosen], arrays.held_out, arrays.file
        self.paths = [f"{arrays.file}[{i}]" for i in chosen]
        if arrays.labels is not None:
            occurring, labels = np.unique(arrays.labels, return_inverse=True)
            self.class_names, self.labels = [str(label) for label in occurring], labels[chosen].tolist()

    def image(self, number: int, rng: np.random.Generator) -> Image.Image:
        """Image `number` as a picture."""
        return Image.fromarray(self.images[number])

    def describe(self) -> str:
        return f"{len(self.paths)} images of {self.images.shape[2]}x{self.images.shape[1]} in {self.file}"


class Stacked(Packed):
    """Three random gray images as the channels of one: with digits 1000 modes (Metz et al. 2017)."""

    def __init__(self, arrays: Arrays, most: float) -> None:
        if arrays.images.ndim != 3:
            raise DataError(f"{arrays.file}: stacked images are made of gray ones, and these have colors")
        super().__init__(arrays, most)
        self.single, self.singles = self.labels, self.class_names
        self.labels, self.class_names = None, ()

    def chosen(self, rng: np.random.Generator) -> list[int]:
        """The numbers of the images that become red, green and blue."""
        return [int(i) for i in rng.integers(0, len(self.images), 3)]

    def image(self, number: int, rng: np.random.Generator) -> Image.Image:
        return Image.fromarray(np.stack([self.images[i] for i in self.chosen(rng)], axis=-1))

    def describe(self) -> str:
        return f"{super().describe()}, three at a time"


class Points(Source):
    """Points of a mixture, another one in each epoch."""

    def __init__(self, mixture: Mixture, text: str, most: float) -> None:
        self.mixture, self.text = mixture, text
        self.paths = [f"{text}[{i}]" for i in range(int(min(most, POINTS_PER_EPOCH)))]

    def point(self, rng: np.random.Generator) -> Tensor:
        """[2, 1, 1]"""
        mean = self.mixture.means[int(rng.integers(len(self.mixture.means)))]
        return (mean + self.mixture.std * mean.new_tensor(rng.standard_normal(2)))[:, None, None]

    def describe(self) -> str:
        return f"{len(self.paths)} points of {len(self.mixture.means)} modes ({self.text})"


def mixture_of(dataroot: str) -> Mixture | None:
    """The mixture that --dataroot names: ring:8 has 8 modes, grid:5 has 5 x 5; None if it names none."""
    kind, colon, text = dataroot.partition(":")
    if kind not in DATA or not colon:
        return None
    if not re.fullmatch(r"[1-9]\d{0,2}", text):
        raise DataError(f"--dataroot {dataroot}: write {kind}: and a number from 1 to 999, as in {kind}:8")
    return DATA[kind](int(text))


def open_images(opt: Namespace, phase: str) -> Source:
    """What --dataroot names, of --phase train or test, with the classes of --class_names. Raises `DataError`."""
    source = _open(opt, phase)
    if not getattr(opt, "conditional", False):
        source.labels, source.class_names = None, ()
        return source
    if source.labels is None:
        raise DataError(f"--conditional: {opt.dataroot} has no classes: they are sub-folders, or labels of the data")
    if len(source.class_names) < 2:
        raise DataError(
            f"--conditional: {opt.dataroot} has a single class, {source.class_names[0]}: 2 or more are needed"
        )
    if comma := next((name for name in source.class_names if "," in name), None):
        raise DataError(f"--conditional: the class '{comma}' has a comma in its name: rename the folder")
    if opt.class_names:
        _renumber(source, opt)
    return source


def _open(opt: Namespace, phase: str) -> Source:
    root, most = str(opt.dataroot), opt.max_dataset_size
    if getattr(opt, "domain", "") and not os.path.isdir(root):
        raise DataError(f"--domain {opt.domain}: {root} has no domains: leave it out")
    if (mixture := mixture_of(root)) is not None:
        return Points(mixture, root, most)
    stacked = root.startswith(STACKED)
    arrays = _arrays(root.removeprefix(STACKED), phase)
    if arrays is not None:
        return Stacked(arrays, most) if stacked else Packed(arrays, most)
    if stacked:
        raise DataError(f"--dataroot {root}: {STACKED} takes digits, a .npz file, or a folder with IDX files")
    folder, held_out = _folder(opt, phase)
    expected = "expected a folder with images (or trainA, trainB, IDX files), a .npz file, digits, ring:8 or grid:5"
    found = find_domain(folder, math.inf, expected)
    return Files(found, bool(getattr(opt, "conditional", False)), held_out, most)


def evenly(number: int, most: float) -> list[int]:
    """At most `most` of the numbers below `number`, evenly spaced: sorted images have those of a class together."""
    if most < 1:
        raise DataError(f"--max_dataset_size {most:g} must be at least 1")
    return np.linspace(0, number - 1, int(min(most, number))).round().astype(int).tolist()


def _arrays(root: str, phase: str) -> Arrays | None:
    path = Path(root)
    if root == DIGITS and not path.exists():
        return load_digits()
    if path.suffix == ".npz":
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        return read_npz(path, phase)
    return read_idx_folder(path, phase) if path.is_dir() and idx_files(path) else None


def _folder(opt: Namespace, phase: str) -> tuple[str, bool]:
    """The folder of the images, and whether they are held out: <phase><domain> of a translation set, else all."""
    root, wanted = str(opt.dataroot), getattr(opt, "domain", "")
    there = [name for name in DOMAIN_FOLDERS if os.path.isdir(os.path.join(root, name))]
    domains = sorted({name[-1] for name in there})
    if not there:
        if wanted:
            raise DataError(f"--domain {wanted}: {root} has no trainA and trainB: leave it out; {_near(root)}")
        return root, False
    if not wanted and len(domains) > 1:
        raise DataError(f"{root} holds two domains ({', '.join(there)}): say which with --domain A or --domain B")
    domain = wanted or domains[0]
    name = f"{phase_of(root, phase, domain)}{domain}"
    held_out = phase != "train" and name in there
    name = name if name in there else f"train{domain}"
    if name not in there:
        raise DataError(f"{os.path.join(root, name)}: no such folder; {whats_in(root)}")
    return os.path.join(root, name), held_out


def _near(root: str) -> str:
    return whats_in(root) if os.path.isdir(root) else "there is no such folder"


def _renumber(source: Source, opt: Namespace) -> None:
    """Number the classes as --class_names does."""
    wanted = opt.class_names.split(",")
    for name in sorted({*source.class_names} ^ {*wanted}):
        where = "the data" if name in wanted else "--class_names"
        raise DataError(f"--class_names: the class '{name}' is not in {where}: both must have the same classes")
    assert source.labels is not None
    source.labels = [wanted.index(source.class_names[label]) for label in source.labels]
    source.class_names = wanted
