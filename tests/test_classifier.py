"""The classifier that counts classes of samples, and what is made of its counts."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from coopcut.metrics import classifier
from coopcut.metrics.classifier import Classifier, class_figures, classifier_of, stacked_figures
from coopcut.util.errors import DataError


class Brightness(nn.Module):
    """Logits of 4 classes by the mean of an image."""

    def forward(self, x: Tensor) -> Tensor:
        centers = torch.tensor([-0.75, -0.25, 0.25, 0.75])
        return -1000 * (x.mean((1, 2, 3))[:, None] - centers).square()


def of_class(labels: list[int]) -> Tensor:
    """[N, 1, 4, 4], as bright as `Brightness` wants them."""
    return (torch.tensor(labels) / 2 - 0.75).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


def test_figures_of_classes() -> None:
    found = class_figures(np.array([0, 0, 0, 3]), 4, np.array([1.0, 0.5, 0.5, 1.0]))
    assert found["modes"] == 2
    assert found["confidence"] == 0.75
    assert found["reverse_KL"] == pytest.approx(0.75 * math.log(0.75 * 4) + 0.25 * math.log(0.25 * 4))
    even = class_figures(np.arange(4), 4, np.ones(4))
    assert (even["modes"], even["reverse_KL"]) == (4, 0)


def test_figures_of_stacked_images() -> None:
    judge = Classifier(Brightness(), 1.0)
    red, green, blue = of_class([0, 1, 0, 3]), of_class([2, 2, 2, 3]), of_class([1, 1, 1, 3])
    found = stacked_figures(judge, torch.cat([red, green, blue], dim=1), 4)
    assert found["modes"] == 3
    assert found["confidence"] == pytest.approx(1)
    assert found["reverse_KL"] == pytest.approx(math.log(64) - 1.5 * math.log(2))  # shares 1/2, 1/4, 1/4


def test_it_is_trained_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars, upright or lying: easy to tell. With labels at random it cannot be used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(classifier, "LEAST_STEPS", 60)
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (60,), generator=rng)
    images = torch.full((60, 1, 8, 8), -1.0)
    for image, label in zip(images, labels, strict=True):
        image[0, 3:5] = 1.0
        if label:
            image[0] = image[0].T.clone()
    images += 0.1 * torch.randn(images.shape, generator=rng)
    found = classifier_of(images, labels.tolist())
    assert found.accuracy == 1
    assert torch.equal(found(images)[0], labels)
    (kept,) = (tmp_path / "coopcut/classifiers").iterdir()
    monkeypatch.setattr(classifier, "_trained", None)  # it is not trained again
    again = classifier_of(images, labels.tolist())
    assert torch.equal(again(images)[1], found(images)[1])
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(classifier, "LEAST_STEPS", 5)
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    kept.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"recognizes .* % of these images, and 97 % are needed"):
        classifier_of(images, torch.randint(2, (60,), generator=rng).tolist())
