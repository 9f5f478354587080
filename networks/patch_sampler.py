"""Projection of sampled feature vectors for PatchNCE (CUT, Park et al. 2020, section 3), with CUT's parameter names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from coopcut.networks.registry import PROJECTIONS


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


class PatchProjection(nn.Module):
    """Normalises feature vectors, optionally after one small MLP per layer.

    channels: those of each feature map. nc: width and output size of the MLP, for `use_mlp`.
    """

    def __init__(self, channels: Sequence[int], nc: int = 256, use_mlp: bool = True) -> None:
        super().__init__()
        for index, channel in enumerate(channels):
            mlp = nn.Sequential(nn.Linear(channel, nc), nn.ReLU(), nn.Linear(nc, nc)) if use_mlp else nn.Identity()
            self.add_module(f"mlp_{index}", mlp)

    def forward(self, patches: Sequence[Tensor]) -> list[Tensor]:
        """Feature vectors [B, P_l, C_l] -> unit vectors [B, P_l, C], for each layer."""
        result = []
        for index, vectors in enumerate(patches):
            vectors = getattr(self, f"mlp_{index}")(vectors)
            norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)  # its gradient at a zero vector is 0
            result.append(vectors / (norm + 1e-7))
        return result


@PROJECTIONS.register("mlp_sample")
def mlp_sample(channels: Sequence[int], nc: int) -> nn.Module:
    """A two-layer MLP for each layer."""
    return PatchProjection(channels, nc, use_mlp=True)


@PROJECTIONS.register("sample")
def sample(channels: Sequence[int], nc: int) -> nn.Module:
    """Nothing but the norm."""
    return PatchProjection(channels, nc, use_mlp=False)
