"""Images in, batches out: `create_loader(opt)` gives an `EpochLoader`, whose `epoch(n)` yields `Batch`es.

A data set is a class registered under its `--dataset_mode` in a file of this folder; see `data.base_dataset`.
"""

import logging
import sys
from argparse import Namespace

from data.base_dataset import DATASETS, ImageDataset
from data.batch import Batch
from data.loader import EpochLoader
from data.transforms import PREPROCESS_MODES
from util.errors import DataError
from util.registry import import_submodules

import_submodules(sys.modules[__name__])

DATASET_CHOICES = {"dataset_mode": DATASETS, "preprocess": PREPROCESS_MODES}

__all__ = ["DATASETS", "DATASET_CHOICES", "Batch", "EpochLoader", "create_dataset", "create_loader"]

logger = logging.getLogger(__name__)


def create_dataset(opt: Namespace) -> ImageDataset:
    """The data set that `opt.dataset_mode` names, with its image counts logged. Raises `DataError`, `OptionError`."""
    dataset = DATASETS[opt.dataset_mode](opt)
    logger.info(dataset.describe())
    return dataset


def create_loader(opt: Namespace) -> EpochLoader:
    """The loader of `create_dataset(opt)`. In training, a batch larger than the data set is a `DataError`."""
    dataset = create_dataset(opt)
    if opt.isTrain and opt.batch_size > len(dataset):
        raise DataError(
            f"--batch_size {opt.batch_size} is larger than the data set ({len(dataset)} images): "
            f"use --batch_size {len(dataset)} or less, or more images"
        )
    return EpochLoader(dataset, opt.batch_size, opt.num_threads, opt.seed, opt.serial_batches)
