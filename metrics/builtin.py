"""The built-in features: a fixed convolutional network whose weights are computed, not learned. No download.

A scattering transform in small (Mallat, "Group invariant scattering", 2012; here one order of it), with joint
statistics of color and texture. It sees colors, contrasts, orientations and their scales, and knows nothing of
objects. Its figures can be compared among themselves alone, never with published FIDs.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

VERSION = 1  # goes up with every change of the figures
SCALES, ORIENTATIONS, MIXTURES = 4, 4, 16
SIDE = 7  # pixels of a filter
SEED = 20230
GAIN = 8.0  # brings amplitudes of natural images to the size of their colors
LENGTH = 5.0  # of all, so that FID and KID are figures of a readable size

# Brightness, red against green, yellow against blue: rows of an orthogonal matrix, scaled to keep [-1, 1].
OPPONENTS = np.array([[1 / 3, 1 / 3, 1 / 3], [1 / 2, -1 / 2, 0], [1 / 4, 1 / 4, -1 / 2]])


class BuiltinNetwork(nn.Module):
    """Images [B, 3, H, W] in [-1, 1], H and W at least 32, -> [B, 248].

    These are mean and standard deviation of 31 maps at each of 4 scales: 3 opponent colors; for each of them the
    amplitude |w * x| of complex Gabor wavelets of 4 orientations; 16 rectified random mixtures of these 15.
    The next scale is the image at half the size.
    """

    wavelets: Tensor
    opponents: Tensor
    mixing: Tensor

    def __init__(self) -> None:
        super().__init__()
        maps = len(OPPONENTS) * (1 + ORIENTATIONS)
        self.register_buffer("opponents", _rounded(OPPONENTS)[:, :, None, None])
        self.register_buffer("wavelets", _rounded(gabor_filters())[:, None])  # [8, 1, 7, 7]: real parts, then imaginary
        self.register_buffer("mixing", _rounded(random_mixtures(MIXTURES, maps))[:, :, None, None])
        self.dims = 2 * SCALES * (maps + MIXTURES)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.conv2d(images, self.opponents)
        found = []
        for scale in range(SCALES):
            if scale:
                x = functional.avg_pool2d(x, 2)
            b, c, h, w = x.shape
            padded = functional.pad(x.reshape(b * c, 1, h, w), [SIDE // 2] * 4, "replicate")
            real, imaginary = functional.conv2d(padded, self.wavelets).chunk(2, dim=1)
            amplitudes = GAIN * torch.hypot(real, imaginary).reshape(b, c * ORIENTATIONS, h, w)
            maps = torch.cat([x, amplitudes], dim=1)
            maps = torch.cat([maps, functional.relu(functional.conv2d(maps, self.mixing))], dim=1)
            flat = maps.flatten(2).double()  # [B, 31, h * w]
            found += [flat.mean(dim=2), flat.std(dim=2, unbiased=False)]
        return LENGTH * torch.cat(found, dim=1)

    def fingerprint(self) -> str:
        """SHA-256 of the weights and the version, in hexadecimal; the same on every machine."""
        digest = hashlib.sha256(f"builtin {VERSION} {SCALES} {GAIN} {LENGTH}".encode())
        for weights in (self.opponents, self.wavelets, self.mixing):
            digest.update(weights.cpu().numpy().astype("<f4").tobytes())
        return digest.hexdigest()


def gabor_filters() -> NDArray[np.float64]:
    """[2 * ORIENTATIONS, 7, 7]: a wave of 4 pixels under a Gaussian of 1.6, without mean, of total weight 1."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    envelope = np.exp(-(x**2 + y**2) / (2 * 1.6**2))
    real, imaginary = [], []
    for k in range(ORIENTATIONS):
        along = x * np.cos(np.pi * k / ORIENTATIONS) + y * np.sin(np.pi * k / ORIENTATIONS)
        wave = np.exp(1j * np.pi / 2 * along)
        wavelet = envelope * (wave - (envelope * wave).sum() / envelope.sum())
        wavelet /= np.abs(wavelet).sum()
        real.append(wavelet.real)
        imaginary.append(wavelet.imag)
    return np.stack(real + imaginary)


def random_mixtures(rows: int, columns: int) -> NDArray[np.float64]:
    """[rows, columns] of length 1 each, from the raw bits of PCG64, which no version of numpy changes."""
    bits = np.random.PCG64(SEED).random_raw(rows * columns).astype(np.uint64)
    weights = (bits >> np.uint64(40)).astype(np.float64).reshape(rows, columns) / 2**23 - 1
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def _rounded(weights: NDArray[np.float64]) -> Tensor:
    """As float32 with 14 binary places: the last digits of exp and cos differ among machines."""
    return torch.from_numpy((np.rint(weights * 2**14) / 2**14).astype(np.float32))
