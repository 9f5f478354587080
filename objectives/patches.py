"""Patches of feature maps: which positions, and the vectors there."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def sample_patch_ids(features: Sequence[Tensor], num_patches: int, generator: torch.Generator) -> list[Tensor]:
    """For each feature map [B, C, H, W], min(num_patches, H*W) different positions in 0..H*W-1, in random order."""
    return [
        torch.randperm(f.shape[2] * f.shape[3], generator=generator, device=generator.device)[:num_patches].to(f.device)
        for f in features
    ]


def mirrored(ids: Tensor, feature: Tensor) -> Tensor:
    """Where the positions `ids` of feature maps [B, C, H, W] are once these are mirrored left to right."""
    width = feature.shape[3]
    return ids + (width - 1) - 2 * (ids % width)


def sample_patches(feature: Tensor, ids: Tensor) -> Tensor:
    """The vectors of a feature map [B, C, H, W] at the positions [P] or [B, P] of each image: [B, P, C]."""
    # taken from [B, C, H*W], so that the gradient comes back contiguous, as the layers before want it
    columns = ids.expand(len(feature), -1)[:, None].expand(-1, feature.shape[1], -1)
    return feature.flatten(2).gather(2, columns).transpose(1, 2)


def at(ids: Sequence[Tensor]) -> Callable[[Tensor, int], Tensor]:
    """A function that takes the vectors at `ids` [B, P_l] from the feature map of layer l: see `networks.taps`."""
    return lambda feature, layer: sample_patches(feature, ids[layer])
