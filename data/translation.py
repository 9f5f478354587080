"""The images to translate: only the source domain is needed, in any folder."""

import math
import os
from argparse import Namespace
from pathlib import Path

from coopcut.data.base_dataset import ImageDataset
from coopcut.data.batch import Failure, Sample, SampleIndex
from coopcut.data.folders import Domain, domains_of, find_domain, phase_of, whats_in
from coopcut.data.order import epoch_order
from coopcut.images.names import DOMAIN_FOLDERS, pair_names
from coopcut.util.errors import DataError

BUILT_IN = ("unaligned", "single")


class TranslationDataset(ImageDataset):
    """<dataroot>/<phase>A if there is one (B for `--direction BtoA`; valA for a missing testA), else dataroot itself.

    The folder of the other domain need not be there; if it is, the counterpart of a source image (see
    `coopcut.images.names`) is shown beside its translation. `--dataset_mode single` takes dataroot, a folder or file,
    as it is. Nothing is checked before: an image that cannot be read becomes a `Failure` when its turn comes. Raises
    `DataError` if there are no images at all.
    """

    def __init__(self, opt: Namespace) -> None:
        source, target = domains_of(opt.direction)
        root, phase = opt.dataroot, phase_of(opt.dataroot, opt.phase, source)
        folder = os.path.join(root, phase + source)
        literal = opt.dataset_mode == "single" or not os.path.isdir(root) or not _has_domains(root)
        expected = f"expected a folder with images to translate, one image file, or a folder that holds {phase}{source}"
        if not literal and not os.path.isdir(folder):
            raise DataError(
                f"{folder}: no such folder; {expected}; {whats_in(root)}; see --phase and --dataset_mode single"
            )
        images = find_domain(root if literal else folder, opt.max_dataset_size, expected, check=False)
        others = os.path.join(root, phase + target)
        shown: Domain | None = None
        if not literal and os.path.isdir(others):
            try:
                shown = find_domain(others, math.inf, "", check=False)  # no counterpart lies beyond a limit
            except DataError:  # empty: there is nothing to show
                shown = None
        super().__init__(opt, images, shown)
        self.counterparts = _counterparts(images, shown) if shown else {}

    def __len__(self) -> int:
        return self.size_A

    def indices(self, epoch: int, seed: int, serial: bool) -> list[SampleIndex]:
        """Every source image once, with its counterpart."""
        order, _ = epoch_order(self.size_A, 0, epoch, seed, serial)
        return [SampleIndex(epoch, place, i, self.counterparts.get(i)) for place, i in enumerate(order.tolist())]

    def describe(self) -> str:
        """For example 'A: 3 images in data/testA, B: 4 images in data/testB; 1 of 3 has no counterpart in B'."""
        text = f"A: {self.source.describe()}"
        if self.target is None:
            return text
        without = self.size_A - len(self.counterparts)
        if not without:
            told = "each is shown beside the translation of the A image with the same name"
        elif self.counterparts:
            told = f"{without} of {self.size_A} {'has' if without == 1 else 'have'} no counterpart in B"
        else:
            told = "none is shown, because no name matches an image of A"
        return f"{text}, B: {self.target.describe()}; {told}"

    def __getitem__(self, index: SampleIndex) -> Sample | Failure:
        result = super().__getitem__(index)
        if isinstance(result, Failure) and index.B is not None and result.path == self.paths_B[index.B]:
            return super().__getitem__(
                SampleIndex(index.epoch, index.position, index.A, None)
            )  # translated without its picture
        return result


def other_way(opt: Namespace) -> Namespace:
    """`opt` with the domains swapped."""
    direction = {"AtoB": "BtoA", "BtoA": "AtoB"}[opt.direction]
    ranges = "/".join(opt.value_range.split("/")[::-1])
    swapped = {"direction": direction, "input_nc": opt.output_nc, "output_nc": opt.input_nc, "value_range": ranges}
    return Namespace(**vars(opt) | swapped)


def _counterparts(images: Domain, others: Domain) -> dict[int, int]:
    """Numbers of images -> numbers of their counterparts, for which images that a limit leaves out count too."""
    complete = find_domain(images.folder, math.inf, "", check=False)
    numbers, other_numbers = _numbers(complete), _numbers(others)
    found = {numbers[name]: other_numbers[other] for name, other in pair_names(numbers, other_numbers).found.items()}
    return {number: other for number, other in found.items() if number < len(images.paths)}


def _numbers(domain: Domain) -> dict[str, int]:
    return {Path(path).relative_to(domain.folder).as_posix(): number for number, path in enumerate(domain.paths)}


def _has_domains(root: str) -> bool:
    """Whether a folder is laid out for training rather than full of images."""
    return any(os.path.isdir(os.path.join(root, name)) for name in DOMAIN_FOLDERS)
