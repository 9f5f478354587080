"""Where the images to compare are: in the named folders, or in those of a run."""

import json
import logging
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from coopcut.data import HeldOutSamples
from coopcut.data.folders import domains_of, phase_of
from coopcut.data.image_sources import mixture_of
from coopcut.images.pixels import Range, parse_ranges
from coopcut.inference.translated import FAKES, earlier_pictures, is_result, lost_pictures, translated_from
from coopcut.metrics.folders import check_apart, check_outside, one_set
from coopcut.metrics.pairs import are_paired
from coopcut.metrics.sets import Folder, Learned
from coopcut.models import MODELS
from coopcut.options.option import Options
from coopcut.options.saved import FILE, default_options, load_options
from coopcut.util.errors import DataError, OptionError

log = logging.getLogger(__name__)

Ranges = tuple[Range | None, Range | None]
Found = tuple[dict[str, Path], Path | None, Path | None, Ranges]  # by role; results, looks, value_ranges of `Sources`

INPUTS = "images/real_A"  # in a folder that test.py wrote
RECORD = "looks.json"  # of the drawn data set


@dataclass(frozen=True)
class Sources:
    """Folders. results: the one that test.py wrote, if `fake` is in one. looks: the drawn data set, if it is one.

    value_ranges: of the source and target images of a data set, as `read_image` takes them.
    """

    real: Folder
    fake: Folder
    truth: Folder | None
    inputs: Folder | None
    train: Folder | None
    results: Path | None
    looks: Path | None
    value_ranges: Ranges

    @property
    def measured(self) -> list[Folder]:
        """Those whose images are measured or compared."""
        return [folder for folder in (self.real, self.fake, self.truth, self.inputs) if folder]


def find_sources(opt: Namespace) -> Sources:
    """The folders that the flags name; with --name, named folders take precedence over those of the run."""
    roles = ("real", "truth", "inputs", "train")
    typed = {role: one_set(f"--{role}", getattr(opt, role)) for role in roles if getattr(opt, role)}
    if opt.name is not None and opt.fake is not None:
        raise OptionError("--name and --fake (--results) both say what to measure: leave one of them out")
    if opt.name is not None and "real" not in typed and (sampled := _of_sampler(opt)) is not None:
        return sampled
    found, results, looks, ranges = _of_folders(opt, typed) if opt.name is None else _of_run(opt, "real" in typed)
    if opt.value_range:
        ranges = parse_ranges(opt.value_range)
    folders = {}
    for role, path in (found | typed).items():
        values = None if is_result(path) else ranges[0 if role == "inputs" else 1]  # test.py writes 8 bits
        folders[role] = Folder(f"--{role}", path, values)
    truth, inputs, train = (folders.get(role) for role in roles[1:])
    return Sources(folders["real"], folders["fake"], truth, inputs, train, results, looks, ranges)


def _of_folders(opt: Namespace, typed: dict[str, Path]) -> Found:
    """The folders as named. --fake may be one that test.py wrote, which has the inputs too, or one above it."""
    of_a_run = {"phase": opt.phase != "test", "epoch": opt.epoch != "latest", "unpaired": opt.unpaired}
    for flag in (flag for flag, given in of_a_run.items() if given):
        raise OptionError(f"--{flag} says which part of a run to measure: add --name, or leave it out")
    if opt.fake is None:
        raise OptionError("--fake is missing: name a folder with translations, or a run with --name")
    fake, results = _translations(opt.fake)
    target = typed.get("real") or typed.get("truth")
    if target is None:
        raise OptionError("--real is missing: name a folder with images of the target domain (or --truth, or --name)")
    found = {"real": target, "fake": fake}
    if results is not None and (results / INPUTS).is_dir():
        found["inputs"] = results / INPUTS
    return found, results, drawn_data_set(typed.get("truth") or target), (None, None)


def _of_run(opt: Namespace, has_real: bool) -> Found:
    """The result of `test.py --name <name>`, compared with the data that the run was trained on.

    Real are the images of the target domain of that phase (val for a missing test), unless `has_real`. They are
    counterparts if nearly all translations have one by name, without --unpaired, and if they are what was translated.
    """
    run = opt.checkpoints_dir / opt.name
    options = load_options(run)
    if not options:
        there = sorted(path.parent.name for path in opt.checkpoints_dir.glob(f"*/{FILE}"))
        raise DataError(f"{run}: no such run with saved options; found: {', '.join(there) or 'none'}")
    if "dataroot" not in options:
        raise DataError(f"{run}: its {FILE} names no dataroot; name the folders with --real and --fake instead")
    method = MODELS[options.get("model", "cut")]
    export, suffix = method.export(opt.export), method.suffix(opt.export)
    results = opt.results_dir / opt.name / f"{opt.phase}_{opt.epoch}{suffix}"
    if not (results / FAKES).is_dir():
        again = f"python test.py --name {opt.name} --epoch {opt.epoch} --dataroot {options['dataroot']}"
        again += f" --export {opt.export}" if suffix else ""
        raise DataError(f"{results}: no translations there; create them with: {again}")
    back = -1 if export.source == "B" else 1
    source, target = domains_of(options.get("direction", "AtoB"))[::back]
    root = Path(options["dataroot"])
    phase = phase_of(root, opt.phase, target)
    own, inputs, train = root / f"{phase}{target}", root / f"{phase}{source}", root / f"train{target}"
    if not has_real and not own.is_dir():
        raise DataError(f"{own}: no images of the target domain to compare with; name a folder with --real")
    looks, unpaired = drawn_data_set(own), opt.unpaired
    translated = translated_from(results)
    if translated is not None and translated.is_dir() and not (inputs.is_dir() and translated.samefile(inputs)):
        log.warning("the translations are of %s, not of %s: not compared with counterparts", translated, inputs)
        inputs, unpaired, looks = results / INPUTS, True, None
    found = {"real": own, "fake": results / FAKES}
    found |= {role: path for role, path in (("inputs", inputs), ("train", train)) if path.is_dir()}
    if not unpaired and own.is_dir() and "inputs" in found:
        names = (Folder(f"--{role}", found[role]) for role in ("fake", "inputs", "real"))
        found |= {"truth": own} if are_paired(*names) else {}
    ranges = parse_ranges(options.get("value_range", "dtype"))
    return found, results, looks, ranges if back == 1 else (ranges[1], ranges[0])


def _of_sampler(opt: Namespace) -> Sources | None:
    """The samples of a run that makes images from noise, and what it learned from; None if it translates."""
    options = load_options(opt.checkpoints_dir / opt.name)
    model = options.get("model", "cut")
    if not options or model not in MODELS or MODELS[model].purpose == "translation":
        return None
    results = opt.results_dir / opt.name / f"{opt.phase}_{opt.epoch}"
    if mixture_of(str(options.get("dataroot", ""))) is not None:
        raise DataError(
            f"{opt.checkpoints_dir / opt.name}: makes points, and evaluate.py measures images: use compare.py"
        )
    if not (results / FAKES).is_dir():
        again = f"python test.py --name {opt.name} --epoch {opt.epoch} --num_test 1000"
        raise DataError(f"{results}: no samples there; make them with: {again}")
    images = HeldOutSamples(Options(**{**default_options(model), **options, "eval_num": 10**9, "eval_freq": 1}))
    real = Learned("--real", Path(options["dataroot"]), None, images)
    return Sources(real, Folder("--fake", results / FAKES), None, None, None, results, None, (None, None))


def _translations(folder: Path) -> tuple[Path, Path | None]:
    """The translations in a folder, and the folder that test.py wrote, unless the translations themselves are named."""
    if (folder / FAKES).is_dir():
        return folder / FAKES, folder
    found = one_set("--fake", folder)
    images = found.parent if found.parent.name else found.parent.absolute()
    return found, images.parent if found != folder and images / found.name == images.parent / FAKES else None


def check_folders(sources: Sources, plot: Path | None) -> None:
    """Raise `DataError` for a folder without images, in another one, or of test.py with more or less than it noted.

    `OptionError` if `plot` would be written into one.
    """
    real, fake, truth, inputs, train = sources.real, sources.fake, sources.truth, sources.inputs, sources.train
    groups = [[folder for folder in group if folder] for group in ((real, truth, train), (inputs,), (fake,))]
    folders = [folder for group in groups for folder in group]
    for folder in folders:
        assert folder.paths  # or it raises
    check_apart(groups)
    if plot is not None and plot.suffix.lower() == ".png":
        check_outside("--plot", plot, folders)
    wrong = _against_the_note(fake.path)
    if wrong and sources.results is not None:
        all_of_them = f"--real {real.path} --fake {fake.path}"
        raise DataError(f"{wrong}: translate again with another --results_dir, or measure them all with {all_of_them}")
    if wrong:
        log.warning("%s", wrong)


def _against_the_note(fake: Path) -> str:
    """How a folder of translations differs from what test.py noted; empty if it does not."""
    results = fake.absolute().parent.parent
    if results / FAKES != fake.absolute():
        return ""
    older, lost = earlier_pictures(results), lost_pictures(results)
    if older:
        return f"{fake} holds {_pictures(older)} from an earlier or an interrupted translation ({older[0]})"
    return f"{fake} lacks {_pictures(lost)} of the last translation ({lost[0]})" if lost else ""


def _pictures(names: list[str]) -> str:
    return "1 picture" if len(names) == 1 else f"{len(names)} pictures"


def drawn_data_set(folder: Path) -> Path | None:
    """The drawn data set that `folder` is a domain of, if it is one."""
    path = folder.resolve().parent / RECORD
    try:
        return path.parent if json.loads(path.read_bytes()).get("generator") == "make_toy" else None
    except (OSError, ValueError, AttributeError):
        return None
