"""The figures of samples from noise: against real images, by class as a classifier tells them, by mode of points."""

import copy
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coopcut.comparison.judge import FEATURE_SIZE, MOST, SHOWN, pictures
from coopcut.data import HeldOutSamples
from coopcut.data.image_sources import Packed, Points, Stacked, open_images
from coopcut.data.mixtures import Mixture
from coopcut.engine.trainer import Trainer
from coopcut.inference.sampler import Sampler
from coopcut.metrics.classifier import Classifier, class_figures, classifier_of, stacked_figures
from coopcut.metrics.distribution import kernel_distance, manifold_figures
from coopcut.metrics.features import Features, create_features
from coopcut.options.generation_options import names_of_classes
from coopcut.options.option import Options
from coopcut.util.errors import DataError

log = logging.getLogger("compare")

OF_POINTS, OF_IMAGES, IN_THE_END = 2500, 2000, 10_000  # samples; the last: of stacked digits at the end of a run
SEED = 0  # of their noise
SIDE, EXTENT = 96, 1.3  # pixels of a picture of points; its half width, in terms of the farthest mode


@dataclass(frozen=True)
class Counting:
    """How classes are counted: by a classifier; three digits at a time if they are stacked."""

    classifier: Classifier
    classes: int
    stacked: bool

    def figures(self, images: Tensor) -> dict[str, float]:
        """Of images [N, C, H, W] in [-1, 1]."""
        if self.stacked:
            return stacked_figures(self.classifier, images, self.classes)
        shown, confidence = self.classifier(images.mean(dim=1, keepdim=True))
        return class_figures(shown.numpy(), self.classes, confidence.numpy())


@dataclass(frozen=True)
class SampleJudge:
    """What samples are compared with: a mixture, or real images [N, C, H, W] and their features."""

    mixture: Mixture | None
    real: Tensor
    features: Features | None = None
    vectors: NDArray[np.float64] | None = None
    counting: Counting | None = None

    @classmethod
    def load(cls, opt: Options) -> "SampleJudge":
        """That of the data of `opt`, the options of a training."""
        source = open_images(opt, "train")
        if isinstance(source, Points):
            sampled = source.mixture.sample(OF_POINTS, torch.Generator().manual_seed(SEED))
            return cls(source.mixture, sampled[:, :, None, None])
        held = HeldOutSamples(Options(**{**vars(opt), "eval_num": MOST}))
        real = torch.stack([held.read("B", i) for i in range(len(held.paths["B"]))])
        features = create_features("builtin", size=FEATURE_SIZE)
        return cls(None, real, features, features(_shown(real)), counting_of(opt))

    @property
    def A(self) -> Tensor:
        """What stands for samples before there are any."""
        return self.real

    def number(self, last: bool) -> int:
        """Samples that are measured, along the run or at its end."""
        if self.mixture is not None:
            return OF_POINTS
        return IN_THE_END if last and self.counting is not None and self.counting.stacked else OF_IMAGES

    def figures(self, fake: Tensor) -> dict[str, float]:
        """Those of `FIGURES` that the data allow, for samples [N, C, H, W]."""
        if self.mixture is not None:
            found = self.mixture.measure(fake[:, :, 0, 0])
            return {"modes": found["modes"], "quality": found["high_quality"], "reverse_KL": found["reverse_kl"]}
        assert self.features is not None
        assert self.vectors is not None
        vectors = self.features(_shown(fake[:MOST]))
        figures = {"KID": kernel_distance(self.vectors, vectors)}
        figures["coverage"] = manifold_figures(self.vectors, vectors)["coverage"]
        return figures | (self.counting.figures(fake) if self.counting else {})

    def make(self, trainer: Trainer, last: bool) -> Tensor:
        """Samples of a training as it is."""
        network: Any = copy.deepcopy(trainer.trained(next(iter(trainer.method.exports.values())).network))
        sampler = Sampler(network, trainer.runtime.device, names_of_classes(trainer.opt))
        return sampler.sample(range(self.number(last)), SEED)

    def references(self) -> dict[str, Tensor]:
        """Rows without training."""
        if self.mixture is not None:
            return {"the mixture itself": self.real, "one point": self.real[:1].expand(OF_POINTS, -1, -1, -1)}
        mean = self.real.mean(dim=0, keepdim=True).expand(len(self.real), -1, -1, -1)
        return {"real images": self.real, "mean image": mean}

    def strip(self, fake: Tensor) -> Tensor:
        """Some samples side by side, [3, H, W] in [-1, 1]; points as one picture."""
        if self.mixture is None:
            return torch.cat([*fake[:SHOWN].expand(-1, 3, -1, -1)], dim=-1)
        reach = EXTENT * float(self.mixture.means.abs().max())
        places = ((fake[:, :, 0, 0] / reach + 1) / 2 * SIDE).long()
        inside = ((places >= 0) & (places < SIDE)).all(dim=1)
        counts = torch.bincount(places[inside, 1] * SIDE + places[inside, 0], minlength=SIDE**2)
        ink = (counts.view(SIDE, SIDE).flip(0) / 3).clamp(0, 1)
        return (1 - 2 * ink).expand(3, -1, -1)


def counting_of(opt: Options) -> Counting | None:
    """How the classes of gray labeled images in arrays are counted; None if they cannot be."""
    source = open_images(Options(**{**vars(opt), "conditional": False}), "train")
    if not isinstance(source, Packed) or source.images.ndim != 3:
        return None
    stacked = isinstance(source, Stacked)
    known = source if stacked else open_images(Options(**{**vars(opt), "conditional": True}), "train")
    labels = source.single if isinstance(source, Stacked) else known.labels
    if labels is None:
        return None
    gray = torch.from_numpy(source.images.copy()).float().div_(127.5).sub_(1)[:, None]
    try:
        return Counting(classifier_of(gray, labels), max(labels) + 1, stacked)
    except DataError as error:
        log.warning("classes are not counted: %s", error)
        return None


def _shown(images: Tensor) -> list[Any]:
    return pictures(images.expand(-1, 3, -1, -1))
