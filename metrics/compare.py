"""An evaluation put together: what the sets allow, the paired errors with their baselines, the detectors."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor

from coopcut.inference.translated import is_result, translated_from
from coopcut.metrics import detectors
from coopcut.metrics.detectors import Finding, Thumbnails
from coopcut.metrics.features import Features
from coopcut.metrics.folders import count_copies, is_domain_beside
from coopcut.metrics.looks import LookFigures
from coopcut.metrics.paired import Pair, PairedErrors, paired_errors
from coopcut.metrics.pairs import Counterparts
from coopcut.metrics.sets import (
    ImageSet,
    Picture,
    by_name,
    mean_image,
    readable,
    resized,
    thumbnail,
)
from coopcut.metrics.sources import Sources
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)

LPIPS = Callable[[Tensor, Tensor], Tensor]
T = TypeVar("T")


def warn_of_sets(sources: Sources, real: ImageSet, fake: ImageSet, features: Features) -> None:
    """One line for each thing about the sets that makes figures say less than they seem to."""
    least = min(len(real), len(fake))
    if least <= features.dims:
        log.warning(
            "%d images for %d dimensions: FID is biased upwards; compare it only with FIDs of as many images, "
            "or take KID",
            least,
            features.dims,
        )
    if sources.real.resolve() == sources.fake.resolve():
        log.warning("--real and --fake are the same folder: FID is 0, and KID a little below")
    _warn_of_copies(sources)
    if real.gray.mean() != fake.gray.mean():
        shares = (int(real.gray.sum()), len(real), int(fake.gray.sum()), len(fake))
        log.warning("gray images, read as RGB: %d of %d real, %d of %d fake; color counts in the metrics", *shares)


def _warn_of_copies(sources: Sources) -> None:
    """Where images that were never translated are measured as translations, or inputs as targets."""
    fake, real, inputs = sources.fake, sources.real, sources.inputs
    if is_domain_beside(fake, real):
        log.warning("--fake %s is a domain of the data set that --real is of: are these translations?", fake)
    if fake.name in ("real_A", "real_B"):
        log.warning("--fake %s: test.py writes translations to fake_B", fake)
    source = translated_from(fake.absolute().parents[1]) if is_result(fake) else None
    if real.name == "real_A" or (source is not None and source.is_dir() and real.samefile(source)):
        log.warning("--real %s: these are the inputs of the translations, not images of the target domain", real)
    if real.name == "fake_B":
        log.warning("--real %s: there test.py writes translations", real)
    for flag, folder in {"--truth": sources.truth, "--real": real}.items():
        if inputs is not None and folder is not None and inputs.resolve() == folder.resolve():
            log.warning("--inputs and %s are the same folder", flag)
    fakes = by_name(fake)
    for folder, flag in {inputs: "--inputs", sources.truth: "--truth", real: "--real"}.items():
        if folder is None or (folder is real and folder.resolve() == fake.resolve()):  # told of already
            continue
        number = count_copies(fakes.values(), by_name(folder).values())
        if number:
            what = f"{number} of the {len(fakes)} images of --fake"
            log.warning("%s are the same files as in %s %s: are these translations?", what, flag, folder)


def compare_pairs(
    sources: Sources, found: Counterparts, known: Sequence[str], lpips: LPIPS | None, skipped: list[str]
) -> dict[str, PairedErrors]:
    """The errors of the translations `known` to be readable, and of the unchanged input and the mean image.

    skipped: lines about files that cannot be read, those that are known and those that are found here.
    """
    assert sources.truth is not None
    truth, fakes = by_name(sources.truth), by_name(sources.fake)
    of_fakes = [(truth[found.truth[fake]], fakes[fake]) for fake in known if fake in found.truth]
    rows = {"translations": paired_errors(_some(_pairs(of_fakes, skipped, sources.read), sources.truth), lpips)}
    if sources.inputs is not None:
        inputs = by_name(sources.inputs)
        of_inputs = [(truth[counterpart], inputs[image]) for image, counterpart in found.truth_of_inputs.items()]
        rows["input unchanged"] = paired_errors(_some(_pairs(of_inputs, skipped, sources.read), sources.inputs), lpips)
    if sources.train is not None:
        train = [(path,) for path in by_name(sources.train).values()]
        mean = mean_image(pictures[0] for pictures in _some(readable(train, skipped, sources.read), sources.train))
        alone = [(path,) for path, _ in of_fakes]
        rows["mean"] = paired_errors(((resized(mean, t), t) for (t,) in readable(alone, skipped, sources.read)), lpips)
    return rows


def _some(pictures: Iterator[T], folder: Path) -> Iterator[T]:
    """The same. Raises `DataError` if there are none."""
    for first in pictures:
        return chain([first], pictures)
    raise DataError(f"{folder}: no image that can be compared can be read there; replace the damaged ones")


def _pairs(files: Sequence[tuple[str, str]], skipped: list[str], read: Callable[[str], Picture]) -> Iterator[Pair]:
    """(image, truth) of the files of truths and images."""
    for truth, image in readable(files, skipped, read):
        yield image, truth


def detect(
    real: ImageSet,
    fake: ImageSet,
    inputs: ImageSet | None,
    sources: Sources,
    found: Counterparts,
    looks: LookFigures | None,
) -> list[Finding]:
    """What the detectors say of what there is to look at; nothing of fewer than 8 images."""
    if min(len(real), len(fake)) < detectors.LEAST:
        log.info("detectors are silent: they need %d images on each side", detectors.LEAST)
        return []
    findings = [detectors.collapses(real.features, fake.features)]
    if looks is not None and looks.shown.sum() >= detectors.LEAST:
        findings.append(detectors.few_looks(looks.shown, looks.target))
    if inputs is None:
        return findings
    places = {name: place for place, name in enumerate(inputs.keys)}
    pairs = [(place, name) for place, name in enumerate(fake.keys) if found.inputs.get(name) in places]
    if len(pairs) < detectors.LEAST:
        log.warning("%s: %d images have their input in %s: too few to compare", fake.folder, len(pairs), inputs.folder)
        return findings
    before = inputs.thumbnails[[places[found.inputs[name]] for _, name in pairs]]
    after = fake.thumbnails[[place for place, _ in pairs]]
    findings += [
        detectors.ignores_input(before, after),
        detectors.all_the_same(before, after),
        detectors.equals_input(before, after),
    ]
    truth = _thumbnails(sources, [found.truth.get(name) for _, name in pairs])
    if truth is not None:
        return [*findings, detectors.inverted_colours(truth, after, "truth")]
    return [*findings, detectors.inverted_colours(before, after)]


def _thumbnails(sources: Sources, names: Sequence[str | None]) -> Thumbnails | None:
    """Those of the counterparts, if all of them are there."""
    if sources.truth is None:
        return None
    paths = by_name(sources.truth)
    try:
        return np.stack([thumbnail(sources.read(paths[name or ""])) for name in names])
    except (KeyError, DataError):
        return None
