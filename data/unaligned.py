"""`--dataset_mode unaligned`: two folders of images that need not correspond."""

import logging
import os
from argparse import Namespace

from coopcut.data.base_dataset import DATASETS, ImageDataset
from coopcut.data.folders import Domain, find_domain, whats_in
from coopcut.util.errors import DataError

logger = logging.getLogger(__name__)


@DATASETS.register("unaligned")
class UnalignedDataset(ImageDataset):
    """<dataroot>/<phase>A and <dataroot>/<phase>B, e.g. trainA and trainB; their sizes may differ.

    `--direction BtoA` makes the images of folder B the source (A). In phase 'test', valA and valB stand in if there is
    no testA. Raises `DataError` if a folder is missing or has no images, saying what is there.
    """

    def __init__(self, opt: Namespace) -> None:
        phase = opt.phase
        if phase == "test" and not _is_folder(opt.dataroot, "testA") and _is_folder(opt.dataroot, "valA"):
            logger.info("no testA in %s: using valA and valB", opt.dataroot)
            phase = "val"
        names = (f"{phase}A", f"{phase}B")
        source, target = names if opt.direction == "AtoB" else names[::-1]
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


def _is_folder(root: str, name: str) -> bool:
    return os.path.isdir(os.path.join(root, name))
