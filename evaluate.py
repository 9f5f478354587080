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
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coopcut.data.folders import Domain
from coopcut.data.value_range import tell_range
from coopcut.datasets.toy import N_LOOKS, ToyError, classify_look, look_name, read_truth
from coopcut.engine.device import choose_device
from coopcut.inference.results import METRICS, METRICS_PLOT
from coopcut.metrics.cache import FeatureCache, cache_folder
from coopcut.metrics.compare import compare_pairs, detect, warn_of_sets
from coopcut.metrics.distribution import NEAREST, SUBSET_SIZE, SUBSETS, figures, neighbors
from coopcut.metrics.features import BUILTIN_SIZE, RANGES, TORCHSCRIPT_SIZE, Features, create_features
from coopcut.metrics.looks import LookFigures, confusion_matrix
from coopcut.metrics.lpips import load_lpips
from coopcut.metrics.packages import versions
from coopcut.metrics.pairs import find_counterparts, pair_images
from coopcut.metrics.plot import check_format, draw
from coopcut.metrics.report import Report
from coopcut.metrics.sets import ImageSet, Learned, measure
from coopcut.metrics.sources import Sources, check_folders, find_sources
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
    learned = isinstance(sources.real, Learned)  # its images depend on more than their files
    cache = None if opt.no_cache or learned else FeatureCache(cache_folder())
    found = find_counterparts(sources.fake, sources.inputs, sources.truth)
    for folder in {folder.path: folder for folder in sources.measured if not isinstance(folder, Learned)}.values():
        paths = list(folder.paths.values())
        tell_range(Domain(str(folder.path), paths, len(paths)), folder.value_range)
    real = measure(sources.real, features, cache)
    rows = {"translations": measure(sources.fake, features)}
    if sources.inputs is not None:
        rows["input unchanged"] = measure(sources.inputs, features, cache)
    advice.less = lambda error: for_measuring(torch.device("cpu"))  # the figures are of all images, whatever their size
    fake = rows["translations"]
    warn_of_sets(sources, real, fake, features)
    report = Report(*setting(opt, real, fake, features, libraries))
    report.details["value_ranges"] = sources.value_ranges
    if any(sources.value_ranges):
        report.setting += "; black and white: " + " / ".join(str(values or "dtype") for values in sources.value_ranges)
    report.skipped = [line for images in (real, *rows.values()) for line in images.skipped]
    for name, images in rows.items():
        report.counts[name] = len(images)
        vectors = real.features, images.features
        report.distribution[name] = figures(*vectors, opt.seed, opt.nearest, opt.kid_subset, opt.kid_subsets)
    if sources.truth is not None:
        lpips = load_lpips(opt.lpips_weights)
        report.paired = compare_pairs(sources, found, fake.keys, lpips, report.skipped)
    report.looks = count_looks(sources, found.images)
    report.findings = detect([real, *rows.values()], found, sources.truth, report.looks)
    log.info("%s", "\n".join(report.lines()))
    write(report, opt, sources, {"real": real, "translations": fake})
    return 1 if report.skipped else 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags. Raises `OptionError`."""
    parser = Parser(__doc__)
    add = parser.add_argument
    positive, size = partial(whole, low=1, high=2**31 - 1), partial(whole, low=2, high=2**31 - 1)
    add("--name", type=_text, help="name of a run; its results, data and direction are found automatically")
    add("--phase", default="test", help="--name: phase that was translated [default: test]")
    add("--epoch", default="latest", help="--name: epoch of the weights that translated [default: latest]")
    add("--export", default="", help="--name: network that translated, for a method that trains several [the first]")
    add("--checkpoints_dir", type=_path, default=Path("./checkpoints"), help="--name: folder that holds the runs")
    add("--results_dir", type=_path, default=Path("./results"), help="--name: folder that holds the results")
    add("--unpaired", action="store_true", help="--name: do not treat images with the same name as counterparts")
    add("--real", type=_path, help="folder with images of the target domain [those of --truth]")
    add("--fake", "--results", type=_path, help="folder with translations, or a results folder of test.py")
    add("--truth", type=_path, help="folder with the counterparts: <name>, or N_B for N_A")
    add("--inputs", type=_path, help="folder with the source images: measure them too, and check for common faults")
    add(
        "--train",
        type=_path,
        help="folder with target training images: their mean is a baseline, their looks the target",
    )
    add(
        "--value_range",
        type=ranges,
        help="file values to show as black and white, as in train.py [default: those of the run, else dtype]",
    )
    add("--features", default="builtin", metavar="NAME", help="builtin, inception, or a TorchScript file (.pt)")
    add("--weights", type=_path, help="--features inception: weights file")
    add("--feature_size", type=int, metavar="N", help="scale images to this many pixels [builtin: 128, file: 224]")
    add("--feature_range", choices=tuple(RANGES), default="imagenet", help="input range of a TorchScript file")
    add("--lpips_weights", type=_path, help="weights file of torchvision's AlexNet, for LPIPS")
    add(
        "--nearest",
        type=positive,
        default=NEAREST,
        help="nearest neighbors of precision, recall, density, coverage [default: 5]",
    )
    add("--kid_subset", type=size, default=SUBSET_SIZE, help="images per KID subset [default: 1000]")
    add("--kid_subsets", type=positive, default=SUBSETS, help="number of KID subsets [default: 100]")
    add("--seed", type=partial(whole, low=0, high=2**63 - 1), default=0, help="seed of the KID subsets [default: 0]")
    add("--gpu_ids", default="auto", help="device of the feature network, as in train.py")
    add("--no_cache", action="store_true", help="do not cache the features of real images")
    add("--json", type=_path, help="write all figures to this file [results of test.py: metrics.json in their folder]")
    add("--plot", type=_path, help="plot to this .png, .pdf or .svg [results of test.py: metrics.png in their folder]")
    return parser.parse_args(list(argv))


def _text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: give it a value or leave it out")
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def check(opt: argparse.Namespace, sources: Sources) -> None:
    """Before the work: raise `OptionError` for a file that cannot be written, `DataError` for unusable folders."""
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


def count_looks(sources: Sources, images: Mapping[str, str]) -> LookFigures | None:
    """Which looks the translations of the drawn data set show; None if they are not of its images (`images`)."""
    real = sources.real.path
    folder = sources.truth.path.name if sources.truth else "testB"  # scenes that the test inputs share
    if sources.looks is None or not (folder.endswith("B") and real.name.endswith("B")):  # only B has these looks
        return None
    try:
        files = read_truth(sources.looks)["files"]
        scenes = {name: name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/")}
        shown, true = [], []
        for fake, name in pair_images(images, scenes).found.items():
            try:
                picture = sources.fake.read(fake)
            except DataError:
                continue  # told of before
            shown.append(classify_look(picture, files[name]))
            true.append(int(files[name]["look"]))
    except (ToyError, ValueError, KeyError) as error:
        raise DataError(f"{sources.looks}: its looks.json is not usable: {error}") from None
    if not shown:
        return None
    domain = (sources.train or sources.real).path.name
    target = [image["look"] for name, image in files.items() if name.startswith(f"{domain}/")]
    counts = np.bincount(target, minlength=N_LOOKS).astype(np.int64)
    names = [look_name(look) for look in range(N_LOOKS)]
    return LookFigures(names, confusion_matrix(true, shown, N_LOOKS), counts)


def write(report: Report, opt: argparse.Namespace, sources: Sources, sets: dict[str, ImageSet]) -> None:
    """The files that were asked for; for a folder of test.py both, in it."""
    json_path = opt.json or (sources.results and sources.results / METRICS)
    plot_path = opt.plot or (sources.results and sources.results / METRICS_PLOT)
    if json_path:
        report.write_json(json_path)
        log.info("metrics: %s", json_path)
    if plot_path and (opt.plot or find_spec("matplotlib")):
        draw(report, {name: images.features for name, images in sets.items()}, plot_path)
        log.info("plot: %s", plot_path)


def command() -> None:
    """What `coopcut-evaluate` runs."""
    run_script(main)


if __name__ == "__main__":
    command()
