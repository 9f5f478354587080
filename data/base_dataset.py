"""What all data sets share: reading, preprocessing, order and description.

A new data set is one file in this folder:

    @DATASETS.register("my")
    class MyDataset(ImageDataset):
        '''What `--dataset_mode my` reads.'''

        def __init__(self, opt: Namespace) -> None:
            source = find_domain(os.path.join(opt.dataroot, "photos"), opt.max_dataset_size, "expected photos in it")
            super().__init__(opt, source, None)

It may also override `indices` (which images belong together) and `__getitem__` (how a sample is made).
"""

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from coopcut.data.batch import Failure, Picture, Sample, SampleIndex
from coopcut.data.cache import ImageCache
from coopcut.data.folders import Domain
from coopcut.data.order import epoch_order, sample_rng
from coopcut.data.transforms import Preprocess
from coopcut.data.value_range import tell_range
from coopcut.images.io import check_channels, to_tensor
from coopcut.images.pixels import Range, parse_ranges
from coopcut.util.errors import DataError
from coopcut.util.memory import is_out_of_memory, let_go
from coopcut.util.registry import Registry

DATASETS: Registry[type["BaseDataset"]] = Registry("dataset_mode")


class BaseDataset(Dataset[Sample | Picture | Failure], ABC):
    """What training asks of a data set.

    purpose: of the methods that learn from it. trains: whether any can. paths_A, paths_B: of the images, for messages.
    folder: where they are. class_names: those of the labels, by number; none without labels.
    """

    purpose: ClassVar[str] = "translation"
    trains: ClassVar[bool] = True
    class_names: Sequence[str] = ()
    paths_A: list[str]
    paths_B: list[str]
    folder: str

    def __init__(self, opt: Namespace) -> None:
        self.preprocess = Preprocess.from_options(opt)
        self.seed = int(opt.seed)
        budget = getattr(opt, "cache_images", 0.0) * 2**30
        scaled = opt.preprocess not in ("none", "crop", "zoom_and_crop", "square")
        flags = [*(["--num_threads"] if opt.num_threads > 1 else []), *(["--load_size"] if scaled else [])]
        self.less = (f"lower {' or '.join(flags)}, or " if flags else "") + "cut it into smaller images"
        self.cache = ImageCache(int(budget / max(1, opt.num_threads)))  # each worker process has its own

    @abstractmethod
    def __len__(self) -> int:
        """Samples per epoch."""

    @abstractmethod
    def indices(self, epoch: int, seed: int, serial: bool) -> list[SampleIndex]:
        """The samples of one epoch in order."""

    @abstractmethod
    def __getitem__(self, index: SampleIndex) -> Sample | Picture | Failure:
        """The images of `index`, read and preprocessed; a `Failure` if one of them cannot be used."""

    @abstractmethod
    def describe(self) -> str:
        """What is there, in a line for the log."""

    @abstractmethod
    def tell_ranges(self) -> None:
        """Log which values of the files become black and white; see `tell_range`."""

    @abstractmethod
    def fingerprint(self) -> dict[str, list[tuple[str, int]]]:
        """The images by name and size in bytes, for `Peers.check_same`."""

    def read(self, path: str, channels: int, value_range: Range | None, index: SampleIndex, domain: str) -> Tensor:
        """One preprocessed image as float32 [channels, H, W] in [-1, 1]."""
        try:
            img = self.cache.read(path, channels, value_range)
            rng = sample_rng(self.seed, index.epoch, index.position, domain)
            return to_tensor(self.preprocess(img, rng, index.epoch))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = let_go(error)
        raise DataError(f"{path}: out of memory while reading its {_size(path)} pixels ({reason}): {self.less}")


class ImageDataset(BaseDataset):
    """Images of a source domain A and, unless `target` is None, of a target domain B.

    From `opt`: input_nc and output_nc (channels of A and B), seed (of crops and flips), and what `Preprocess` takes.
    """

    def __init__(self, opt: Namespace, source: Domain, target: Domain | None) -> None:
        for domain in (source, target) if target else (source,):
            option = "checkpoints_dir" if opt.isTrain else "results_dir"
            domain.refuse_inside(f"--{option}", getattr(opt, option, ""))
        super().__init__(opt)
        self.source, self.target, self.folder = source, target, source.folder
        self.paths_A = source.paths
        self.paths_B = target.paths if target else []
        self.channels_A = int(opt.input_nc)
        self.channels_B = int(opt.output_nc)
        for channels in (self.channels_A, self.channels_B) if target else (self.channels_A,):
            check_channels(channels)
        self.range_A, self.range_B = parse_ranges(opt.value_range)

    @property
    def size_A(self) -> int:
        """Number of source images."""
        return len(self.paths_A)

    @property
    def size_B(self) -> int:
        """Number of target images; 0 without a domain B."""
        return len(self.paths_B)

    def __len__(self) -> int:
        """Samples per epoch: the images of the larger domain."""
        return max(self.size_A, self.size_B)

    def indices(self, epoch: int, seed: int, serial: bool) -> list[SampleIndex]:
        """The samples of one epoch in order, both domains in their own (see `epoch_order`)."""
        A, B = epoch_order(self.size_A, self.size_B, epoch, seed, serial)
        B_or_none = B.tolist() if self.size_B else [None] * len(A)
        return [SampleIndex(epoch, i, a, b) for i, (a, b) in enumerate(zip(A.tolist(), B_or_none, strict=True))]

    def __getitem__(self, index: SampleIndex) -> Sample | Failure:
        """The images of `index`, read and preprocessed; a `Failure` if one of them cannot be used."""
        path_A = self.paths_A[index.A]
        path_B = None if index.B is None else self.paths_B[index.B]
        try:
            A = self.read(path_A, self.channels_A, self.range_A, index, "A")
        except DataError as error:
            return Failure(path_A, str(error))
        if path_B is None:
            return Sample(A, None, path_A, None)
        try:
            B = self.read(path_B, self.channels_B, self.range_B, index, "B")
        except DataError as error:
            return Failure(path_B, str(error))
        return Sample(A, B, path_A, path_B)

    def describe(self) -> str:
        """For example 'A: 1067 images in .../trainA, B: 1334 images in .../trainB; an epoch is 1334 samples'."""
        parts = [f"A: {self.source.describe()}"]
        if self.target:
            parts.append(f"B: {self.target.describe()}")
        return f"{', '.join(parts)}; an epoch is {len(self)} sample{'' if len(self) == 1 else 's'}"

    def tell_ranges(self) -> None:
        """Log which values of the files become black and white; see `tell_range`."""
        tell_range(self.source, self.range_A)
        if self.target is not None:
            tell_range(self.target, self.range_B)

    def fingerprint(self) -> dict[str, list[tuple[str, int]]]:
        domains = {"A": self.source, "B": self.target}
        return {f"domain {name}": domain.fingerprint() for name, domain in domains.items() if domain}


def _size(path: str) -> str:
    with suppress(Exception), Image.open(path) as img:
        return f"{img.width}x{img.height}"
    return "many"
