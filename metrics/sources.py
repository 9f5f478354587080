"""Where the images to be compared lie: as folders are named, or as an experiment has them."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coopcut.data.folders import domains_of, phase_of
from coopcut.images.names import pair_pictures
from coopcut.images.pixels import Range, parse_ranges
from coopcut.inference.translated import FAKES, earlier_pictures, is_result, lost_pictures, translated_from
from coopcut.metrics.folders import check_apart, check_outside, one_set
from coopcut.metrics.pairs import image_names, made_of, nearly_all, pair_images
from coopcut.metrics.sets import Picture, by_name, read
from coopcut.models import MODELS
from coopcut.options.saved import FILE, load_options
from coopcut.util.errors import DataError, OptionError

log = logging.getLogger(__name__)

INPUTS = "images/real_A"  # in a folder that test.py wrote
RECORD = "looks.json"  # of the drawn data set


@dataclass(frozen=True)
class Sources:
    """Folders. results: the one that test.py wrote, if `fake` is in one. looks: the drawn data set, if it is one.

    value_ranges: of the source and target images of a data set, as `read_image` takes them.
    """

    real: Path
    fake: Path
    truth: Path | None = None
    inputs: Path | None = None
    train: Path | None = None
    results: Path | None = None
    looks: Path | None = None
    value_ranges: tuple[Range | None, Range | None] = (None, None)

    def value_range(self, folder: Path) -> Range | None:
        """The values that are black and white in the files of one of the folders; what test.py wrote has 8 bits."""
        if is_result(folder):
            return None
        return self.value_ranges[0 if folder == self.inputs else 1]

    def read(self, path: str) -> Picture:
        """An image of one of the folders as uint8 [H, W, 3]."""
        folders = (self.fake, self.inputs, self.truth, self.train, self.real)
        folder = next(folder for folder in folders if folder is not None and Path(path).is_relative_to(folder))
        return read(path, self.value_range(folder))


def from_folders(
    fake: Path,
    real: Path | None = None,
    truth: Path | None = None,
    inputs: Path | None = None,
    train: Path | None = None,
) -> Sources:
    """The folders as named. `fake` may be one that test.py wrote, which has the inputs too, or one above it."""
    fake, results = _translations(fake)
    if results is not None:
        inputs = inputs or (results / INPUTS if (results / INPUTS).is_dir() else None)
    target = real or truth
    if target is None:
        raise OptionError("--real is missing: name a folder with images of the target domain (or --truth, or --name)")
    return Sources(target, fake, truth, inputs, train, results, drawn_data_set(truth or target))


def from_experiment(
    name: str,
    checkpoints_dir: Path,
    results_dir: Path,
    which: Sequence[str],
    paired: bool,
    real: Path | None = None,
) -> Sources:
    """The result of `test.py --name <name>`, compared with the data that the run was trained on.

    which: --phase, --epoch and --export of that call.

    Real are `real`, or else the images of the target domain of that phase (val for a missing test). Those of the phase
    are counterparts if nearly all translations have one by name, paired is not False, and they are what was translated.
    """
    run, (phase, epoch, chosen) = checkpoints_dir / name, which
    options = load_options(run)
    if not options:
        there = sorted(path.parent.name for path in checkpoints_dir.glob("*/train_opt.json"))
        raise DataError(f"{run}: no run of that name with its options; found: {', '.join(there) or 'none'}")
    if "dataroot" not in options:
        raise DataError(f"{run}: its {FILE} names no dataroot; name the folders with --real and --fake instead")
    method = MODELS[options.get("model", "cut")]
    ranges = parse_ranges(options.get("value_range", "dtype"))
    export, suffix = method.export(chosen), method.suffix(chosen)
    results = results_dir / name / f"{phase}_{epoch}{suffix}"
    if not (results / FAKES).is_dir():
        again = f"python test.py --name {name} --epoch {epoch} --dataroot {options['dataroot']}"
        again += f" --export {chosen}" if suffix else ""
        raise DataError(f"{results}: no translations there; make them: {again}")
    root = Path(options["dataroot"])
    source, target = domains_of(options.get("direction", "AtoB"))[:: -1 if export.source == "B" else 1]
    phase = phase_of(root, phase, target)
    own, inputs, train = root / f"{phase}{target}", root / f"{phase}{source}", root / f"train{target}"
    if real is None and not own.is_dir():
        raise DataError(f"{own}: no images of the target domain to compare with; name a folder with --real")
    looks = drawn_data_set(own)
    translated = translated_from(results)
    if translated is not None and translated.is_dir() and not (inputs.is_dir() and translated.samefile(inputs)):
        log.warning("the translations are of %s, not of %s: none is compared with a counterpart", translated, inputs)
        inputs, paired, looks = results / INPUTS, False, None
    paired = paired and own.is_dir() and inputs.is_dir() and _are_paired(results / FAKES, inputs, own)
    return Sources(
        real or own,
        results / FAKES,
        own if paired else None,
        inputs if inputs.is_dir() else None,
        train if train.is_dir() else None,
        results,
        looks,
        ranges if export.source == "A" else (ranges[1], ranges[0]),
    )


def _translations(folder: Path) -> tuple[Path, Path | None]:
    """The translations in a folder, and the folder that test.py wrote, unless the translations themselves are named."""
    if (folder / FAKES).is_dir():
        return folder / FAKES, folder
    found = one_set("--fake", folder)
    images = found.parent if found.parent.name else found.parent.absolute()
    return found, images.parent if found != folder and images / found.name == images.parent / FAKES else None


def _are_paired(fake: Path, inputs: Path, truth: Path) -> bool:
    """Whether nearly all translations have a counterpart; a line says how many."""
    images = made_of(fake, inputs)
    pairs = pair_images(images, image_names(truth), pair_pictures)
    paired = nearly_all(pairs, images)
    log.log(
        logging.INFO if paired or not pairs.found else logging.WARNING,
        "%spaired: %d of %d translations have a counterpart by name in %s",
        "" if paired else "un",
        len(pairs.found),
        len(images),
        truth,
    )
    return paired


def check_folders(sources: Sources, plot: Path | None) -> None:
    """Raise `DataError` for a folder without images, in another one, or of test.py with more or less than it noted.

    `OptionError` if `plot` would be written into one.
    """
    named = {"--real": sources.real, "--truth": sources.truth, "--train": sources.train}
    targets = {flag: folder for flag, folder in named.items() if folder is not None}
    inputs = {"--inputs": sources.inputs} if sources.inputs is not None else {}
    fake = {"--fake": sources.fake}
    for folder in (targets | inputs | fake).values():
        by_name(folder)
    check_apart((fake, inputs, targets))
    if plot is not None and plot.suffix.lower() == ".png":
        check_outside("--plot", plot, targets | inputs | fake)
    wrong = _against_the_note(sources.fake)
    if wrong and sources.results is not None:
        all_of_them = f"--real {sources.real} --fake {sources.fake}"
        raise DataError(f"{wrong}: translate again with another --results_dir, or measure all with {all_of_them}")
    if wrong:
        log.warning("%s", wrong)


def _against_the_note(fake: Path) -> str:
    """What there is more or less in a folder of translations than test.py noted; nothing if all is well."""
    results = fake.absolute().parent.parent
    if results / FAKES != fake.absolute():
        return ""
    older, lost = earlier_pictures(results), lost_pictures(results)
    if older:
        return f"{fake} holds {_pictures(older)} of an earlier translation or of one that was stopped ({older[0]})"
    return f"{fake} lacks {_pictures(lost)} of the last translation ({lost[0]})" if lost else ""


def _pictures(names: Sequence[str]) -> str:
    return "1 picture" if len(names) == 1 else f"{len(names)} pictures"


def drawn_data_set(folder: Path) -> Path | None:
    """The drawn data set that `folder` is a domain of, if it is one."""
    path = folder.resolve().parent / RECORD
    try:
        return path.parent if json.loads(path.read_bytes()).get("generator") == "make_toy" else None
    except (OSError, ValueError, AttributeError):
        return None
