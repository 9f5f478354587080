"""Projection of sampled feature vectors for PatchNCE (CUT, Park et al. 2020, section 3), with CUT's parameter names."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from coopcut.networks.contract import Projection
from coopcut.networks.layers import INITIAL, init_weights
from coopcut.networks.registry import PROJECTIONS
from coopcut.options.option import Option, Options


@PROJECTIONS.register("sample")
class PatchNorm(Projection):
    """Nothing but the norm."""

    options: ClassVar[Sequence[Option]] = INITIAL

    @classmethod
    def from_options(cls, opt: Options, channels: Sequence[int]) -> Self:
        net = cls([nn.Identity() for _ in channels])
        init_weights(net, opt.init_type, opt.init_gain)
        return net

    def __init__(self, projections: Sequence[nn.Module]) -> None:
        """projections: what is applied to the vectors of each layer before they are normalized."""
        super().__init__()
        for index, projection in enumerate(projections):
            self.add_module(f"mlp_{index}", projection)

    def forward(self, patches: Sequence[Tensor]) -> list[Tensor]:
        result = []
        for index, vectors in enumerate(patches):
            vectors = getattr(self, f"mlp_{index}")(vectors)
            norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)  # its gradient at a zero vector is 0
            result.append(vectors / (norm + 1e-7))
        return result


@PROJECTIONS.register("mlp_sample")
class PatchMLP(PatchNorm):
    """A two-layer MLP for each layer, then the norm."""

    options: ClassVar[Sequence[Option]] = (
        Option("netF_nc", 256, "width of the projection [channels]", low=1, high=65536, fixed=True),
        *INITIAL,
    )

    @classmethod
    def from_options(cls, opt: Options, channels: Sequence[int]) -> Self:
        nc = opt.netF_nc
        net = cls([nn.Sequential(nn.Linear(channel, nc), nn.ReLU(), nn.Linear(nc, nc)) for channel in channels])
        init_weights(net, opt.init_type, opt.init_gain)
        return net
