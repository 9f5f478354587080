"""From the image in the file to the image that the networks see: scaling, crop, flip; before it becomes a tensor.

The scaling calls Pillow exactly as CUT does, so that pixels agree with it.
"""

from argparse import Namespace
from dataclasses import dataclass

import numpy as np
from PIL import Image

from coopcut.util.errors import DataError

PREPROCESS_MODES = (
    "resize_and_crop",
    "crop",
    "scale_width",
    "scale_width_and_crop",
    "scale_shortside_and_crop",
    "zoom_and_crop",
    "square",
    "none",
)

_BICUBIC = Image.Resampling.BICUBIC


def resize_square(img: Image.Image, size: int) -> Image.Image:
    """`img` as size x size pixels; the aspect ratio is not kept."""
    return img.resize((size, size), _BICUBIC)


def resize_width(img: Image.Image, width: int, min_height: int) -> Image.Image:
    """`img` of this width with its aspect ratio kept, except that it gets no lower than `min_height`."""
    if img.width == width and img.height >= min_height:
        return img
    return img.resize((width, int(max(width * img.height / img.width, min_height))), _BICUBIC)


def resize_shortside(img: Image.Image, size: int) -> Image.Image:
    """`img` enlarged, aspect ratio kept, until its shorter side is `size`; a larger image stays as it is."""
    shorter = min(img.size)
    if shorter >= size:
        return img
    scale = size / shorter
    return img.resize((round(img.width * scale), round(img.height * scale)), _BICUBIC)


def resize_zoom(img: Image.Image, factors: tuple[float, float], min_size: int) -> Image.Image:
    """`img` with its width and height multiplied by one factor each, neither side below `min_size`."""
    width = max(min_size, img.width * factors[0])
    height = max(min_size, img.height * factors[1])
    return img.resize((round(width), round(height)), _BICUBIC)


def resize_to_multiple(img: Image.Image, base: int = 4) -> Image.Image:
    """`img` with both sides at the nearest multiple of `base` (at least one), as the strided networks need it."""
    width, height = (max(base, int(round(side / base) * base)) for side in img.size)
    return img if (width, height) == img.size else img.resize((width, height), _BICUBIC)


def center_square(img: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle of `img`, scaled to size x size pixels."""
    side = min(img.size)
    left, top = (img.width - side) // 2, (img.height - side) // 2
    square = img if img.width == img.height else img.crop((left, top, left + side, top + side))
    return square if side == size else square.resize((size, size), _BICUBIC)


def random_crop(img: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """A size x size window of `img`, every position equally likely. `img` has at least that size."""
    x = int(rng.integers(0, img.width - size + 1))
    y = int(rng.integers(0, img.height - size + 1))
    return img.crop((x, y, x + size, y + size))


@dataclass(frozen=True)
class Preprocess:
    """One of `PREPROCESS_MODES`, then sides rounded to multiples of 4, then a horizontal flip half of the time.

    - resize_and_crop: to load_size x load_size, then a crop of crop_size x crop_size.
    - crop: only the crop. An image with a side below crop_size is first enlarged, aspect ratio kept, until its
      shorter side is crop_size (here and in zoom_and_crop; the other modes cannot meet this case).
    - scale_width: to width load_size, aspect ratio kept, but not lower than crop_size; _and_crop: then the crop.
    - scale_shortside_and_crop: an image whose shorter side is below load_size is enlarged to it (others are not
      reduced), then the crop.
    - zoom_and_crop: each side scaled by its own factor, uniform in [1 / random_scale_max, 1], but not below
      crop_size, then the crop.
    - square: the largest square in the middle, scaled to crop_size x crop_size.
    - none: only the multiples of 4; in translation not even those (the translator pads and cuts instead).

    From epoch `fine_from` on (None: never) load_size is crop_size: as in CUT, the epochs in which the learning rate
    decays see whole images, not parts of enlarged ones.
    """

    mode: str
    load_size: int  # pixels
    crop_size: int  # pixels
    random_scale_max: float
    flip: bool
    fine_from: int | None
    multiple: int = 4  # of which both sides are made multiples

    def __post_init__(self) -> None:
        if self.mode not in PREPROCESS_MODES:
            raise DataError(f"unknown --preprocess '{self.mode}'; known: {', '.join(PREPROCESS_MODES)}")
        if self.mode.endswith("_and_crop") and self.mode != "zoom_and_crop" and self.load_size < self.crop_size:
            raise DataError(
                f"--load_size {self.load_size} is smaller than --crop_size {self.crop_size}: "
                f"--preprocess {self.mode} needs it at least as large"
            )
        if self.random_scale_max < 1:
            raise DataError(f"--random_scale_max {self.random_scale_max:g} must be at least 1")

    @classmethod
    def from_options(cls, opt: Namespace) -> "Preprocess":
        """Built from CUT's flags; the finer scale begins after `n_epochs`, in training only."""
        return cls(
            mode=opt.preprocess,
            load_size=opt.load_size,
            crop_size=opt.crop_size,
            random_scale_max=opt.random_scale_max,
            flip=not opt.no_flip,
            fine_from=opt.n_epochs + 1 if opt.isTrain else None,
            multiple=1 if opt.preprocess == "none" and not opt.isTrain else 4,
        )

    def __call__(self, img: Image.Image, rng: np.random.Generator, epoch: int) -> Image.Image:
        """`img` ('L' or 'RGB') preprocessed for `epoch` (from 1), with all randomness taken from `rng`."""
        img = self._resize(img, rng, epoch)
        if self.mode.endswith("crop"):
            img = random_crop(img, self.crop_size, rng)
        img = resize_to_multiple(img, self.multiple)
        if self.flip and rng.random() < 0.5:
            img = img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return img

    def _resize(self, img: Image.Image, rng: np.random.Generator, epoch: int) -> Image.Image:
        fine = self.fine_from is not None and epoch >= self.fine_from
        load_size = self.crop_size if fine else self.load_size
        match self.mode:
            case "resize_and_crop":
                return resize_square(img, load_size)
            case "square":
                return center_square(img, self.crop_size)
            case "crop":
                return resize_shortside(img, self.crop_size)
            case "scale_width" | "scale_width_and_crop":
                return resize_width(img, load_size, self.crop_size)
            case "scale_shortside_and_crop":
                return resize_shortside(img, load_size)
            case "zoom_and_crop":
                zoom_x, zoom_y = rng.uniform(1 / self.random_scale_max, 1, size=2)
                return resize_zoom(resize_shortside(img, self.crop_size), (zoom_x, zoom_y), self.crop_size)
            case _:
                return img
