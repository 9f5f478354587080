"""The counterparts of an evaluation: of each translation its input and its truth, found by their names."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coopcut.images.names import Pairs, pair_names, pair_pictures
from coopcut.metrics.sets import Folder, some
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)

NEARLY_ALL = 0.75  # of the translations with a counterpart: the data set of a run is a paired one
UNPAIRED = ", or leave it out if there are no counterparts (with --name: add --unpaired)"
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


def find_counterparts(fake: Folder, inputs: Folder | None, truth: Folder | None) -> Counterparts:
    """All that the folders allow; warnings name translations and inputs without a counterpart.

    Raises `DataError` if names do not say which belong together, or if none in a folder has a counterpart.
    """
    images = made_of(fake, inputs)
    of_inputs = _checked(pair_images(images, inputs.names, pair_pictures), fake, inputs) if inputs else {}
    if truth is None:
        return Counterparts(images, of_inputs)
    of_truth = _checked(pair_images(images, truth.names, pair_pictures), fake, truth)
    both = _checked(pair_images(inputs.names, truth.names), inputs, truth) if inputs else {}
    return Counterparts(images, of_inputs, of_truth, both)


def made_of(fake: Folder, inputs: Folder | None) -> dict[str, str]:
    """Translation -> name of the image that it was made of: as test.py noted it, or as the inputs tell, or its own."""
    if inputs is None:
        return fake.names
    found = pair_images(fake.names, inputs.names, pair_pictures).found
    return fake.names | {picture: inputs.names[image] for picture, image in found.items()}


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


def are_paired(fake: Folder, inputs: Folder, truth: Folder) -> bool:
    """Whether nearly all translations have a counterpart; a line says how many."""
    found, images = len(pair_images(made_of(fake, inputs), truth.names, pair_pictures).found), len(fake.names)
    paired = found >= NEARLY_ALL * images
    level = logging.INFO if paired or not found else logging.WARNING
    kind = "paired" if paired else "unpaired"
    log.log(level, "%s: %d of %d translations have a counterpart by name in %s", kind, found, images, truth.path)
    return paired


def _checked(pairs: Pairs, folder: Folder, others: Folder) -> dict[str, str]:
    """The pairs of images of `folder` and of `others`; see `find_counterparts`."""
    of_truth = others.flag == "--truth"
    if pairs.unclear:
        images, candidates = pairs.unclear[0]
        raise DataError(
            f"{' and '.join(images[:2])} in {folder.path}, {' and '.join(candidates[:2])} in {others.flag} "
            f"{others.path}: their names do not say which belong together; rename or remove one" + UNCLEAR * of_truth
        )
    if of_truth and not pairs.found:
        flag = "--truth" if folder.flag == "--fake" else folder.flag
        raise DataError(
            f"{folder.path}: no image has the name of a counterpart (for example {next(iter(others.names))}); "
            f"name the right folder with {flag}" + UNPAIRED * (flag == "--truth")
        )
    without = [image for image in folder.paths if image not in pairs.found]
    if without:
        what = "counterpart" if of_truth else f"input in {others.path}"
        count = f"{len(without)} of {len(folder.paths)}"
        log.warning("%s: %s images have no %s: %s", folder.path, count, what, some(without))
    return pairs.found
