"""An evaluation put together: what the sets allow, the paired errors with their baselines, the detectors."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from util.errors import DataError
from util.metrics import detectors
from util.metrics.detectors import Finding, Thumbnails
from util.metrics.features import Features
from util.metrics.looks import LookFigures
from util.metrics.paired import Pair, PairedErrors, paired_errors
from util.metrics.sets import (
    ImageSet,
    by_key,
    by_name,
    common_keys,
    mean_image,
    read,
    readable,
    resized,
    thumbnail,
)
from util.metrics.sources import Sources

log = logging.getLogger(__name__)

LPIPS = Callable[[Tensor, Tensor], Tensor]


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
    if real.gray.mean() != fake.gray.mean():
        shares = (int(real.gray.sum()), len(real), int(fake.gray.sum()), len(fake))
        log.warning("gray images, read as RGB: %d of %d real, %d of %d fake; colour counts in the figures", *shares)


def compare_pairs(
    sources: Sources, fakes: Mapping[str, str], lpips: LPIPS | None, skipped: list[str]
) -> dict[str, PairedErrors]:
    """The errors of the translations `fakes` (key -> file), and of the unchanged input and the mean image.

    skipped: lines about files that cannot be read, those that are known and those that are found here.
    """
    assert sources.truth is not None
    truth = by_key(sources.truth)
    keys = common_keys(fakes, truth, sources.fake)
    rows = {"translations": paired_errors(_pairs(keys, truth, fakes, skipped), lpips)}
    if sources.inputs is not None:
        inputs = by_key(sources.inputs)
        there = common_keys(inputs, truth, sources.inputs, "--inputs")
        rows["input unchanged"] = paired_errors(_pairs(there, truth, inputs, skipped), lpips)
    if sources.train is not None:
        train = by_name(sources.train)
        mean = mean_image(pictures[0] for pictures in readable(list(train), [train], skipped))
        rows["mean"] = paired_errors(((resized(mean, t), t) for (t,) in readable(keys, [truth], skipped)), lpips)
    return rows


def _pairs(
    keys: Sequence[str], truth: Mapping[str, str], images: Mapping[str, str], skipped: list[str]
) -> Iterator[Pair]:
    for picture, image in readable(keys, [truth, images], skipped):
        yield image, picture


def detect(
    real: ImageSet, fake: ImageSet, inputs: ImageSet | None, sources: Sources, looks: LookFigures | None
) -> list[Finding]:
    """What the detectors say of what there is to look at; nothing of fewer than 8 images."""
    found = []
    if min(len(real), len(fake)) < detectors.LEAST:
        log.info("detectors are silent: they need %d images on each side", detectors.LEAST)
        return []
    found.append(detectors.collapses(real.features, fake.features))
    if looks is not None and looks.shown.sum() >= detectors.LEAST:
        found.append(detectors.few_looks(looks.shown, looks.target))
    if inputs is None:
        return found
    places = {key: place for place, key in enumerate(inputs.keys)}
    common = [place for place, key in enumerate(fake.keys) if key in places]
    keys = [fake.keys[place] for place in common]
    if len(keys) < detectors.LEAST:
        log.warning("%s: %d images have their input in %s: too few to compare", fake.folder, len(keys), inputs.folder)
        return found
    before, after = inputs.thumbnails[[places[key] for key in keys]], fake.thumbnails[common]
    found += [
        detectors.ignores_input(before, after),
        detectors.all_the_same(before, after),
        detectors.equals_input(before, after),
    ]
    truth = _thumbnails(sources.truth, keys)
    if truth is not None:
        return [*found, detectors.inverted_colours(truth, after, "truth")]
    return [*found, detectors.inverted_colours(before, after)]


def _thumbnails(folder: Path | None, keys: Sequence[str]) -> Thumbnails | None:
    """Those of the counterparts, if all of them are there."""
    if folder is None:
        return None
    paths = by_key(folder)
    try:
        return np.stack([thumbnail(read(paths[key])) for key in keys])
    except (KeyError, DataError):
        return None
