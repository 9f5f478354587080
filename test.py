"""Translate images with a trained model: python test.py --name horse2zebra_coopcut --dataroot ./photos"""

import util.interrupts  # noqa: F401 (before torch)

# isort: split
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from data import DATASET_CHOICES, EpochLoader, Failure, Sample, create_translation_loader
from models import MODELS, NETWORK_CHOICES, Translator
from models.translator import same_size_runs
from options.option import Options
from options.parser import OptionParser
from options.saved import to_dict
from util.cli import run_script
from util.distributed import DIFFERENT_IMAGES, DIFFERENT_OPTIONS, Peers, join
from util.errors import DataError
from util.results import Results
from util.runtime import choose_devices, set_up

log = logging.getLogger("test")


def main(argv: Sequence[str]) -> int:
    """Parse, load, translate, together with the other processes if torchrun started several; returns the exit code."""
    with join() as peers:
        with peers.agreed():
            opt = OptionParser(False, MODELS, NETWORK_CHOICES | DATASET_CHOICES).parse(argv)
            set_up(opt.seed, opt.deterministic, choose_devices(opt.gpu_ids)[0], opt.tf32)
            translator = Translator.from_options(opt)
            loader = create_translation_loader(opt)
            results = Results(opt, loader.dataset.source.folder)
        peers.check_same(lambda: to_dict(opt), DIFFERENT_OPTIONS)
        peers.check_same(loader.fingerprint, DIFFERENT_IMAGES)
        return run(opt, translator, loader, results, peers)


def run(opt: Options, translator: Translator, loader: EpochLoader, results: Results, peers: Peers) -> int:
    """Translate; the first process makes the pages of all. The exit code is 0, or 1 if images had to be skipped."""
    if opt.verbose:
        log.info("%s", translator.generator)
    if opt.preprocess == "resize_and_crop":
        sizes = f"scaled to {opt.load_size}x{opt.load_size}"
        sizes += f", cut to {opt.crop_size}x{opt.crop_size}" if opt.crop_size < opt.load_size else ""
        log.info("images are %s pixels, as CUT does; --preprocess none keeps the size of each", sizes)
    try:
        with peers.agreed():
            skipped = translate(opt, translator, loader, results, peers)
            results.finish()
    finally:
        results.close()
        loader.close()
    if not peers.alone:
        skipped = sum(peers.collect(skipped))
        results.merge([row for rows in peers.collect(results.rows) for row in rows])
    with peers.agreed():
        if not results.rows:
            raise DataError(f"none of the {skipped} images in {opt.dataroot} could be read")
        if peers.rank == 0:
            tell(*results.write_pages(), results, skipped)
    return 1 if skipped else 0


def tell(page: Path, sheet: Path, results: Results, skipped: int) -> None:
    """Say where the results are."""
    number = len(results.rows)
    what = "1 image" if number == 1 else f"{number} images"
    log.info("%s translated%s", what, f", {skipped} skipped" if skipped else "")
    log.info("%scontact sheet: %s", f"page: {page}\n" if page.is_file() else "", sheet)


def translate(opt: Options, translator: Translator, loader: EpochLoader, results: Results, peers: Peers) -> int:
    """Translate and save every image; returns how many could not be read.

    Of N processes each takes every N-th batch, so that the pixels are those that one process would make.
    """
    draws = loader.draws(1)
    if opt.num_test < len(draws):
        log.info("--num_test: %d of %d images", opt.num_test, len(draws))
        draws = draws[: int(opt.num_test)]
    if not peers.alone:
        results.plan([loader.dataset.paths_A[draw.A] for draw in draws])
        batches = [draws[i : i + loader.batch_size] for i in range(0, len(draws), loader.batch_size)]
        draws = [draw for batch in batches[peers.rank :: peers.size] for draw in batch]
    skipped = 0
    with tqdm(total=len(draws), unit="image", desc="translating", disable=peers.rank > 0 or None) as bar:
        for items in loader.iterate(draws):
            for failure in [item for item in items if isinstance(item, Failure)]:
                if len(draws) == 1 and peers.alone:
                    raise DataError(failure.message)
                log.log(logging.WARNING if peers.alone else logging.ERROR, "skipped: %s", failure.message)
                skipped += 1
            for samples in _batches([item for item in items if isinstance(item, Sample)]):
                fakes = translator.translate(torch.stack([sample.A for sample in samples]))
                for sample, fake in zip(samples, fakes, strict=True):
                    results.add(sample.A_path, {"real_A": sample.A, "fake_B": fake, "real_B": sample.B})
            bar.update(len(items))
    return skipped


def _batches(samples: list[Sample]) -> Iterator[list[Sample]]:
    """`samples` in order, those of one size together."""
    for run in same_size_runs([sample.A for sample in samples]):
        yield [samples[i] for i in run]


if __name__ == "__main__":
    run_script(main)
