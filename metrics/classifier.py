"""A small classifier of gray images, trained once on labeled ones and checked: it tells which classes samples show."""

import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, softmax

from coopcut.metrics.cache import cache_folder
from coopcut.util.errors import DataError
from coopcut.util.files import write_bytes

log = logging.getLogger(__name__)

SIDE = 28  # pixels that images are scaled to
HELD_OUT = 6  # one image in so many checks the classifier and does not train it
NEEDED = 0.97  # accuracy on those
EPOCHS, BATCH, SEED = 12, 64, 0
LEAST_STEPS = 1500  # small sets are seen more often
FORMAT = 1


class Classifier:
    """Classes 0 to K - 1 of gray images [N, 1, H, W] in [-1, 1]; accuracy: on images that did not train it."""

    def __init__(self, net: nn.Module, accuracy: float) -> None:
        self.net, self.accuracy = net.eval().requires_grad_(False), accuracy

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The most likely class of each image, [N], and its probability, [N]."""
        found = [softmax(self.net(_scaled(part)), dim=1).max(dim=1) for part in images.split(256)]
        return torch.cat([each.indices for each in found]), torch.cat([each.values for each in found])


def classifier_of(images: Tensor, labels: Sequence[int]) -> Classifier:
    """The classifier of labeled images [N, 1, H, W] in [-1, 1], trained, or as it was trained before.

    Raises `DataError` if it recognizes fewer than 97 % of the images that did not train it: its figures would be of no
    use.
    """
    y = torch.tensor(list(labels))
    path = _path(images, y)
    net = _network(int(y.max()) + 1)
    kept = _kept(path, net)
    if kept is None:
        log.info("training a classifier on %d images, once", len(images))
        kept = _trained(net, images, y)
        _keep(path, net, kept)
    if kept < NEEDED:
        raise DataError(
            f"a classifier recognizes {100 * kept:.1f} % of these images, and {100 * NEEDED:.0f} % are needed to count "
            "classes by it: use clearer or more labeled images"
        )
    return Classifier(net, kept)


def _network(classes: int) -> nn.Sequential:
    def block(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]

    layers = [*block(1, 16), *block(16, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * 9, classes)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for layer in layers:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.reset_parameters()
    return nn.Sequential(*layers)


def _trained(net: nn.Module, images: Tensor, y: Tensor) -> float:
    """Train `net`; the accuracy on every `HELD_OUT`-th image."""
    rng = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(y), generator=rng)
    checks, trains = order[::HELD_OUT], order[[i for i in range(len(order)) if i % HELD_OUT]]
    x = _scaled(images)
    steps = max(LEAST_STEPS, EPOCHS * len(trains) // BATCH)
    optimizer = torch.optim.Adam(net.parameters(), 0.002)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    for _ in range(steps):
        chosen = trains[torch.randint(len(trains), (BATCH,), generator=rng)]
        loss = cross_entropy(net(_moved(x[chosen], rng)), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    predicted, _ = Classifier(net, 0.0)(images[checks])
    return float((predicted == y[checks]).float().mean())


def _moved(x: Tensor, rng: torch.Generator) -> Tensor:
    """Images moved by up to 2 pixels: samples are not centered as the images are."""
    dx, dy = torch.randint(-2, 3, (2,), generator=rng).tolist()
    return torch.roll(x, (dx, dy), dims=(2, 3))


def _scaled(images: Tensor) -> Tensor:
    if images.shape[2:] == (SIDE, SIDE):
        return images
    return interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


def _path(images: Tensor, y: Tensor) -> Path:
    digest = hashlib.sha256(f"{FORMAT} {tuple(images.shape)}".encode())
    digest.update(images.contiguous().numpy().tobytes())
    digest.update(y.numpy().tobytes())
    return cache_folder().parent / "classifiers" / f"{digest.hexdigest()[:40]}.pt"


def _kept(path: Path, net: nn.Module) -> float | None:
    """Fill `net` with what was trained before; its accuracy, or None if there is nothing of use."""
    try:
        kept = torch.load(path, weights_only=True)
        net.load_state_dict(kept["weights"])
        return float(kept["accuracy"])
    except FileNotFoundError:
        return None
    except Exception as error:  # torch raises anything for a damaged file
        log.debug("%s is damaged (%s): trained anew", path, error)
        return None


def _keep(path: Path, net: nn.Module, accuracy: float) -> None:
    """Store what was trained. A folder that cannot be written only costs the next run time."""
    content = io.BytesIO()
    torch.save({"weights": net.state_dict(), "accuracy": accuracy}, content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())
    except OSError as error:
        log.debug("%s cannot be written (%s)", path, error)


def class_figures(shown: np.ndarray, classes: int, confidence: np.ndarray) -> dict[str, float]:
    """Figures of the classes of samples [N]: how many are shown, reverse KL to equal shares, and mean confidence.

    Reverse KL in nats: 0 for equal shares, log K for one class of K.
    """
    counts = np.bincount(shown, minlength=classes)
    q = counts[counts > 0] / counts.sum()
    return {
        "modes": float((counts > 0).sum()),
        "reverse_KL": float((q * np.log(q * classes)).sum()),
        "confidence": float(confidence.mean()),
    }


def stacked_figures(classifier: Classifier, images: Tensor, classes: int = 10) -> dict[str, float]:
    """`class_figures` of the classes^3 combinations that three digits as the channels of images [N, 3, H, W] show.

    The confidence is the product of those of the channels.
    """
    labels, confidences = zip(*(classifier(images[:, c : c + 1]) for c in range(3)), strict=True)
    combined = (labels[0] * classes + labels[1]) * classes + labels[2]
    confidence = confidences[0] * confidences[1] * confidences[2]
    return class_figures(combined.numpy(), classes**3, confidence.numpy())
