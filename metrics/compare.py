"""An evaluation put together: what the sets allow, the paired errors with their baselines, the detectors."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor
from tqdm import tqdm

from coopcut.inference.translated import is_result, translated_from
from coopcut.metrics import detectors
from coopcut.metrics.detectors import Finding
from coopcut.metrics.features import Features
from coopcut.metrics.folders import count_copies, is_domain_beside
from coopcut.metrics.looks import LookFigures
from coopcut.metrics.paired import PairedErrors, paired_errors
from coopcut.metrics.pairs import Counterparts
from coopcut.metrics.sets import Folder, ImageSet, Learned, Picture, mean_image, resized, thumbnail
from coopcut.metrics.sources import Sources
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)

LPIPS = Callable[[Tensor, Tensor], Tensor]
T = TypeVar("T")


def warn_of_sets(sources: Sources, real: ImageSet, fake: ImageSet, features: Features) -> None:
    """One warning for each property of the sets that makes the figures less meaningful than they look."""
    least = min(len(real), len(fake))
    if least <= features.dims:
        log.warning(
            "%d images for %d dimensions: FID is biased upwards; compare it only with FIDs of equally many images, "
            "or use KID",
            least,
            features.dims,
        )
    if sources.real.path.resolve() == sources.fake.path.resolve():
        log.warning("--real and --fake are the same folder: FID is 0, and KID a little below")
    _warn_of_copies(sources)
    if real.gray.mean() != fake.gray.mean():
        shares = (int(real.gray.sum()), len(real), int(fake.gray.sum()), len(fake))
        log.warning("gray images, read as RGB: %d of %d real, %d of %d fake; color counts in the metrics", *shares)


def _warn_of_copies(sources: Sources) -> None:
    """Where images that were never translated are measured as translations, or inputs as targets."""
    if isinstance(sources.real, Learned):  # samples of a generator, which are written anew
        return
    fake, real = sources.fake.path, sources.real.path
    if is_domain_beside(fake, real):
        log.warning("--fake %s is a domain of the same data set as --real: are these translations?", fake)
    if fake.name in ("real_A", "real_B"):
        log.warning("--fake %s: test.py writes translations to fake_B", fake)
    source = translated_from(fake.absolute().parents[1]) if is_result(fake) else None
    if real.name == "real_A" or (source is not None and source.is_dir() and real.samefile(source)):
        log.warning("--real %s: these are the inputs of the translations, not images of the target domain", real)
    if real.name == "fake_B":
        log.warning("--real %s: test.py writes translations to fake_B", real)
    for other in (sources.truth, sources.real):
        if sources.inputs and other and sources.inputs.path.resolve() == other.path.resolve():
            log.warning("--inputs and %s are the same folder", other.flag)
    fakes = sources.fake.paths.values()
    others = {folder.path: folder for folder in (sources.inputs, sources.truth, sources.real) if folder}
    if real.resolve() == fake.resolve():  # told of already
        others.pop(real)
    for folder in others.values():
        number = count_copies(fakes, folder.paths.values())
        if number:
            what = f"{number} of the {len(fakes)} images of --fake"
            log.warning("%s are the same files as in %s %s: are these translations?", what, folder.flag, folder.path)


def compare_pairs(
    sources: Sources, found: Counterparts, known: Sequence[str], lpips: LPIPS | None, skipped: list[str]
) -> dict[str, PairedErrors]:
    """The errors of the translations `known` to be readable, and of the unchanged input and the mean image.

    skipped: lines about files that cannot be read, those that are known and those that are found here.
    """
    truth, inputs, train = sources.truth, sources.inputs, sources.train
    assert truth is not None

    def errors(folder: Folder, counterparts: Mapping[str, str]) -> PairedErrors:
        files = [[(truth, counterpart), (folder, image)] for image, counterpart in counterparts.items()]
        damaged = truth if folder is sources.fake else folder  # of the translations all are known to be readable
        pairs = ((image, like) for like, image in _some(_readable(files, skipped), damaged.path))
        return paired_errors(pairs, lpips)

    of_fakes = {fake: found.truth[fake] for fake in known if fake in found.truth}
    rows = {"translations": errors(sources.fake, of_fakes)}
    if inputs is not None:
        rows["input unchanged"] = errors(inputs, found.truth_of_inputs)
    if train is not None:
        of_train = _some(_readable([[(train, name)] for name in train.paths], skipped), train.path)
        mean = mean_image(picture for (picture,) in of_train)
        targets = _readable([[(truth, name)] for name in of_fakes.values()], skipped)
        rows["mean"] = paired_errors(((resized(mean, target), target) for (target,) in targets), lpips)
    return rows


def _readable(rows: Sequence[Sequence[tuple[Folder, str]]], skipped: list[str]) -> Iterator[list[Picture]]:
    """For each row of images their pictures, those after the first at the size of the first.

    What cannot be read is left out; its line is added to `skipped`, with a warning if it is not there yet.
    """
    for row in tqdm(rows, desc="comparing", unit="image", leave=False, disable=None):
        try:
            pictures = [folder.read(name) for folder, name in row]
        except DataError as error:
            if str(error) not in skipped:
                log.warning("skipped: %s", error)
                skipped.append(str(error))
            continue
        yield [resized(picture, pictures[0]) for picture in pictures]


def _some(pictures: Iterator[T], folder: Path) -> Iterator[T]:
    """The same. Raises `DataError` if there are none."""
    for first in pictures:
        return chain([first], pictures)
    raise DataError(f"{folder}: none of its images to compare can be read; replace the damaged ones")


def detect(
    sets: Sequence[ImageSet], found: Counterparts, truth: Folder | None, looks: LookFigures | None
) -> list[Finding]:
    """What the detectors find; nothing for fewer than 8 images.

    sets: of the real images and the translations, and of the inputs if there are any.
    """
    real, fake, *others = sets
    if min(len(real), len(fake)) < detectors.LEAST:
        log.info("no checks for common faults: they need at least %d images on each side", detectors.LEAST)
        return []
    findings = [detectors.collapses(real.features, fake.features)]
    if looks is not None and looks.shown.sum() >= detectors.LEAST:
        findings.append(detectors.few_looks(looks.shown, looks.target))
    for inputs in others:
        place_of = {name: place for place, name in enumerate(inputs.keys)}
        pairs = [(place, name) for place, name in enumerate(fake.keys) if found.inputs.get(name) in place_of]
        if len(pairs) < detectors.LEAST:
            few = f"{len(pairs)} images have their input in {inputs.folder}"
            log.warning("%s: %s: too few to compare", fake.folder, few)
            continue
        before = inputs.thumbnails[[place_of[found.inputs[name]] for _, name in pairs]]
        after = fake.thumbnails[[place for place, _ in pairs]]
        findings += [
            detectors.ignores_input(before, after),
            detectors.all_the_same(before, after),
            detectors.equals_input(before, after),
        ]
        like, what = before, "input"
        if truth is not None:
            with contextlib.suppress(KeyError, DataError):  # not all counterparts are there
                like, what = np.stack([thumbnail(truth.read(found.truth[name])) for _, name in pairs]), "truth"
        findings.append(detectors.inverted_colours(like, after, what))
    return findings
