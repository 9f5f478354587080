"""The images to translate: of them only the source domain is needed, in whatever folder it lies."""

import os
from argparse import Namespace

from data.base_dataset import ImageDataset
from data.batch import Draw, Failure, Sample
from data.folders import Domain, find_domain, whats_in
from data.order import epoch_order
from util.errors import DataError

BUILT_IN = ("unaligned", "single")
_DOMAIN_FOLDERS = tuple(f"{phase}{domain}" for phase in ("train", "val", "test") for domain in "AB")


class TranslationDataset(ImageDataset):
    """<dataroot>/<phase>A if there is one (B for `--direction BtoA`; valA for a missing testA), else dataroot itself.

    The folder of the other domain need not be there; if it is, its i-th image is shown beside the i-th translation.
    `--dataset_mode single` takes dataroot, a folder or a file, as it is. Nothing is checked beforehand: an image that
    cannot be read becomes a `Failure` when its turn comes. Raises `DataError` if there are no images at all.
    """

    def __init__(self, opt: Namespace) -> None:
        source, target = ("A", "B") if opt.direction == "AtoB" else ("B", "A")
        root, phase = opt.dataroot, opt.phase
        if phase == "test" and not os.path.isdir(f"{root}/test{source}") and os.path.isdir(f"{root}/val{source}"):
            phase = "val"
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
                shown = find_domain(others, opt.max_dataset_size, "", check=False)
            except DataError:  # empty: there is nothing to show
                shown = None
        super().__init__(opt, images, shown)

    def __len__(self) -> int:
        return self.size_A

    def draws(self, epoch: int, seed: int, serial: bool) -> list[Draw]:
        """Every source image once, with the target image of the same number."""
        order, _ = epoch_order(self.size_A, 0, epoch, seed, serial)
        return [Draw(epoch, place, i, i if i < self.size_B else None) for place, i in enumerate(order.tolist())]

    def __getitem__(self, draw: Draw) -> Sample | Failure:
        result = super().__getitem__(draw)
        if isinstance(result, Failure) and draw.B is not None and result.path == self.paths_B[draw.B]:
            return super().__getitem__(Draw(draw.epoch, draw.position, draw.A, None))  # translated without its picture
        return result


def _has_domains(root: str) -> bool:
    """Whether a folder is laid out for training rather than full of images."""
    return any(os.path.isdir(os.path.join(root, name)) for name in _DOMAIN_FOLDERS)
