"""Images that training does not see, preprocessed as `test.py` would."""

import logging
import os
from argparse import Namespace

import numpy as np
from torch import Tensor

from coopcut.data.batch import SampleIndex
from coopcut.data.folders import domains_of, find_domain, phase_of
from coopcut.data.image_sources import Points
from coopcut.data.images import Images
from coopcut.data.transforms import Preprocess
from coopcut.images.io import read_image, to_tensor
from coopcut.images.pixels import parse_ranges
from coopcut.options.option import Options
from coopcut.util.errors import DataError

log = logging.getLogger(__name__)


class HeldOut:
    """The first images of <dataroot>/testA and testB (valA and valB for missing ones), at most --eval_num of each.

    `--direction BtoA` makes the images of folder B the source, A here. Raises `DataError` if there are fewer than 2 of
    a domain.
    """

    def __init__(self, opt: Options) -> None:
        phase = phase_of(opt.dataroot, "test", "AB")
        folders = [os.path.join(opt.dataroot, phase + domain) for domain in domains_of(opt.direction)]
        if not all(map(os.path.isdir, folders)):
            raise DataError(
                f"--eval_freq {opt.eval_freq}: {opt.dataroot} has no held-out images: expected testA and testB, or "
                "valA and valB; create them, or leave --eval_freq out"
            )
        expected = "--eval_freq expects images there"
        self.domains = [find_domain(folder, opt.eval_num, expected) for folder in folders]
        for domain in self.domains:
            if len(domain.paths) < 2:
                raise DataError(f"--eval_freq {opt.eval_freq}: {domain.describe()}: at least 2 images are needed")
        self.paths = {name: domain.paths for name, domain in zip("AB", self.domains, strict=True)}
        self.description = ", ".join(domain.describe() for domain in self.domains)
        self.channels = {"A": int(opt.input_nc), "B": int(opt.output_nc)}
        self.ranges = dict(zip("AB", parse_ranges(opt.value_range), strict=True))
        self.preprocess = Preprocess.from_options(_translating(opt))

    def fingerprint(self) -> dict[str, list[tuple[str, int]]]:
        """The images of both domains, for `Peers.check_same`."""
        return {
            f"held-out domain {name}": domain.fingerprint() for name, domain in zip("AB", self.domains, strict=True)
        }

    def read(self, domain: str, index: int) -> Tensor:
        """An image of domain A (source) or B (target), [C, H, W] in [-1, 1]."""
        image = read_image(self.paths[domain][index], self.channels[domain], self.ranges[domain])
        return to_tensor(self.preprocess(image, np.random.default_rng(0), 1))


def _translating(opt: Options) -> Namespace:
    """`opt` with the scale at which `test.py` translates by default: nothing is cut off or flipped at random."""
    usual = "scale_width" if opt.preprocess.startswith("scale_width") else "none"
    mode = opt.preprocess if opt.preprocess in ("resize_and_crop", "square") else usual
    load_size = max(opt.load_size, opt.crop_size) if usual == "scale_width" else opt.crop_size
    return Namespace(
        preprocess=mode,
        load_size=load_size,
        crop_size=opt.crop_size,
        random_scale_max=opt.random_scale_max,
        no_flip=True,
        isTrain=False,
    )


class HeldOutSamples:
    """Images that samples of a generator are measured against, at most --eval_num: test images, or training ones.

    Those of testX of a translation set, t10k-... of MNIST, or x_test of a .npz file. Where nothing is held out it is
    the training images, as usual for the FID of generators, and the log says so.
    """

    def __init__(self, opt: Options) -> None:
        chosen = Namespace(
            **vars(opt) | {"phase": "test", "no_flip": True, "max_dataset_size": opt.eval_num, "isTrain": False}
        )
        self.dataset = Images(chosen)
        source = self.dataset.source
        if isinstance(source, Points):
            raise DataError(f"--eval_freq {opt.eval_freq}: points have no such figures: leave it out")
        if len(source.paths) < 2:
            raise DataError(f"--eval_freq {opt.eval_freq}: {source.describe()}: at least 2 images are needed")
        self.paths = {"B": source.paths}
        self.description = source.describe()
        if not source.held_out:
            log.info("no images are held out: samples are measured against training images")

    def fingerprint(self) -> dict[str, list[tuple[str, int]]]:
        """The images, for `Peers.check_same`."""
        return {f"held-out {name}": found for name, found in self.dataset.fingerprint().items()}

    def read(self, domain: str, index: int) -> Tensor:
        """An image, [C, H, W] in [-1, 1]."""
        return self.dataset.tensor(SampleIndex(1, index, index, None))
