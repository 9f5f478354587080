"""The order of the images in an epoch, and the randomness of each sample, as functions of the position alone.

Nothing here has a state. A run that is interrupted, or that reads with another number of workers, therefore sees the
same images in the same order with the same crops.
"""

import numpy as np
from numpy.typing import NDArray

DOMAINS = ("A", "B")

# First element of every spawn key, so that the order never shares its random numbers with the samples.
_ORDER, _SAMPLE = 0, 1


def epoch_order(
    size_A: int, size_B: int, epoch: int, seed: int, serial: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Image indices of both domains for one epoch, each of length max(size_A, size_B).

    The larger domain is one permutation: each of its images is seen once. The smaller one is as many fresh
    permutations as fill the epoch: each image is seen floor(length / size) times or once more. Both change with every
    epoch and depend on (seed, epoch) only. `serial`: position modulo size instead, the same in every epoch.
    A domain of size 0 (no domain B) has an empty array. `seed` and `epoch` are not negative.
    """
    length = max(size_A, size_B)
    A = _indices(size_A, length, _rng(seed, _ORDER, epoch, DOMAINS.index("A")), serial)
    B = _indices(size_B, length, _rng(seed, _ORDER, epoch, DOMAINS.index("B")), serial)
    return A, B


def sample_rng(seed: int, epoch: int, position: int, domain: str) -> np.random.Generator:
    """The generator for the crop, zoom and flip of the image of `domain` ('A' or 'B') at one place of one epoch."""
    return _rng(seed, _SAMPLE, epoch, position, DOMAINS.index(domain))


def _indices(size: int, length: int, rng: np.random.Generator, serial: bool) -> NDArray[np.int64]:
    if size == 0:
        return np.empty(0, dtype=np.int64)
    if serial:
        return np.arange(length, dtype=np.int64) % size
    rounds = -(-length // size)
    return np.concatenate([rng.permutation(size) for _ in range(rounds)])[:length].astype(np.int64)


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
