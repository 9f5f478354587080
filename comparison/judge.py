"""The figures of translations on a data set: against target images, against the truth, and by class on a test bed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coopcut.data.folders import phase_of
from coopcut.datasets.beds.digits import color_of
from coopcut.datasets.beds.folder import Bed, Picture
from coopcut.datasets.toy.classify import classify_look
from coopcut.datasets.toy.scene import scene_from_truth
from coopcut.engine.trainer import Trainer
from coopcut.images.io import read_image, to_tensor
from coopcut.images.listing import list_images
from coopcut.metrics.distribution import kernel_distance, manifold_figures
from coopcut.metrics.features import Features, create_features
from coopcut.metrics.looks import reverse_kl

RARE = 3  # classes
COVERED = 0.02  # share of the translations from which on a class is covered: one lucky picture is no class
SHOWN = 8  # test images in a picture
FEATURE_SIZE = 64  # pixels: beds have 16 to 128, and the figure is taken many times in a run
MOST = 400  # target images that KID is measured against
# figure -> (caption, whether more is better)
FIGURES = {
    "KID": ("KID", False),
    "coverage": ("coverage", True),
    "RMSE": ("RMSE to the truth", False),
    "accuracy": ("accuracy, mean of classes", True),
    "rare": (f"accuracy, {RARE} rarest", True),
    "covered": ("classes covered", True),
    "reverse_KL": ("reverse KL of classes", False),
    "matching": ("share at the matching mode", True),
    "modes": ("modes covered", True),
    "quality": ("high quality", True),
    "confidence": ("confidence of the classifier", True),
}


@dataclass(frozen=True)
class Judge:
    """Test images A and, where known, their true counterparts B, [N, 3, H, W] in [-1, 1], and what to compare with."""

    A: Tensor
    B: Tensor | None
    bed: Bed | None
    names: list[str]
    features: Features
    real: NDArray[np.float64]  # features of target images

    @classmethod
    def load(cls, root: Path) -> "Judge":
        """That of a data set; the truth is in testB under the names of testA."""
        phase = phase_of(str(root), "test", "AB")
        sources = [Path(path) for path in list_images(root / f"{phase}A")]
        truths = [_counterpart(path, root / f"{phase}B") for path in sources]
        features = create_features("builtin", size=FEATURE_SIZE)
        reference = root / "refB" if (root / "refB").is_dir() else root / "trainB"
        real = torch.stack([_image(Path(path)) for path in list_images(reference)[:MOST]])
        return cls(
            A=torch.stack([_image(path) for path in sources]),
            B=torch.stack([_image(t) for t in truths if t is not None]) if None not in truths else None,
            bed=Bed.read(root),
            names=[path.name for path in sources],
            features=features,
            real=features(pictures(real)),
        )

    def figures(self, fake: Tensor) -> dict[str, float]:
        """Those of `FIGURES` that the data set allows, for translations of A."""
        shown = pictures(fake)
        vectors = self.features(shown)
        found = {
            "KID": kernel_distance(self.real, vectors),
            "coverage": manifold_figures(self.real, vectors)["coverage"],
        }
        if self.B is not None:
            found["RMSE"] = float((fake - self.B).mul(127.5).square().mean().sqrt())
        return found | (self._by_class(shown) if self.bed is not None else {})

    def _by_class(self, shown: list[Picture]) -> dict[str, float]:
        assert self.bed is not None
        true = np.array([self.bed.classes[f"testA/{name}"] for name in self.names])
        found = np.array([self._class_of(picture, name) for picture, name in zip(shown, self.names, strict=True)])
        number = len(self.bed.names)
        hits = np.array([(found[true == k] == k).mean() for k in range(number) if (true == k).any()])
        counts = np.bincount(found, minlength=number)
        return {
            "accuracy": float(hits.mean()),
            "rare": float(hits[-RARE:].mean()),  # class k is the rarer, the larger k is
            "covered": float((counts > COVERED * counts.sum()).sum()),
            "reverse_KL": reverse_kl(counts, np.bincount(true, minlength=number)),
        }

    def _class_of(self, picture: Picture, name: str) -> int:
        assert self.bed is not None
        if self.bed.kind == "drawn":
            return classify_look(picture, scene_from_truth(self.bed.scenes[f"testA/{name}"]))
        return color_of(picture)

    def make(self, trainer: Trainer, last: bool) -> Tensor:
        """A translated by a training as it is."""
        network = next(iter(trainer.method.exports.values())).network
        return self.translate(trainer.trained(network), trainer.runtime.device)

    def strip(self, fake: Tensor) -> Tensor:
        """The first translations side by side, [3, H, W] in [-1, 1]."""
        return torch.cat([*fake[:SHOWN]], dim=-1)

    def translate(self, net: nn.Module, device: torch.device | str = "cpu") -> Tensor:
        """A translated, on the CPU."""
        was = net.training
        net.eval()
        with torch.no_grad():
            found = torch.cat([net(part.to(device)).clamp(-1, 1).cpu() for part in self.A.split(32)])
        net.train(was)
        return found


def _counterpart(source: Path, folder: Path) -> Path | None:
    """The file of the truth: of the same name, or with _A become _B."""
    for name in (source.name, source.name.replace("_A.", "_B.")):
        if (folder / name).is_file():
            return folder / name
    return None


def _image(path: Path) -> Tensor:
    return to_tensor(read_image(path, 3))


def images_of(folder: Path, most: int = 10**9) -> Tensor:
    """The images of a folder in order of their names, [N, 3, H, W] in [-1, 1]."""
    return torch.stack([_image(Path(path)) for path in list_images(folder)[:most]])


def pictures(images: Tensor) -> list[Any]:
    """[N, 3, H, W] in [-1, 1] as uint8 arrays [H, W, 3]."""
    return list(images.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy())
