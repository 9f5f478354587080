"""A trained generator of images from noise, as a function of how many.

>>> from coopcut import Sampler
>>> images = Sampler.load("checkpoints/faces_gan")(16, seed=1)
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coopcut.engine.device import Devices, choose_device
from coopcut.engine.precision import DTYPES, check_device, lower
from coopcut.images.io import to_image
from coopcut.inference.loading import saved_options, trained_network
from coopcut.models.registry import MODELS
from coopcut.networks.contract import NoiseGenerator
from coopcut.options.generation_options import names_of_classes
from coopcut.options.option import Options
from coopcut.options.saved import FILE, load_options, run_folder
from coopcut.util.errors import CheckpointError, OptionError

CHUNK = 8  # images that are made at once, always: on a CPU the last bits depend on how many


class Sampler:
    """Makes images with a generator of noise. Image number i of a seed is the same whatever is made beside it.

    generator: it becomes the sampler's: in evaluation mode, its weights without gradient. class_names: those of the
    classes that it knows, by number; none if it knows none.
    """

    def __init__(
        self,
        generator: NoiseGenerator,
        device: torch.device,
        class_names: Sequence[str] = (),
        amp: str = "none",
        compile: bool = False,
    ) -> None:
        self.generator: NoiseGenerator = generator.to(device).eval().requires_grad_(False)
        lower(self.generator, amp, device)
        self.dtype, self.device, self.class_names = DTYPES.get(amp, torch.float32), device, list(class_names)
        self._call: Any = torch.compile(self.generator, dynamic=False) if compile else self.generator

    @classmethod
    def load(cls, path: str | Path, epoch: str | int = "latest", gpu_ids: Devices = "auto") -> "Sampler":
        """The sampler of a run's folder, with the weights of `epoch`, averaged ones if the run has them.

        Raises `CheckpointError` for a run that is no sampler, and for files that are missing, damaged or unsafe.
        """
        if str(path) and not Path(path).exists():
            raise CheckpointError(f"{path} does not exist: name the folder of a run")
        return cls.from_options(saved_options(path, epoch, gpu_ids))

    @classmethod
    def from_options(cls, opt: Options) -> "Sampler":
        """The sampler that the options of `test.py` describe."""
        method = MODELS[opt.model]
        export = method.export(opt.export)
        if not export.samples and not load_options(run_folder(opt)):
            raise CheckpointError(f"{run_folder(opt)} has no {FILE}: a sampler needs the options of its run beside it")
        if not export.samples:
            raise CheckpointError(
                f"{run_folder(opt)}: --model {opt.model} translates images and makes none from noise: use Translator"
            )
        generator = trained_network(opt, export)
        assert isinstance(generator, NoiseGenerator)
        device = choose_device(opt.gpu_ids)
        check_device(opt, device)
        return cls(generator, device, names_of_classes(opt), opt.amp, opt.compile)

    @property
    def makes_points(self) -> bool:
        """Whether it makes points of the plane, not images."""
        return self.generator.size == 1

    def __call__(
        self, number: int, seed: int = 0, class_id: str | int = "", truncation: float = 1.0
    ) -> list[Image.Image]:
        """`number` images of a seed; the arguments are those of `sample`. Raises `OptionError` if it makes points."""
        if self.makes_points:
            raise OptionError("this run makes points, not images: use sample")
        return [to_image(image) for image in self.sample(range(number), seed, class_id, truncation)]

    def sample(
        self, numbers: Sequence[int], seed: int = 0, class_id: str | int = "", truncation: float = 1.0
    ) -> Tensor:
        """The images of a seed with these numbers (from 0), [N, C, H, W] in [-1, 1], on the CPU.

        class_id: a class by name or number; empty: image i is of class i modulo their number. truncation: see
        --truncation. Raises `OptionError` for a class or a truncation that the generator does not know.
        """
        if not len(numbers) or min(numbers) < 0 or seed < 0:
            raise OptionError(f"{len(numbers)} samples of seed {seed}: there must be 1 or more, and no negative seed")
        y = [self.class_of(i, class_id) for i in numbers]
        return self.make(noise(numbers, seed, self.generator.nz), y, truncation)

    def class_of(self, number: int, class_id: str | int = "") -> int:
        """The class of image `number`; 0 without classes. Raises `OptionError` for an unknown one."""
        names, text = self.class_names, str(class_id)
        if not names:
            if text:
                raise OptionError(
                    f"--class_id {text}: this run knows no classes (it was trained without --conditional)"
                )
            return 0
        if not text:
            return number % len(names)
        if text in names:
            return names.index(text)
        numbered = not any(name.isdecimal() for name in names)  # else a number is a name
        if numbered and text.isdecimal() and int(text) < len(names):
            return int(text)
        numbers = f", or 0 to {len(names) - 1}" if numbered else ""
        raise OptionError(f"--class_id {text}: there is no such class; known: {', '.join(names)}{numbers}")

    @torch.inference_mode()
    def make(self, z: Tensor, classes: Sequence[int], truncation: float = 1.0) -> Tensor:
        """The images of noise [N, nz] and their classes, [N, C, H, W] in [-1, 1], on the CPU."""
        more: dict[str, Any] = {}
        if truncation != 1:
            if not self.generator.truncates:
                raise OptionError("--truncation needs a generator with a latent space of its own (--netG stylegan2)")
            more = {"truncation": truncation}
        y = torch.tensor(list(classes))
        made = []
        for start in range(0, len(z), CHUNK):
            chosen = torch.arange(start, start + CHUNK).clamp_max(len(z) - 1)  # a smaller rest is filled up
            part, labels = z[chosen].to(self.device, self.dtype), y[chosen].to(self.device)
            images = self._call(part, labels if self.class_names else None, **more)
            made.append(images[: len(z) - start].float().cpu())
        return torch.cat(made)

    def interpolation(self, steps: int, seed: int = 0, class_id: str | int = "", truncation: float = 1.0) -> Tensor:
        """`steps` images on the way from image 0 to image 1 of a seed, of the class of image 0; see `between`."""
        if steps < 2:
            raise OptionError(f"--interpolate {steps}: a way has 2 images or more; 0: no strip")
        ends = noise([0, 1], seed, self.generator.nz)
        y = self.class_of(0, class_id)
        return self.make(between(ends[0], ends[1], steps), [y] * steps, truncation)


def noise(numbers: Sequence[int], seed: int, nz: int) -> Tensor:
    """Standard normal noise [N, nz] of a seed: each row depends on its number alone."""
    rows = [np.random.default_rng([seed, number]).standard_normal(nz, dtype=np.float32) for number in numbers]
    return torch.from_numpy(np.stack(rows))


def between(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """`steps` points [steps, nz] from `first` to `last` along the great circle between them (White 2016)."""
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=0).clamp(-1, 1)
    angle = float(torch.arccos(cosine))
    share = torch.linspace(0, 1, steps)[:, None]
    if math.sin(angle) < 1e-6:
        return (1 - share) * first + share * last
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / math.sin(angle)
