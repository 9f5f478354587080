"""Networks that turn images into feature vectors, in which sets of images are compared.

`create_features` makes them by name: `builtin`, `inception`, or a TorchScript file. Every one takes images of any
sizes, says how it scales them, and has a key that changes with the network and the scaling.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from coopcut.engine.checkpoint.file_kinds import kind_of
from coopcut.images.io import to_image
from coopcut.metrics.builtin import BuiltinNetwork
from coopcut.metrics.inception import load_inception
from coopcut.util.errors import DataError, OptionError
from coopcut.util.memory import is_out_of_memory

Pictures = Sequence[NDArray[np.uint8]] | Tensor

BATCH = 32
BUILTIN_SIZE, TORCHSCRIPT_SIZE = 128, 224  # pixels
RANGES = {  # what a network wants: mean and standard deviation of the colors in [0, 1] that are taken away
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True)
class Scaling:
    """What is done to images before a feature network.

    size: pixels of the square that they are scaled to by Pillow's bicubic filter (antialiased); None: the network
    scales by itself and takes uint8. transform: filter and size, in words. normalize: one of `RANGES`.
    """

    size: int | None
    transform: str
    normalize: str = "symmetric"


class Features:
    """A feature network with its scaling, as a function of images.

    name: of the network. dims: length of a vector. fingerprint: SHA-256 of the weights. key: SHA-256 over all that the
    vectors depend on.
    """

    def __init__(
        self, name: str, network: nn.Module, fingerprint: str, scaling: Scaling, device: torch.device | str = "cpu"
    ) -> None:
        self.name, self.fingerprint, self.size, self.transform = name, fingerprint, scaling.size, scaling.transform
        self.key = hashlib.sha256(f"{name} {fingerprint} {self.transform} {scaling.normalize}".encode()).hexdigest()
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.mean, self.std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in RANGES[scaling.normalize])
        side = self.size or 32
        self.dims = self([np.zeros((side, side, 3), np.uint8)]).shape[1]

    def __call__(self, images: Pictures) -> NDArray[np.float64]:
        """[B, d] for uint8 arrays [H, W, 3], [H, W, 1] or [H, W] of any sizes, or a tensor [B, 3, H, W] in [-1, 1].

        Raises `DataError` if the network does not give one vector per image, `ValueError` for other arrays.
        """
        pictures = [np.asarray(to_image(image)) for image in images] if isinstance(images, Tensor) else list(images)
        prepared = [self._prepared(picture) for picture in pictures]
        found = [self._run(prepared[i:j]) for i, j in _batches(prepared)]
        return np.concatenate(found) if found else np.zeros((0, self.dims))

    def _prepared(self, picture: NDArray[np.uint8]) -> Tensor:
        """uint8 [3, H, W], scaled if scaling is ours."""
        if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (1, 3))):
            raise ValueError(
                f"a picture is [H, W], [H, W, 1] or [H, W, 3] of uint8, not {picture.shape} {picture.dtype}"
            )
        flat = picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
        img = Image.fromarray(flat).convert("RGB")
        if self.size is not None and img.size != (self.size, self.size):
            img = img.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(img)).permute(2, 0, 1)

    @torch.inference_mode()
    def _run(self, batch: list[Tensor]) -> NDArray[np.float64]:
        images = torch.stack(batch)
        if self.size is not None:
            images = (images.float() / 255 - self.mean) / self.std
        try:
            found = self.network(images.to(self.device))
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
            raise DataError(f"--features {self.name} fails on images {tuple(images.shape)}: {reason}") from None
        found = found[0] if isinstance(found, tuple | list) and len(found) == 1 else found
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(batch):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise DataError(f"--features {self.name} gives {shape} for {len(batch)} images; expected [B, d]")
        return found.cpu().double().numpy()


def create_features(
    name: str,
    weights: str | Path | None = None,
    size: int | None = None,
    normalize: str = "imagenet",
    device: torch.device | str = "cpu",
) -> Features:
    """The features `builtin`, `inception` (`weights`: its file) or those of a TorchScript file.

    size: pixels, for all but inception; None: 128 for builtin, 224 for a file. normalize: one of `RANGES`, for a file.
    Raises `OptionError` for an unknown name, `CheckpointError` for weights that are missing or wrong.
    """
    if size is not None and not 32 <= size <= 2048:
        raise OptionError(f"--feature_size {size} must be from 32 to 2048 pixels")
    if name != "inception" and weights is not None:
        raise OptionError(f"--weights {weights} belongs to --features inception, not to {name}")
    if name == "builtin":
        size = size or BUILTIN_SIZE
        network = BuiltinNetwork()
        return Features(name, network, network.fingerprint(), Scaling(size, _bicubic(size)), device)
    if name == "inception":
        if size is not None:
            raise OptionError("--feature_size: inception always scales to 299 pixels; leave it out")
        inception, fingerprint = load_inception(weights)
        scaling = Scaling(None, "bilinear of TensorFlow 1 to 299x299")
        return Features(name, inception, fingerprint, scaling, device)
    if not name.endswith((".pt", ".pth", ".ts")):
        raise OptionError(f"--features '{name}' is neither builtin nor inception nor a TorchScript file (.pt)")
    size = size or TORCHSCRIPT_SIZE
    network_of_file, fingerprint = _load_torchscript(Path(name), device)
    scaling = Scaling(size, f"{_bicubic(size)}, range {normalize}", normalize)
    return Features(Path(name).name, network_of_file, fingerprint, scaling, device)


def _load_torchscript(path: Path, device: torch.device | str) -> tuple[nn.Module, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OptionError(f"--features {path}: {error.strerror}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch advertises a successor, which cannot be had in one file yet
            return torch.jit.load(str(path), map_location=device), hashlib.sha256(content).hexdigest()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        reason = kind_of(path) or str(error).strip().splitlines()[0][:120]
        raise OptionError(f"--features {path} is not a TorchScript module ({reason}): see torch.jit.trace") from None


def _bicubic(size: int) -> str:
    return f"bicubic of Pillow to {size}x{size}"


def _batches(images: list[Tensor]) -> list[tuple[int, int]]:
    """Bounds of runs of images of one size, at most `BATCH` long."""
    bounds, start = [], 0
    for i in range(1, len(images) + 1):
        if i == len(images) or i - start == BATCH or images[i].shape != images[start].shape:
            bounds.append((start, i))
            start = i
    return bounds
