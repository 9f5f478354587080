"""The toy set of the study in memory, and the figures of a generator on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coopcut.datasets.make_toy import classify_look, read_truth
from coopcut.datasets.toy.looks import N_LOOKS
from coopcut.datasets.toy.render import compose, draw_layers
from coopcut.datasets.toy.scene import Scene, scene_from_truth
from coopcut.images.io import read_image, to_tensor
from coopcut.images.listing import list_images
from coopcut.metrics.distribution import kernel_distance, manifold_figures
from coopcut.metrics.features import Features, create_features
from coopcut.metrics.looks import reverse_kl


@dataclass(frozen=True)
class Data:
    """The toy set: images [N, 3, H, W] in [-1, 1] by folder, the scenes of the test set, features of the target."""

    images: dict[str, Tensor]
    trainA_true: Tensor  # what the training photographs would be as zebras: for the ceiling alone
    scenes: list[Scene]
    target: NDArray[np.int64]  # looks of trainB: [N_LOOKS]
    features: Features
    real: NDArray[np.float64]  # features of trainB

    @classmethod
    def load(cls, root: Path) -> "Data":
        truth = read_truth(root)["files"]
        names = {
            split: [Path(p).name for p in list_images(root / split)] for split in ("trainA", "trainB", "testA", "testB")
        }
        images = {split: torch.stack([_image(root / split / n) for n in files]) for split, files in names.items()}
        size = images["trainA"].shape[-1]
        scenes_A = [scene_from_truth(truth[f"trainA/{name}"]) for name in names["trainA"]]
        looks = [int(truth[f"trainB/{name}"]["look"]) for name in names["trainB"]]
        features = create_features("builtin")
        return cls(
            images=images,
            trainA_true=torch.stack([_tensor(compose(draw_layers(s, size, "B"), "B")) for s in scenes_A]),
            scenes=[scene_from_truth(truth[f"testB/{name}"]) for name in names["testB"]],
            target=np.bincount(looks, minlength=N_LOOKS),
            features=features,
            real=features(levels(images["trainB"])),
        )


def _image(path: Path) -> Tensor:
    return to_tensor(read_image(path, 3))


def _tensor(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1


def levels(images: Tensor) -> list[NDArray[np.uint8]]:
    """[N, 3, H, W] in [-1, 1] as uint8 arrays [H, W, 3]."""
    return list(images.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())


def translate(net: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """[N, 3, H, W] -> the same, on the CPU."""
    with torch.no_grad():
        return torch.cat([net(part.to(device)).clamp(-1, 1).cpu() for part in images.split(32)])


def measure(data: Data, net: nn.Module, device: torch.device, with_features: bool) -> dict[str, Any]:
    """Figures of the translations of testA; KID and coverage, which take their time, only `with_features`."""
    fake = translate(net, data.images["testA"], device)
    pictures = levels(fake)
    shown = np.array([classify_look(picture, scene) for picture, scene in zip(pictures, data.scenes, strict=True)])
    true = np.array([scene.look for scene in data.scenes])
    counts = np.bincount(shown, minlength=N_LOOKS)
    error = (fake - data.images["testB"]).mul(127.5).square().mean().sqrt()
    found = {
        "covered": int((counts > 0.02 * counts.sum()).sum()),  # one lucky picture is not a look
        "reverse_KL": reverse_kl(counts, data.target),
        "true_look": float((shown == true).mean()),
        "RMSE": float(error),
        "shown": counts.tolist(),
    }
    if with_features:
        vectors = data.features(pictures)
        found |= {
            "KID": kernel_distance(data.real, vectors),
            "coverage": manifold_figures(data.real, vectors)["coverage"],
        }
    return found
