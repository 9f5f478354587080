"""Projection of sampled feature vectors for PatchNCE (CUT, Park et al. 2020, section 3), with CUT's parameter names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks.registry import PROJECTIONS


def sample_patch_ids(features: Sequence[Tensor], num_patches: int, generator: torch.Generator) -> list[Tensor]:
    """For each feature map [B, C, H, W], min(num_patches, H*W) different positions in 0..H*W-1, in random order."""
    return [
        torch.randperm(f.shape[2] * f.shape[3], generator=generator, device=generator.device)[:num_patches].to(f.device)
        for f in features
    ]


class PatchSampler(nn.Module):
    """Takes the feature vectors at given positions, optionally through one small MLP per layer, and normalises them.

    channels: those of each feature map. nc: width and output size of the MLP, for `use_mlp`.
    """

    def __init__(self, channels: Sequence[int], nc: int = 256, use_mlp: bool = True) -> None:
        super().__init__()
        for index, channel in enumerate(channels):
            mlp = nn.Sequential(nn.Linear(channel, nc), nn.ReLU(), nn.Linear(nc, nc)) if use_mlp else nn.Identity()
            self.add_module(f"mlp_{index}", mlp)

    def forward(self, features: Sequence[Tensor], ids: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps [B, C_l, H_l, W_l], positions [P_l] or [B, P_l] -> unit vectors [B, P_l, C], for each layer."""
        result = []
        for index, (feature, position) in enumerate(zip(features, ids, strict=True)):
            # taken from [B, C, H*W], so that the gradient comes back contiguous, as the layers before want it
            columns = position.expand(len(feature), -1)[:, None].expand(-1, feature.shape[1], -1)
            vectors = feature.flatten(2).gather(2, columns).transpose(1, 2)  # [B, P, C_l]
            vectors = getattr(self, f"mlp_{index}")(vectors)
            norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)  # its gradient at a zero vector is 0
            result.append(vectors / (norm + 1e-7))
        return result


@PROJECTIONS.register("mlp_sample")
def mlp_sample(channels: Sequence[int], nc: int) -> nn.Module:
    """Sampling and a two-layer MLP."""
    return PatchSampler(channels, nc, use_mlp=True)


@PROJECTIONS.register("sample")
def sample(channels: Sequence[int], nc: int) -> nn.Module:
    """Sampling alone."""
    return PatchSampler(channels, nc, use_mlp=False)
