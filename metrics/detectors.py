"""Detectors of common faults: outputs that ignore or repeat the input, wrong colors, few looks.

Pure functions of small arrays. Thumbnails are uint8 [n, h, w, 3], the i-th output being the translation of the i-th
input. Each gives a `Finding` with the value that was measured and the threshold; docs/evaluation.md says how the
thresholds were chosen.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopcut.metrics.looks import Counts, effective_number

Thumbnails = NDArray[np.uint8]
Array = NDArray[np.float64]

LEAST = 8  # images: below that chance decides
RANK = 0.6  # of 1; chance: 0.5
SPREAD = 0.1  # of that of the inputs
EQUAL = 8.0  # of 255, RMS
INVERTED = -0.5  # correlation
DIVERSITY = 0.5  # of that of the target
BLOCK = 256  # images compared at once


@dataclass(frozen=True)
class Finding:
    """One detector's answer."""

    name: str
    value: float
    threshold: float
    words: str

    @property
    def fires(self) -> bool:
        """Whether `value` is below `threshold`, that is, something is wrong."""
        return self.value < self.threshold

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "fires": self.fires}


def ignores_input(inputs: Thumbnails, outputs: Thumbnails) -> Finding:
    """Can an output be assigned to its input? By the correlation of edges, which survive a change of colors.

    Value: mean share of the other inputs whose edges fit the output less well than those of its own input (a tie is
    half): 1 if each output fits its own input best, 0.5 if they have nothing to do with each other.
    """
    names, others = _normalised_edges(inputs), _normalised_edges(outputs)
    n = len(names)
    ranks = []
    for start in range(0, n, BLOCK):
        fit = others[start : start + BLOCK] @ names.T  # [block, n]
        own = fit[np.arange(len(fit)), start + np.arange(len(fit))][:, None]
        below, equal = (fit < own - 1e-9).sum(axis=1), (np.abs(fit - own) <= 1e-9).sum(axis=1) - 1
        ranks.append((below + equal / 2) / (n - 1))
    value = float(np.concatenate(ranks).mean())
    words = (
        f"the edges of an output fit its own input better than {100 * value:.0f} % of the other inputs (chance: 50 %)"
    )
    return Finding("ignores the input", value, RANK, words)


def all_the_same(inputs: Thumbnails, outputs: Thumbnails) -> Finding:
    """Are the outputs one picture? Value: RMS deviation of the outputs from their mean, over that of the inputs."""
    value = _spread(outputs) / max(_spread(inputs), 1e-9)
    words = f"the outputs differ from each other {value:.2f} times as much as the inputs do"
    return Finding("one output for all", value, SPREAD, words)


def equals_input(inputs: Thumbnails, outputs: Thumbnails) -> Finding:
    """Is nothing translated? Value: root mean squared difference of output and input, of 255."""
    value = float(np.sqrt(((inputs.astype(np.float64) - outputs) ** 2).mean()))
    words = f"the outputs differ from the inputs by {value:.1f} of 255 (RMS of thumbnails)"
    return Finding("equals the input", value, EQUAL, words)


def inverted_colours(references: Thumbnails, outputs: Thumbnails, reference: str = "input") -> Finding:
    """Are light and dark, or colors, exchanged? Value: mean over the images of the correlation of all values.

    references: the counterparts if they are known, else the inputs; the three channels of an image are centered one
    by one. A target that truly is the negative of the source fires too unless counterparts are given.
    """
    a, b = (_centred(side.astype(np.float64).reshape(len(side), -1, 3)) for side in (references, outputs))
    value = float((a * b).sum(axis=(1, 2)).mean())
    words = f"the colors of output and {reference} correlate with {value:.2f}"
    return Finding("inverted colors", value, INVERTED, words)


def collapses(real: Array, fake: Array) -> Finding:
    """Do the outputs show few looks? Value: effective number of different outputs over that of real images.

    real, fake: feature vectors [n, d] and [m, d]. The number is the Vendi score (Friedman and Dieng, TMLR 2023) of
    equally many vectors: exp of the entropy of the eigenvalues of K / n, with the kernel exp(-|x - y|^2 / (2 s^2)),
    s half of the median distance of the real ones, in coordinates scaled to the standard deviations of the real set.
    """
    n = min(len(real), len(fake))
    scale = real.std(axis=0)
    scale = np.where(scale > 1e-9 * max(float(scale.max()), 1e-300), scale, np.inf)  # what never varies says nothing
    real, fake = _spaced(real, n) / scale, _spaced(fake, n) / scale
    distances = _squared_distances(real)
    width = float(np.median(distances[np.triu_indices(n, 1)])) / 4 or 1.0  # s^2
    value = _vendi(_squared_distances(fake), width) / _vendi(distances, width)
    words = f"the outputs are {value:.2f} times as diverse as real images (Vendi score of the features)"
    return Finding("few looks", value, DIVERSITY, words)


def few_looks(shown: Counts, target: Counts) -> Finding:
    """The same where the looks are known: effective numbers of looks (exp of the entropy), outputs over target."""
    value = effective_number(shown) / effective_number(target)
    words = f"{effective_number(shown):.1f} looks in effect, {effective_number(target):.1f} in the target"
    return Finding("few known looks", value, DIVERSITY, words)


def _normalised_edges(pictures: Thumbnails) -> Array:
    """Gradient magnitudes of the brightness, [n, h * w], centered and of length 1 (0 for a flat picture)."""
    brightness = pictures.astype(np.float64).mean(axis=3)
    dy, dx = np.gradient(brightness, axis=(1, 2))
    return _centred(np.hypot(dy, dx).reshape(len(pictures), -1, 1))[:, :, 0]


def _centred(values: Array) -> Array:
    """[n, p, c]: without the mean over p, and each image of length 1, or 0 if it is flat."""
    values = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt((values**2).sum(axis=(1, 2), keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 1e-6)


def _spread(pictures: Thumbnails) -> float:
    values = pictures.astype(np.float64)
    return float(np.sqrt(((values - values.mean(axis=0)) ** 2).mean()))


def _spaced(vectors: Array, n: int) -> Array:
    """n of the vectors, evenly chosen."""
    return vectors[np.arange(n) * len(vectors) // n]


def _squared_distances(x: Array) -> Array:
    squares = (x**2).sum(axis=1)
    return np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0.0)


def _vendi(squared: Array, width: float) -> float:
    return effective_number(np.linalg.eigvalsh(np.exp(-squared / (2 * width)) / len(squared)))
