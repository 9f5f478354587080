"""Images that training does not see, preprocessed as `test.py` would."""

import os
from argparse import Namespace

import numpy as np
from torch import Tensor

from coopcut.data.folders import find_domain
from coopcut.data.transforms import Preprocess
from coopcut.images.io import read_image, to_tensor
from coopcut.images.pixels import Range, parse_ranges
from coopcut.options.option import Options
from coopcut.util.errors import DataError


class HeldOut:
    """The first images of <dataroot>/testA and testB (valA and valB for missing ones), at most --eval_num of each.

    `--direction BtoA` makes the images of folder B the source, A here. Raises `DataError` if there are fewer than 2 of
    a domain.
    """

    def __init__(self, opt: Options) -> None:
        source, target = ("A", "B") if opt.direction == "AtoB" else ("B", "A")
        for phase in ("test", "val"):
            folders = [os.path.join(opt.dataroot, phase + domain) for domain in (source, target)]
            if all(map(os.path.isdir, folders)):
                break
        else:
            raise DataError(
                f"--eval_freq {opt.eval_freq}: {opt.dataroot} has no held-out images: expected testA and testB, or "
                "valA and valB; make them, or leave --eval_freq out"
            )
        expected = "--eval_freq expects images there"
        self.domains = [find_domain(folder, opt.eval_num, expected) for folder in folders]
        for domain in self.domains:
            if len(domain.paths) < 2:
                raise DataError(f"--eval_freq {opt.eval_freq}: {domain.describe()}: at least 2 images are needed")
        self.paths_A, self.paths_B = (domain.paths for domain in self.domains)
        self.description = ", ".join(domain.describe() for domain in self.domains)
        self.channels_A, self.channels_B = int(opt.input_nc), int(opt.output_nc)
        self.range_A, self.range_B = parse_ranges(opt.value_range)
        self.preprocess = Preprocess.from_options(_translating(opt))

    def fingerprint(self) -> dict[str, list[tuple[str, int]]]:
        """The images of both domains, for `Peers.check_same`."""
        return {
            f"held-out domain {name}": domain.fingerprint() for name, domain in zip("AB", self.domains, strict=True)
        }

    def A(self, index: int) -> Tensor:
        """A source image, [input_nc, H, W] in [-1, 1]."""
        return self._read(self.paths_A[index], self.channels_A, self.range_A)

    def B(self, index: int) -> Tensor:
        """A target image, [output_nc, H, W] in [-1, 1]."""
        return self._read(self.paths_B[index], self.channels_B, self.range_B)

    def _read(self, path: str, channels: int, value_range: Range | None) -> Tensor:
        return to_tensor(self.preprocess(read_image(path, channels, value_range), np.random.default_rng(0), 1))


def _translating(opt: Options) -> Namespace:
    """`opt` with the scale at which `test.py` translates by default: nothing is cut off or flipped at random."""
    usual = "scale_width" if opt.preprocess.startswith("scale_width") else "none"
    mode = opt.preprocess if opt.preprocess == "resize_and_crop" else usual
    load_size = max(opt.load_size, opt.crop_size) if usual == "scale_width" else opt.crop_size
    return Namespace(
        preprocess=mode,
        load_size=load_size,
        crop_size=opt.crop_size,
        random_scale_max=opt.random_scale_max,
        no_flip=True,
        isTrain=False,
    )
