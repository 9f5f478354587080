"""Translate images with a trained model: python test.py --name horse2zebra_coopcut --dataroot ./photos

With a model of images from noise: python test.py --name faces_gan --num_test 64 --seed 1
"""

import coopcut.util.interrupts  # noqa: F401 (before torch)

# isort: split
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from coopcut.data import EpochLoader, Failure, Sample, create_translation_loader
from coopcut.engine.device import choose_device, set_up
from coopcut.engine.processes.peers import DIFFERENT_IMAGES, DIFFERENT_OPTIONS, Peers, join
from coopcut.inference.completion import complete, restore
from coopcut.inference.results import Results
from coopcut.inference.sampler import Sampler
from coopcut.inference.samples import sample as make_samples
from coopcut.inference.translator import Translator, same_size_runs
from coopcut.models import MODELS
from coopcut.options.option import Options
from coopcut.options.parser import OptionParser
from coopcut.options.saved import to_dict
from coopcut.options.savings import for_translating
from coopcut.util.cli import run_script
from coopcut.util.errors import DataError, OptionError
from coopcut.util.memory import free_memory, is_out_of_memory, let_go, memory_advice

log = logging.getLogger("test")

OF_TASKS = {"mask": ["complete"], "search_starts": ["complete"], "search_steps": ["complete", "restore"],
            "restore_displacement": ["restore"], "truncation": ["sample"], "interpolate": ["sample"]}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Parse, load, translate or sample, together with the other processes if torchrun started several.

    Returns the exit code.
    """
    with join() as peers, memory_advice() as advice:
        with peers.agreed():
            opt = OptionParser(False).parse(argv)
            device = choose_device(opt.gpu_ids)
            advice.less = lambda error: for_translating(opt, device)
            set_up(opt.seed, opt.deterministic, device, opt.tf32)
            sampler = Sampler.from_options(opt) if MODELS[opt.model].purpose == "generation" else None
        if sampler is not None:
            peers.check_same(lambda: to_dict(opt), DIFFERENT_OPTIONS)
            return run_sampler(opt, sampler, peers)
        with peers.agreed():
            translator = Translator.from_options(opt)
            loader = create_translation_loader(opt, translator.export.source)
            results = Results(opt, loader.dataset.folder, MODELS[opt.model].suffix(opt.export))
        peers.check_same(lambda: to_dict(opt), DIFFERENT_OPTIONS)
        peers.check_same(loader.fingerprint, DIFFERENT_IMAGES)
        return run(opt, translator, loader, results, peers)


def run_sampler(opt: Options, sampler: Sampler, peers: Peers) -> int:
    """Do what --task says with a generator of noise; the exit code."""
    for flag, tasks in OF_TASKS.items():
        if flag in opt.given and opt.task not in tasks:
            raise OptionError(f"--{flag} is for --task {' or '.join(tasks)}: leave it out")
    if opt.task == "sample":
        if "dataroot" in opt.given:
            raise OptionError(f"--dataroot: --model {opt.model} translates no images: leave it out, or see --task")
        return make_samples(opt, sampler, peers)
    if not peers.alone:
        raise OptionError(f"--task {opt.task} runs in one process: start it without torchrun")
    return {"complete": complete, "restore": restore}[opt.task](opt, sampler)


def run(opt: Options, translator: Translator, loader: EpochLoader, results: Results, peers: Peers) -> int:
    """Translate; the first process makes the pages of all. The exit code is 0, or 1 if images had to be skipped."""
    if opt.verbose:
        log.info("%s", translator.generator)
    if opt.preprocess == "resize_and_crop":
        sizes = f"scaled to {opt.load_size}x{opt.load_size}"
        sizes += f", cut to {opt.crop_size}x{opt.crop_size}" if opt.crop_size < opt.load_size else ""
        log.info("images are %s pixels, as in CUT; --preprocess none keeps their own sizes", sizes)
    try:
        with peers.agreed():
            skipped = translate(opt, translator, loader, results, peers)
            unwritten = results.finish()
            if results.rows:
                tell_skipped(unwritten, peers)
            skipped += unwritten
    finally:
        results.close()
        loader.close()
    if not peers.alone:
        skipped = [line for lines in peers.collect(skipped) for line in lines]
        results.merge([row for rows in peers.collect(results.rows) for row in rows])
    with peers.agreed():
        if not results.rows:
            number = len(skipped)
            some = f"none of the {number} images in {opt.dataroot} could be read and translated; the first: "
            raise DataError((some if number > 1 else "") + skipped[0])
        if peers.rank == 0:
            tell(*results.write_pages(), results, len(skipped))
    return 1 if skipped else 0


def tell(page: Path, sheet: Path, results: Results, skipped: int) -> None:
    """Say where the results are."""
    number = len(results.rows)
    what = "1 image" if number == 1 else f"{number} images"
    log.info("%s translated%s", what, f", {skipped} skipped" if skipped else "")
    log.info("%scontact sheet: %s", f"page: {page}\n" if page.is_file() else "", sheet)


def translate(opt: Options, translator: Translator, loader: EpochLoader, results: Results, peers: Peers) -> list[str]:
    """Translate and save every image; returns a line for each that could not be read or does not fit into memory.

    Of N processes each takes every N-th batch, so that the pixels are those that one process would make.
    """
    indices = loader.indices(1)
    if opt.num_test < len(indices):
        log.info("--num_test: translating %d of %d images", opt.num_test, len(indices))
        indices = indices[: int(opt.num_test)]
    if not peers.alone:
        results.plan([loader.dataset.paths_A[index.A] for index in indices])
        shares = [indices[i : i + loader.batch_size] for i in range(0, len(indices), loader.batch_size)]
        indices = [index for batch in shares[peers.rank :: peers.size] for index in batch]
    skipped: list[str] = []
    attempts = Attempts(opt, translator, results)
    with tqdm(total=len(indices), unit="image", desc="translating", disable=peers.rank > 0 or None) as bar:
        for items in loader.iterate(indices):
            lines = [item.message for item in items if isinstance(item, Failure)]
            number = len(items)
            batches = _batches([item for item in items if isinstance(item, Sample)])
            lines += [line for samples in batches for line in attempts(samples)]
            items.clear()  # else they would be in memory while the next ones are read
            if lines and len(indices) == 1 and peers.alone:
                raise DataError(lines[0])
            tell_skipped(lines, peers)
            skipped += lines
            bar.update(number)
    return skipped


def tell_skipped(lines: list[str], peers: Peers) -> None:
    """Log why images are left out."""
    for line in lines:
        log.log(logging.WARNING if peers.alone else logging.ERROR, "skipped: %s", line)


class Attempts:
    """Translates samples of one size and adds them to the results; a batch that does not fit into memory, one by one.

    Returns a line for each sample that does not fit alone.
    """

    def __init__(self, opt: Options, translator: Translator, results: Results) -> None:
        self.opt, self.translator, self.results = opt, translator, results
        self.told = False

    def __call__(self, samples: list[Sample]) -> list[str]:
        fakes: list[Tensor] = []
        images = [sample.A for sample in samples]
        reason = self._run_out(lambda: fakes.extend(self.translator.translate(torch.stack(images))))
        if reason is None:
            return [line for sample, fake in zip(samples, fakes, strict=True) for line in self._add(sample, fake)]
        if len(samples) == 1:
            return [self._too_large(samples[0], reason)]
        self._tell(samples)
        return [line for sample in samples for line in self([sample])]

    def _add(self, sample: Sample, fake: Tensor) -> list[str]:
        pictures = {"real_A": sample.A, "fake_B": fake, "real_B": sample.B}
        reason = self._run_out(lambda: self.results.add(sample.A_path, pictures))
        return [] if reason is None else [self._too_large(sample, reason)]

    def _run_out(self, action: Callable[[], None]) -> str | None:
        """Do `action`; if it runs out of memory, free what it took and return what the allocator said."""
        try:
            action()
            return None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = let_go(error)
        free_memory(self.translator.device)  # here, because the error would hold the tensors of what failed
        return reason

    def _too_large(self, sample: Sample, reason: str) -> str:
        height, width = sample.A.shape[1:]
        less = for_translating(self.opt, self.translator.device, width) or "cut it into smaller images"
        return f"{sample.A_path}: {width}x{height} pixels do not fit into memory ({reason}): {less}"

    def _tell(self, samples: list[Sample]) -> None:
        """Say once that batches are too large: it costs time, and with batch norm it changes pixels."""
        if not self.told:
            number, (height, width) = len(samples), samples[0].A.shape[1:]
            alone = "" if self.translator.pure else ", each normalized by its own statistics (see --eval)"
            what = f"{number} images of {width}x{height} pixels at once do not fit into memory"
            log.warning("%s: translating them one by one%s; lower --batch_size to avoid this", what, alone)
        self.told = True


def _batches(samples: list[Sample]) -> Iterator[list[Sample]]:
    """`samples` in order, those of one size together."""
    for run in same_size_runs([sample.A for sample in samples]):
        yield [samples[i] for i in run]


def command() -> None:
    """What `coopcut-test` runs."""
    run_script(main)


if __name__ == "__main__":
    command()
