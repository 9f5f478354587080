"""`--dataset_mode single`: the images of one folder, or one file, without a target domain."""

from argparse import Namespace

from coopcut.data.base_dataset import DATASETS, ImageDataset
from coopcut.data.folders import find_domain


@DATASETS.register("single")
class SingleDataset(ImageDataset):
    """All images in the folder `--dataroot` and its sub-folders, or the one image file that it names.

    The folder is taken as given: no phase is appended. Raises `DataError` if it is missing or has no images.
    """

    trains = False  # there is no target domain to learn from

    def __init__(self, opt: Namespace) -> None:
        expected = "--dataset_mode single expects --dataroot to be a folder with images, or one image file"
        super().__init__(opt, find_domain(opt.dataroot, opt.max_dataset_size, expected), None)
