"""`--dataset_mode images`: what a generator of noise learns from, without a source domain."""

import logging
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace

from PIL import Image
from torch import Tensor

from coopcut.data.base_dataset import DATASETS, BaseDataset
from coopcut.data.batch import Failure, Picture, SampleIndex
from coopcut.data.image_sources import Files, Packed, Points, Source, Stacked, open_images
from coopcut.data.order import epoch_order, sample_rng
from coopcut.data.value_range import tell_range
from coopcut.images.io import check_channels, to_tensor
from coopcut.images.pixels import parse_ranges
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)


@DATASETS.register("images")
class Images(BaseDataset):
    """Images of a folder, of a domain of a translation set, of MNIST's files, of a .npz file; or points.

    See `coopcut.data.image_sources`. Raises `DataError` for images that are smaller than --crop_size.
    """

    purpose = "generation"

    def __init__(self, opt: Namespace) -> None:
        super().__init__(opt)
        self.preprocess = replace(self.preprocess, multiple=1)  # the networks have sizes of their own
        self.source: Source = open_images(opt, opt.phase)
        self.paths_A, self.paths_B, self.folder = self.source.paths, [], self.source.folder
        self.class_names = list(self.source.class_names)
        self.channels, self.least = int(opt.output_nc), opt.crop_size if opt.preprocess == "square" else 1
        self.range = parse_ranges(opt.value_range)[1]
        if isinstance(self.source, Points):
            return
        check_channels(self.channels)
        if isinstance(self.source, Stacked) and self.channels != 3:
            raise DataError(f"--output_nc {self.channels}: stacked images have 3 channels: leave it out")
        if isinstance(self.source, Files):
            self.source.domain.refuse_inside("--checkpoints_dir", getattr(opt, "checkpoints_dir", ""))
            check_sizes(self.source.paths, self.least)
        elif isinstance(self.source, Packed):
            height, width = self.source.images.shape[1:3]
            check_size(self.source.file, (width, height), self.least)

    def __len__(self) -> int:
        return len(self.source.paths)

    def indices(self, epoch: int, seed: int, serial: bool) -> list[SampleIndex]:
        """Every image once."""
        order, _ = epoch_order(len(self), 0, epoch, seed, serial)
        return [SampleIndex(epoch, place, number, None) for place, number in enumerate(order.tolist())]

    def __getitem__(self, index: SampleIndex) -> Picture | Failure:
        path = self.source.paths[index.A]
        try:
            image = self.tensor(index)
        except DataError as error:
            return Failure(path, str(error))
        return Picture(image, path, None if self.source.labels is None else self.source.labels[index.A])

    def tensor(self, index: SampleIndex) -> Tensor:
        """An image as float32 [C, H, W] in [-1, 1], or a point [2, 1, 1]. Raises `DataError`."""
        source = self.source
        rng = sample_rng(self.seed, index.epoch, index.position, "B")
        if isinstance(source, Points):
            return source.point(rng)
        if isinstance(source, Packed):
            picture = source.image(index.A, rng).convert("L" if self.channels == 1 else "RGB")
            return to_tensor(self.preprocess(picture, rng, index.epoch))
        path = source.paths[index.A]
        check_size(path, self.cache.read(path, self.channels, self.range).size, self.least)
        return self.read(path, self.channels, self.range, index, "B")

    def describe(self) -> str:
        classes = f" of {len(self.class_names)} classes" if self.class_names else ""
        return f"{self.source.describe()}{classes}; an epoch is {len(self)} sample{'' if len(self) == 1 else 's'}"

    def tell_ranges(self) -> None:
        if isinstance(self.source, Files):
            tell_range(self.source.domain, self.range)

    def fingerprint(self) -> dict[str, list[tuple[str, int]]]:
        return {"images": self.source.fingerprint()}


def check_size(path: str, size: tuple[int, int], least: int) -> None:
    """Raise `DataError` for an image of width x height `size` that would have to be enlarged to `least` pixels."""
    if min(size) < least:
        smaller = f"--crop_size {min(size)}"
        raise DataError(f"{path}: {size[0]}x{size[1]} pixels, smaller than --crop_size {least}: use {smaller} or less")


def check_sizes(paths: Iterable[str], least: int) -> None:
    """`check_size` of files whose heads Pillow can read; the others are checked when they are read."""
    for path in paths:
        try:
            with Image.open(path) as head:
                size = head.size
        except Exception:
            continue
        check_size(path, size, least)


def stacked_labels(dataset: Images, index: SampleIndex) -> list[int]:
    """The classes of the three channels of a sample of `stacked:` data."""
    source = dataset.source
    assert isinstance(source, Stacked)
    assert source.single is not None
    rng = sample_rng(dataset.seed, index.epoch, index.position, "B")
    return [source.single[i] for i in source.chosen(rng)]
