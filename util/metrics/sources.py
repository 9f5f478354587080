"""Where the images to be compared lie: as folders are named, or as an experiment has them."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from options.saved import FILE, load_options
from util.errors import DataError, OptionError
from util.metrics.sets import by_key
from util.results import translated_from

log = logging.getLogger(__name__)

FAKES, INPUTS = "images/fake_B", "images/real_A"  # in a folder that test.py wrote
RECORD = "looks.json"  # of the drawn data set


@dataclass(frozen=True)
class Sources:
    """Folders. results: the one that test.py wrote, if `fake` is in one. looks: the drawn data set, if it is one."""

    real: Path
    fake: Path
    truth: Path | None = None
    inputs: Path | None = None
    train: Path | None = None
    results: Path | None = None
    looks: Path | None = None


def from_folders(real: Path | None, fake: Path, truth: Path | None, inputs: Path | None, train: Path | None) -> Sources:
    """The folders as named; `fake` may be one that test.py wrote, which has the inputs too."""
    results = fake if (fake / FAKES).is_dir() else None
    if results is not None:
        fake = results / FAKES
        inputs = inputs or (results / INPUTS if (results / INPUTS).is_dir() else None)
    target = real or truth
    if target is None:
        raise OptionError("--real is missing: name a folder with images of the target domain (or --truth, or --name)")
    return Sources(target, fake, truth, inputs, train, results, drawn_data_set(truth or target))


def from_experiment(
    name: str, checkpoints_dir: Path, results_dir: Path, phase: str, epoch: str, paired: bool, real: Path | None = None
) -> Sources:
    """The result of `test.py --name <name>`, compared with the data that the run was trained on.

    Real are `real`, or else the images of the target domain of that phase (val for a missing test). Those of the phase
    are counterparts if both domains have the same names, paired is not False, and they are what was translated.
    """
    run, results = checkpoints_dir / name, results_dir / name / f"{phase}_{epoch}"
    options = load_options(run)
    if not options:
        there = sorted(path.parent.name for path in checkpoints_dir.glob("*/train_opt.json"))
        raise DataError(f"{run}: no run of that name with its options; found: {', '.join(there) or 'none'}")
    if "dataroot" not in options:
        raise DataError(f"{run}: its {FILE} names no dataroot; name the folders with --real and --fake instead")
    if not (results / FAKES).is_dir():
        again = f"python test.py --name {name} --epoch {epoch} --dataroot {options['dataroot']}"
        raise DataError(f"{results}: no translations there; make them: {again}")
    root = Path(options["dataroot"])
    source, target = ("A", "B") if options.get("direction", "AtoB") == "AtoB" else ("B", "A")
    if phase == "test" and not (root / f"test{target}").is_dir() and (root / f"val{target}").is_dir():
        phase = "val"
    own, inputs, train = root / f"{phase}{target}", root / f"{phase}{source}", root / f"train{target}"
    if real is None and not own.is_dir():
        raise DataError(f"{own}: no images of the target domain to compare with; name a folder with --real")
    looks = drawn_data_set(own)
    paired = paired and own.is_dir() and inputs.is_dir() and by_key(inputs).keys() == by_key(own).keys()
    translated = translated_from(results)
    if translated is not None and translated.is_dir() and translated != inputs.resolve():
        log.warning("the translations are of %s, not of %s: none is compared with a counterpart", translated, inputs)
        inputs, paired, looks = results / INPUTS, False, None
    return Sources(
        real or own,
        results / FAKES,
        own if paired else None,
        inputs if inputs.is_dir() else None,
        train if train.is_dir() else None,
        results,
        looks,
    )


def drawn_data_set(folder: Path) -> Path | None:
    """The drawn data set that `folder` is a domain of, if it is one."""
    path = folder.resolve().parent / RECORD
    try:
        return path.parent if json.loads(path.read_bytes()).get("generator") == "make_toy" else None
    except (OSError, ValueError, AttributeError):
        return None
