"""The counterparts of an evaluation: of each translation its input and its truth, found by their names."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coopcut.images.names import Pairs, pair_names, pair_pictures
from coopcut.inference.translated import translated_images
from coopcut.metrics.sets import by_name, in_order, some
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)

NEARLY_ALL = 0.75  # of the translations with a counterpart: the data set of a run is a paired one
UNPAIRED = ", or if there are no counterparts leave it out, or with --name add --unpaired"
UNCLEAR = ", or leave --truth out (with --name: add --unpaired)"


@dataclass(frozen=True)
class Counterparts:
    """Names of images, paths below their folders.

    images: translation -> name of the image that it was made of, or its own where that is not known. inputs:
    translation -> its input. truth: translation -> its counterpart. truth_of_inputs: input -> counterpart.
    """

    images: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)
    truth: Mapping[str, str] = field(default_factory=dict)
    truth_of_inputs: Mapping[str, str] = field(default_factory=dict)


def find_counterparts(fake: Path, inputs: Path | None, truth: Path | None) -> Counterparts:
    """All that the folders allow; warnings name translations and inputs without a counterpart.

    Raises `DataError` if names leave open which belong together, or if none in a folder has a counterpart.
    """
    images = made_of(fake, inputs)
    found, of_fakes, of_inputs = Pairs(), Pairs(), Pairs()
    if inputs is not None:
        found = pair_images(images, image_names(inputs), pair_pictures)
        _refuse_unclear(found, str(fake), f"--inputs {inputs}")
        _tell_of_the_rest(found, images, fake, f"input in {inputs}")
    if truth is not None:
        there = image_names(truth)
        of_fakes = pair_images(images, there, pair_pictures)
        _check(of_fakes, images, fake, truth, "--truth")
        if inputs is not None:
            names = image_names(inputs)
            of_inputs = pair_images(names, there)
            _check(of_inputs, names, inputs, truth, "--inputs")
    return Counterparts(images, found.found, of_fakes.found, of_inputs.found)


def made_of(fake: Path, inputs: Path | None) -> dict[str, str]:
    """Translation -> name of the image that it was made of: as test.py noted it, or as the inputs tell, or its own."""
    images = image_names(fake)
    if inputs is None:
        return images
    names = image_names(inputs)
    found = pair_images(images, names, pair_pictures).found
    return {picture: names[found[picture]] if picture in found else image for picture, image in images.items()}


def image_names(folder: Path) -> dict[str, str]:
    """The images of a folder -> their names; of pictures that test.py wrote those of the images that it read."""
    return {name: name for name in in_order(by_name(folder))} | translated_images(folder)


def pair_images(
    images: Mapping[str, str],
    others: Mapping[str, str],
    rule: Callable[[list[str], list[str]], Pairs] = pair_names,
) -> Pairs:
    """`rule` applied to the names of images (image -> name) and of others; the pairs are of images, not of names."""
    ours, theirs = ({name: image for image, name in reversed(list(side.items()))} for side in (images, others))
    pairs = rule(list(dict.fromkeys(images.values())), list(dict.fromkeys(others.values())))
    found = {ours[name]: theirs[other] for name, other in pairs.found.items()}
    unclear = [([ours[name] for name in names], [theirs[name] for name in there]) for names, there in pairs.unclear]
    return Pairs({image: found[image] for image in images if image in found}, unclear)


def nearly_all(pairs: Pairs, images: Mapping[str, str]) -> bool:
    """Whether so many images have a counterpart that the sets are paired."""
    return len(pairs.found) >= NEARLY_ALL * len(images)


def _check(pairs: Pairs, images: Mapping[str, str], folder: Path, truth: Path, flag: str) -> None:
    _refuse_unclear(pairs, str(folder), f"--truth {truth}")
    if not pairs.found:
        example = next(iter(image_names(truth)))
        raise DataError(
            f"{folder}: no image there has the name of a counterpart (for example {example}); name the right folder "
            f"with {flag}" + UNPAIRED * (flag == "--truth")
        )
    _tell_of_the_rest(pairs, images, folder, "counterpart")


def _tell_of_the_rest(pairs: Pairs, images: Mapping[str, str], folder: Path, what: str) -> None:
    without = [image for image in images if image not in pairs.found]
    if without:
        log.warning("%s: %d of %d images have no %s: %s", folder, len(without), len(images), what, some(without))


def _refuse_unclear(pairs: Pairs, folder: str, others: str) -> None:
    if not pairs.unclear:
        return
    images, candidates = pairs.unclear[0]
    raise DataError(
        f"{' and '.join(images[:2])} in {folder}, {' and '.join(candidates[:2])} in {others}: their names do not tell "
        "which belong together; rename or remove one" + UNCLEAR * others.startswith("--truth")
    )
