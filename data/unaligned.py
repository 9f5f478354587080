"""`--dataset_mode unaligned`: two folders of images that need not correspond."""

import logging
import os
from argparse import Namespace

from coopcut.data.base_dataset import DATASETS, ImageDataset
from coopcut.data.folders import Domain, domains_of, find_domain, phase_of, whats_in
from coopcut.util.errors import DataError

logger = logging.getLogger(__name__)


@DATASETS.register("unaligned")
class UnalignedDataset(ImageDataset):
    """<dataroot>/<phase>A and <dataroot>/<phase>B, e.g. trainA and trainB; their sizes may differ.

    `--direction BtoA` makes the images of folder B the source (A). In phase 'test', valA and valB stand in if there is
    no testA. Raises `DataError` if a folder is missing or has no images, saying what is there.
    """

    def __init__(self, opt: Namespace) -> None:
        phase = phase_of(opt.dataroot, opt.phase, "AB")
        if phase != opt.phase:
            logger.info("no %sA and %sB in %s: using %sA and %sB", opt.phase, opt.phase, opt.dataroot, phase, phase)
        names = (f"{phase}A", f"{phase}B")
        source, target = (phase + letter for letter in domains_of(opt.direction))
        super().__init__(opt, _domain(opt, source, names), _domain(opt, target, names))


def _domain(opt: Namespace, name: str, names: tuple[str, str]) -> Domain:
    expected = (
        f"--dataset_mode unaligned expects images in {names[0]} and {names[1]} of --dataroot "
        "(to translate a folder without a target domain: test.py --dataset_mode single)"
    )
    folder = os.path.join(opt.dataroot, name)
    if os.path.isdir(opt.dataroot) and not os.path.isdir(folder):
        raise DataError(f"{folder}: no such folder; {expected}; {whats_in(opt.dataroot)}")
    return find_domain(folder, opt.max_dataset_size, expected)
