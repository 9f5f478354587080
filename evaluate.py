"""Measure translations: python evaluate.py --name horse2zebra_coopcut, or --real DIR --fake DIR

FID, KID, precision, recall, density and coverage of the translations against real images of the target domain. With
the true counterparts (--truth) also the errors of each translation, with those of two translators that learn nothing
for comparison: the input unchanged (--inputs) and the mean image of the target domain for every input (--train).
docs/evaluation.md says what each figure means.
"""

import coopcut.util.interrupts  # noqa: F401 (before torch)

# isort: split
import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coopcut.data.folders import Domain
from coopcut.data.value_range import tell_range
from coopcut.datasets.toy import N_LOOKS, ToyError, classify_look, look_name, read_truth
from coopcut.engine.device import choose_device
from coopcut.images.pixels import parse_ranges
from coopcut.inference.results import METRICS, METRICS_PLOT
from coopcut.metrics.cache import FeatureCache, cache_folder
from coopcut.metrics.compare import compare_pairs, detect, warn_of_sets
from coopcut.metrics.distribution import NEAREST, SUBSET_SIZE, SUBSETS, figures, neighbors
from coopcut.metrics.features import BUILTIN_SIZE, RANGES, TORCHSCRIPT_SIZE, Features, create_features
from coopcut.metrics.folders import one_set
from coopcut.metrics.looks import LookFigures, confusion_matrix
from coopcut.metrics.lpips import load_lpips
from coopcut.metrics.packages import versions
from coopcut.metrics.pairs import find_counterparts, pair_images
from coopcut.metrics.plot import check_format, draw
from coopcut.metrics.report import Report
from coopcut.metrics.sets import ImageSet, by_name, in_order, measure, read
from coopcut.metrics.sources import Sources, check_folders, from_experiment, from_folders
from coopcut.options.option import ranges
from coopcut.options.savings import for_measuring
from coopcut.util.arguments import Parser, whole
from coopcut.util.cli import run_script
from coopcut.util.errors import DataError, OptionError
from coopcut.util.launch import refuse_several
from coopcut.util.memory import Advice, memory_advice

log = logging.getLogger("evaluate")

SIZES = {"builtin": BUILTIN_SIZE, "inception": None}  # pixels of --features; inception's cannot be chosen


def main(argv: Sequence[str]) -> int:
    """Parse, measure, report. Returns the exit code: 0, or 1 if images had to be skipped."""
    opt = parse(argv)
    refuse_several()
    with memory_advice() as advice:
        return run(opt, advice)


def run(opt: argparse.Namespace, advice: Advice) -> int:
    """Measure and report what `opt` says."""
    if opt.plot:
        check_format(opt.plot)
    sources = find_sources(opt)
    check(opt, sources)
    libraries = versions()
    device = choose_device(opt.gpu_ids)
    advice.less = lambda error: for_measuring(device, opt.feature_size or SIZES.get(opt.features, TORCHSCRIPT_SIZE))
    features = create_features(opt.features, opt.weights, opt.feature_size, opt.feature_range, device)
    cache = None if opt.no_cache else FeatureCache(cache_folder())
    found = find_counterparts(sources.fake, sources.inputs, sources.truth)
    tell_ranges(sources)
    real = measure("--real", sources.real, by_name(sources.real), features, cache, sources.value_range(sources.real))
    fakes = in_order(by_name(sources.fake))
    fake = measure("--fake", sources.fake, fakes, features, value_range=sources.value_range(sources.fake))
    advice.less = lambda error: for_measuring(torch.device("cpu"))  # the figures are of all images, whatever their size
    warn_of_sets(sources, real, fake, features)
    report = Report(*setting(opt, real, fake, features, libraries))
    report.details["value_ranges"] = sources.value_ranges
    if any(sources.value_ranges):
        report.setting += "; black and white: " + " / ".join(str(values or "dtype") for values in sources.value_ranges)
    report.skipped = [*real.skipped, *fake.skipped]
    add_row(report, opt, "translations", real, fake)
    inputs = None
    if sources.inputs is not None:
        paths, value_range = in_order(by_name(sources.inputs)), sources.value_range(sources.inputs)
        inputs = measure("--inputs", sources.inputs, paths, features, cache, value_range)
        report.skipped += inputs.skipped
        add_row(report, opt, "input unchanged", real, inputs)
    if sources.truth is not None:
        lpips = load_lpips(opt.lpips_weights)
        report.paired = compare_pairs(sources, found, fake.keys, lpips, report.skipped)
    if sources.looks is not None:
        report.looks = count_looks(fakes, sources, found.images)
    report.findings = detect(real, fake, inputs, sources, found, report.looks)
    log.info("%s", "\n".join(report.lines()))
    write(report, opt, sources, {"real": real.features, "translations": fake.features})
    return 1 if report.skipped else 0


def tell_ranges(sources: Sources) -> None:
    """Say which values of the images become black and white; see `tell_range`."""
    for folder in dict.fromkeys(filter(None, (sources.real, sources.fake, sources.truth, sources.inputs))):
        paths = list(by_name(folder).values())
        tell_range(Domain(str(folder), paths, len(paths)), sources.value_range(folder))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags. Raises `OptionError`."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--name", type=_text, help="a run: its result, data and direction are found by themselves")
    add("--phase", default="test", help="--name: part of the data [default: test]")
    add("--epoch", default="latest", help="--name: the weights that translated [default: latest]")
    add("--export", default="", help="--name: what translated, of a method that trains several networks [the first]")
    add("--checkpoints_dir", type=_path, default=Path("./checkpoints"), help="--name: folder of the runs")
    add("--results_dir", type=_path, default=Path("./results"), help="--name: folder of the results")
    add("--unpaired", action="store_true", help="--name: images of one name are not counterparts")
    add("--real", type=_path, help="folder with images of the target domain; without it those of --truth")
    add("--fake", "--results", type=_path, help="folder with translations, or one that test.py wrote")
    add("--truth", type=_path, help="folder with the counterparts: <name>, or N_B for N_A")
    add("--inputs", type=_path, help="folder with the source images: measure them too, and look for what is wrong")
    add("--train", type=_path, help="folder with target training images: their mean as a translation, and their looks")
    add(
        "--value_range",
        type=ranges,
        help="values that are black and white, as in train.py [default: of the run, else dtype]",
    )
    add("--features", default="builtin", metavar="NAME", help="builtin, inception, or a TorchScript file (.pt)")
    add("--weights", type=_path, help="--features inception: file of the weights")
    add("--feature_size", type=int, metavar="N", help="pixels that images are scaled to [builtin: 128, file: 224]")
    add("--feature_range", choices=tuple(RANGES), default="imagenet", help="values that a TorchScript file takes")
    add("--lpips_weights", type=_path, help="torchvision's AlexNet, for LPIPS")
    add(
        "--nearest",
        type=_positive,
        default=NEAREST,
        help="nearest neighbors of precision, recall, density and coverage [default: 5]",
    )
    add("--kid_subset", type=_size, default=SUBSET_SIZE, help="images in a subset of KID [default: 1000]")
    add("--kid_subsets", type=_positive, default=SUBSETS, help="subsets of KID [default: 100]")
    add("--seed", type=_seed, default=0, help="of the subsets of KID [default: 0]")
    add("--gpu_ids", default="auto", help="device of the feature network, as in train.py")
    add("--no_cache", action="store_true", help="do not keep features of real images in the user's cache")
    add("--json", type=_path, help="write everything to this file [for a folder of test.py: metrics.json there]")
    add("--plot", type=_path, help="draw it into this .png, .pdf or .svg [for a folder of test.py: metrics.png there]")
    return parser.parse_args(list(argv))


def _text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give it a value or leave it out")
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def _positive(text: str) -> int:
    return whole(text, 1, 2**31 - 1)


def _size(text: str) -> int:
    return whole(text, 2, 2**31 - 1)


def _seed(text: str) -> int:
    return whole(text, 0, 2**63 - 1)


def find_sources(opt: argparse.Namespace) -> Sources:
    """The folders that the flags name; with --name, folders that are named too go before those of the run."""
    roles = ("real", "truth", "inputs", "train")
    typed = {role: one_set(f"--{role}", getattr(opt, role)) for role in roles if getattr(opt, role)}
    if opt.name is None:
        of_a_run = {"phase": opt.phase != "test", "epoch": opt.epoch != "latest", "unpaired": opt.unpaired}
        if any(of_a_run.values()):
            flag = next(flag for flag, typed in of_a_run.items() if typed)
            raise OptionError(f"--{flag} says which part of a run to measure: add --name, or leave it out")
        if opt.fake is None:
            raise OptionError("--fake is missing: name a folder with translations, or a run with --name")
        return _with_ranges(opt, from_folders(opt.fake, **typed))
    if opt.fake is not None:
        raise OptionError("--name and --fake (--results) both say what to measure: leave one of them out")
    folders = opt.checkpoints_dir, opt.results_dir
    found = from_experiment(opt.name, *folders, (opt.phase, opt.epoch, opt.export), not opt.unpaired, typed.get("real"))
    return _with_ranges(opt, Sources(**{**vars(found), **typed}))


def _with_ranges(opt: argparse.Namespace, sources: Sources) -> Sources:
    """`sources` with the range of --value_range, if it was given."""
    return replace(sources, value_ranges=parse_ranges(opt.value_range)) if opt.value_range else sources


def check(opt: argparse.Namespace, sources: Sources) -> None:
    """Before the work: raise `OptionError` for a file that cannot be written, `DataError` for folders of no use."""
    for flag, path in (("--json", opt.json), ("--plot", opt.plot)):
        if path is not None and path.is_dir():
            raise OptionError(f"{flag} {path} is a folder: name a file")
    if opt.lpips_weights is not None and sources.truth is None:
        raise OptionError("--lpips_weights: LPIPS compares with counterparts: name them with --truth, or leave it out")
    check_folders(sources, opt.plot)


def setting(
    opt: argparse.Namespace, real: ImageSet, fake: ImageSet, features: Features, libraries: str
) -> tuple[str, dict[str, Any]]:
    """All that is needed to get the same figures again: as a line, and for JSON."""
    subset = min(opt.kid_subset, len(real), len(fake))
    details = {
        "real": str(real.folder),
        "fake": str(fake.folder),
        "real_images": len(real),
        "fake_images": len(fake),
        "real_left_out": real.left_out,
        "fake_left_out": fake.left_out,
        "resize": features.transform,
        "features": features.name,
        "dimensions": features.dims,
        "features_sha256": features.fingerprint,
        "libraries": libraries,
        "nearest": neighbors(len(real), len(fake), opt.nearest),
        "kid_subset": subset,
        "kid_subsets": 1 if subset == len(real) == len(fake) else opt.kid_subsets,
        "seed": opt.seed,
    }
    line = (
        f"fake: {fake.describe()}; real: {real.describe()}; resized: {features.transform}; "
        f"features: {features.name}, {features.dims} dimensions, SHA-256 {features.fingerprint[:8]}; "
        f"{libraries}; KID subsets: {details['kid_subsets']} of {subset} images, seed {opt.seed}; "
        f"k = {details['nearest']}"
    )
    return line, details


def add_row(report: Report, opt: argparse.Namespace, name: str, real: ImageSet, fake: ImageSet) -> None:
    """The figures of a set against the real one."""
    report.counts[name] = len(fake)
    report.distribution[name] = figures(
        real.features, fake.features, opt.seed, opt.nearest, opt.kid_subset, opt.kid_subsets
    )


def count_looks(fakes: Mapping[str, str], sources: Sources, images: Mapping[str, str]) -> LookFigures | None:
    """Which looks the translations of the drawn data set show; None if they are not of its images (`images`)."""
    assert sources.looks is not None
    folder = sources.truth.name if sources.truth else "testB"  # scenes that the test inputs share
    if not (folder.endswith("B") and sources.real.name.endswith("B")):  # only that domain has these looks
        return None
    try:
        files = read_truth(sources.looks)["files"]
        scenes = {name: name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/")}
        shown, true = [], []
        for fake, name in pair_images(images, scenes).found.items():
            try:
                picture = read(fakes[fake])
            except DataError:
                continue  # told of before
            shown.append(classify_look(picture, files[name]))
            true.append(int(files[name]["look"]))
    except (ToyError, ValueError, KeyError) as error:
        raise DataError(f"{sources.looks}: its looks.json cannot be used: {error}") from None
    if not shown:
        return None
    target = [r["look"] for name, r in files.items() if name.startswith((sources.train or sources.real).name + "/")]
    counts = np.bincount(target, minlength=N_LOOKS).astype(np.int64)
    names = [look_name(look) for look in range(N_LOOKS)]
    return LookFigures(names, confusion_matrix(true, shown, N_LOOKS), counts)


def write(report: Report, opt: argparse.Namespace, sources: Sources, sets: dict[str, NDArray[np.float64]]) -> None:
    """The files that were asked for; for a folder of test.py both, in it."""
    json_path = opt.json or (sources.results and sources.results / METRICS)
    plot_path = opt.plot or (sources.results and sources.results / METRICS_PLOT)
    if json_path:
        report.write_json(json_path)
        log.info("metrics: %s", json_path)
    if plot_path and (opt.plot or find_spec("matplotlib")):
        draw(report, sets, plot_path)
        log.info("plot: %s", plot_path)


def command() -> None:
    """What `coopcut-evaluate` runs."""
    run_script(main)


if __name__ == "__main__":
    command()
