"""Images in, batches out: `create_loader(opt)` gives an `EpochLoader`, whose `epoch(n)` yields `Batch`es.

A data set is a class registered under its `--dataset_mode` in a file of this folder; see `coopcut.data.base_dataset`.
"""

import logging
from argparse import Namespace

from coopcut.data.base_dataset import DATASETS, BaseDataset
from coopcut.data.batch import Batch, Failure, Sample
from coopcut.data.held_out import HeldOut, HeldOutSamples
from coopcut.data.loader import EpochLoader
from coopcut.data.transforms import PREPROCESS_MODES
from coopcut.data.translation import BUILT_IN, TranslationDataset, other_way
from coopcut.engine.processes.collectives import rank, world_size
from coopcut.options.option import Options
from coopcut.util.errors import DataError, OptionError
from coopcut.util.registry import import_submodules

import_submodules("coopcut.data")

__all__ = [
    "DATASETS",
    "PREPROCESS_MODES",
    "Batch",
    "EpochLoader",
    "Failure",
    "HeldOut",
    "HeldOutSamples",
    "Sample",
    "create_dataset",
    "create_held_out",
    "create_loader",
    "create_translation_loader",
]

logger = logging.getLogger(__name__)


def create_dataset(opt: Namespace) -> BaseDataset:
    """The data set that `opt.dataset_mode` names, with its image counts logged. Raises `DataError`, `OptionError`."""
    dataset = DATASETS[opt.dataset_mode](opt)
    logger.info(dataset.describe())
    dataset.tell_ranges()
    return dataset


def create_translation_loader(opt: Namespace, source: str = "A") -> EpochLoader:
    """The loader of the images to translate; its `iterate` hands over those that cannot be read as `Failure`.

    source: the domain of a run that is translated. B becomes A here, as with the other --direction.
    """
    opt = opt if source == "A" else other_way(opt)
    dataset: BaseDataset = TranslationDataset(opt) if opt.dataset_mode in BUILT_IN else DATASETS[opt.dataset_mode](opt)
    logger.info(dataset.describe())
    dataset.tell_ranges()
    return EpochLoader(dataset, opt)


def create_loader(opt: Namespace) -> EpochLoader:
    """The loader of `create_dataset(opt)`. In training, a batch larger than the data set is a `DataError`."""
    dataset = create_dataset(opt)
    if opt.isTrain and opt.batch_size > len(dataset):
        images = "1 image" if len(dataset) == 1 else f"{len(dataset)} images"
        raise DataError(
            f"--batch_size {opt.batch_size} is larger than the data set ({images}): "
            f"use --batch_size {len(dataset)} or less, or more images"
        )
    if opt.batch_size % world_size():
        raise OptionError(
            f"--batch_size {opt.batch_size} does not divide evenly among {world_size()} processes: it counts the "
            f"images of all of them together; use a multiple of {world_size()}"
        )
    return EpochLoader(dataset, opt, rank(), world_size())


if __name__ == "data":  # by the name of earlier versions
    from coopcut.util.earlier_names import lead_on

    lead_on(__name__)


def create_held_out(opt: Options) -> HeldOut | HeldOutSamples:
    """The images that training is measured against: test images, for methods of the data set's purpose."""
    return HeldOut(opt) if DATASETS[opt.dataset_mode].purpose == "translation" else HeldOutSamples(opt)
