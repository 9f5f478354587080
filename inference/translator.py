"""A trained generator as a function of images.

>>> from coopcut import Translator
>>> translator = Translator.load("checkpoints/horse2zebra_coopcut")
>>> zebra = translator(Image.open("horse.jpg"))
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from coopcut.engine.device import Devices, choose_device
from coopcut.engine.method import Export, channels
from coopcut.engine.precision import DTYPES, check_device, lower
from coopcut.images.io import read_image, to_image, to_tensor, upright
from coopcut.images.pixels import Range, parse_ranges
from coopcut.inference.loading import saved_options, trained_network
from coopcut.models.registry import MODELS
from coopcut.networks.contract import Generator
from coopcut.options.option import Options
from coopcut.options.saved import run_folder
from coopcut.util.errors import CheckpointError, DataError, NoMemoryError
from coopcut.util.memory import free_memory, is_out_of_memory, let_go


class Translator:
    """Translates images of any size with the generator of a run, an averaged one if the run has one.

    generator: it becomes the translator's: its weights take no gradient any more, and with amp have that precision.
    export: the domains that it translates from and to.
    eval: put the network in eval mode. By default it stays in the mode it was trained in, so that the same weights
    give the same pixels; it matters for batch norm and dropout alone.
    """

    def __init__(
        self,
        generator: Generator,
        input_nc: int,
        device: torch.device,
        eval: bool = False,
        amp: str = "none",
        compile: bool = False,
    ) -> None:
        self.generator: Generator = generator.to(device).train(not eval).requires_grad_(False)
        lower(self.generator, amp, device)
        self.dtype = DTYPES.get(amp, torch.float32)
        norms = [module for module in self.generator.modules() if isinstance(module, nn.BatchNorm2d)]
        self.pure = not norms or eval  # an image's pixels do not depend on the rest of its batch
        self.one_by_one = not norms and device.type == "cpu" and amp == "bf16"  # see InstanceNorm2d
        self._call: Any = torch.compile(self.generator, dynamic=False) if compile else self.generator
        self.input_nc = input_nc
        self.value_range: Range | None = None  # values of PIL images that are black and white; see `read_image`
        self.device = device
        self.export = Export("G", "A", "B")

    @classmethod
    def load(
        cls,
        path: str | Path,
        epoch: str | int = "latest",
        gpu_ids: Devices = "auto",
        eval: bool = False,
        export: str = "",
    ) -> "Translator":
        """The translator of a run's folder (weights of `epoch`) or of a weights file, CUT's included.

        gpu_ids: as --gpu_ids, or the number itself, or a torch.device. export: what to run of a method that has several
        networks to run, as --export: B2A, say.
        Raises `CheckpointError` for a file that is missing, damaged, unsafe or of an unknown architecture.
        """
        opt = saved_options(path, epoch, gpu_ids, export)
        opt.eval = eval
        return cls.from_options(opt)

    @classmethod
    def from_options(cls, opt: Options) -> "Translator":
        """The translator that the options of `test.py` describe."""
        method = MODELS[opt.model]
        export = method.export(opt.export)
        if export.samples:
            raise CheckpointError(
                f"{run_folder(opt)}: --model {opt.model} makes images from noise and translates none: use Sampler"
            )
        generator = trained_network(opt, export)
        assert isinstance(generator, Generator)
        device = choose_device(opt.gpu_ids)
        check_device(opt, device)
        translator = cls(generator, channels(opt, export.source), device, opt.eval, opt.amp, opt.compile)
        translator.export = export
        translator.value_range = dict(zip("AB", parse_ranges(opt.value_range), strict=True))[export.source]
        return translator

    def translate(self, images: Tensor) -> Tensor:
        """[B, input_nc, H, W] in [-1, 1], any H and W, -> [B, output_nc, H, W] in [-1, 1] on the CPU.

        Sides that are no multiples of what the generator needs (4, say) are padded by reflection and cut again.
        Raises `NoMemoryError` for images that are too large or too many; the memory is free again then.
        """
        try:
            return self._translate(images)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = let_go(error)
        free_memory(self.device)  # here, because the error would hold the tensors of what failed
        number, _, height, width = images.shape
        what = "an image" if number == 1 else f"a batch of {number} images"
        place = "the CPU" if self.device.type == "cpu" else str(self.device)
        message = f"{what} of {width}x{height} pixels does not fit into the memory of {place} ({reason})"
        raise NoMemoryError(f"{message}; give it smaller ones", reason)

    @torch.inference_mode()
    def _translate(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        images = _padded(images.to(self.device), self._goal(height), self._goal(width)).to(self.dtype)
        if self.one_by_one:
            singles = images.contiguous(memory_format=torch.channels_last).split(1)
            outputs = torch.cat([self._call(image) for image in singles])
        else:
            outputs = self._call(images)
        return outputs[:, :, :height, :width].float().cpu()

    def _goal(self, side: int) -> int:
        """The side to pad to."""
        multiple = self.generator.multiple
        return max(self.generator.min_size, -(-side // multiple) * multiple)

    def __call__(self, image: Image.Image | NDArray[Any] | str | Path) -> Image.Image | NDArray[np.uint8]:
        """Translate an image file, a PIL image, or a uint8 array [H, W], [H, W, 1] or [H, W, 3]; returns the same kind.

        Black and white are `value_range` in files and PIL images, as in the files of the run, and 0 and 255 in arrays.
        Raises `DataError` for anything else, and `NoMemoryError` (see `translate`).
        """
        if isinstance(image, str | Path):
            return to_image(self.translate(self._tensor(lambda: read_image(image, self.input_nc, self.value_range))))
        if isinstance(image, Image.Image):
            if not image.width or not image.height:
                raise DataError(f"an image of {image.width}x{image.height} pixels cannot be translated")
            levels = self._tensor(lambda: upright(image, self.input_nc, value_range=self.value_range))
            return to_image(self.translate(levels))
        array = np.asarray(image)
        shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))
        if array.dtype != np.uint8 or not shaped or not array.size:
            raise DataError(
                f"an array of shape {array.shape} and type {array.dtype}: "
                "expected [H, W], [H, W, 1] or [H, W, 3] of uint8, not empty"
            )
        picture = Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)
        answer = np.asarray(to_image(self.translate(self._tensor(lambda: upright(picture, self.input_nc)))))
        return answer[:, :, None] if array.ndim == 3 and answer.ndim == 2 else answer

    def _tensor(self, read: Callable[[], Image.Image]) -> Tensor:
        """What `read` gives, as [1, C, H, W]."""
        try:
            return to_tensor(read())[None]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = let_go(error)
        raise NoMemoryError(f"the image does not fit into the memory ({reason}); give a smaller one", reason)


def _padded(images: Tensor, height: int, width: int) -> Tensor:
    """Pad at the bottom and the right, by reflection as far as that reaches, else by repeating the border."""
    missing = (0, width - images.shape[3], 0, height - images.shape[2])
    if missing == (0, 0, 0, 0):
        return images
    reflects = missing[1] < images.shape[3] and missing[3] < images.shape[2]
    return functional.pad(images, missing, "reflect" if reflects else "replicate")


def same_size_runs(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Indices of `tensors` in order, grouped into runs of equal shape that can be translated as one batch."""
    runs: list[list[int]] = []
    for index, tensor in enumerate(tensors):
        if runs and tensors[runs[-1][0]].shape == tensor.shape:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
