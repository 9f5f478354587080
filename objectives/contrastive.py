"""What a generator learns from its own inputs: each patch of a translation is to be told by its patch of the source.

The contrastive part of CUT (Park et al., "Contrastive learning for unpaired image-to-image translation", ECCV 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coopcut.engine.base_model import BaseModel
from coopcut.engine.processes.collectives import gather
from coopcut.losses.patchnce import patch_nce
from coopcut.networks import create_F, nce_layers
from coopcut.networks.patch_sampler import mirrored, sample_patch_ids, sample_patches


@dataclass(frozen=True)
class Forward:
    """The generator's outputs for a batch, and the features of its inputs as keys of the contrastive loss."""

    fake_B: Tensor
    idt_B: Tensor | None
    flipped: bool
    keys_A: list[Tensor]
    keys_B: list[Tensor]


class ContrastiveModel(BaseModel):
    """A generator with the contrastive loss; its options are those of `coopcut.models.cut`."""

    def add_generator(self, G: nn.Module) -> None:
        """Register the generator and the projection of its features, with their optimizers."""
        F = create_F(self.opt, G)
        self.layers = nce_layers(self.opt)
        self.reuse_features = self.joins_batches = bool(G.features_are_pure)
        self.G = self.add_network("G", G)
        call_F = self.add_network("F", F)
        self.F = call_F if len(self.devices) == 1 else F  # lists of features are not spread over devices
        self.add_optimizer("G", G.parameters())
        if list(F.parameters()):
            self.add_optimizer("F", F.parameters())

    def forward(self, real_A: Tensor, real_B: Tensor, flipped: bool) -> Forward:
        """Translate A, and B where the identity term wants it, in one pass if the sizes allow it.

        The keys take no gradient, so that the features met on the way serve as well as a second pass through the
        encoder. Only flipped inputs, and networks whose features depend on the batch or on chance, need one.
        """
        both = [real_A, real_B] if self.opt.nce_idt else [real_A]
        if len({images.shape[1:] for images in both}) == 1:
            output, features = self.G(flip(torch.cat(both), flipped), self.layers)
            outputs = output.split([len(images) for images in both])
            keys = [
                [f.detach() for f in fs]
                for fs in zip(*(f.split([len(i) for i in both]) for f in features), strict=True)
            ]
        else:
            passes = [self.G(flip(images, flipped), self.layers) for images in both]
            outputs = [output for output, _ in passes]
            keys = [[f.detach() for f in features] for _, features in passes]
        if self.opt.lambda_NCE > 0 and (flipped or not self.reuse_features):
            with torch.no_grad():
                keys = [self.G(images, self.layers, True) for images in both]
        if not self.opt.nce_idt:
            return Forward(outputs[0], None, flipped, keys[0], [])
        return Forward(outputs[0], outputs[1], flipped, keys[0], keys[1])

    def contrastive_loss(self, out: Forward) -> tuple[Tensor, dict[str, Tensor]]:
        """PatchNCE on the translation, averaged with the one on the identity if that is wanted."""
        if self.opt.lambda_NCE == 0:
            return out.fake_B.new_zeros(()), {"NCE": out.fake_B.new_zeros(())}
        outputs, keys = [out.fake_B], [out.keys_A]
        if out.idt_B is not None:
            outputs, keys = [out.fake_B, out.idt_B], [out.keys_A, out.keys_B]
        losses = self.nce(outputs, keys, out.flipped)
        parts = {name: loss.detach() for name, loss in zip(("NCE", "NCE_Y"), losses, strict=False)}
        return torch.stack(losses).mean(), parts

    def nce(self, outputs: Sequence[Tensor], keys: Sequence[list[Tensor]], flipped: bool) -> list[Tensor]:
        """For each batch of outputs the mean PatchNCE loss over the layers, weighted.

        keys: the features of the inputs of each.
        """
        ids = [sample_patch_ids(features, self.opt.num_patches, self.rng.device) for features in keys]
        places = ids
        if flipped:
            places = [list(map(mirrored, *pair)) for pair in zip(ids, keys, strict=True)]
        queries = self.queries(outputs, places)
        with torch.no_grad():
            keys = [self.F(list(map(sample_patches, *pair))) for pair in zip(keys, ids, strict=True)]
        return [self.nce_of(query, key) * self.opt.lambda_NCE for query, key in zip(queries, keys, strict=True)]

    def queries(self, outputs: Sequence[Tensor], ids: Sequence[list[Tensor]]) -> list[Sequence[Tensor]]:
        """The unit vectors of each of several batches at its positions, for each layer.

        The batches are encoded in one pass if the sizes and G's norm allow it.
        """
        rows = [[p.expand(len(images), -1) for p in of_one] for images, of_one in zip(outputs, ids, strict=True)]
        if not self.joins_batches or len({images.shape[1:] for images in outputs}) > 1:
            return [
                self.F(self.G(images, self.layers, True, of_one)) for images, of_one in zip(outputs, rows, strict=True)
            ]
        layers = [torch.cat(list(layer)) for layer in zip(*rows, strict=True)]
        vectors = self.F(self.G(torch.cat(list(outputs)), self.layers, True, layers))
        sizes = [len(images) for images in outputs]
        return list(zip(*(layer.split(sizes) for layer in vectors), strict=True))

    def nce_of(self, queries: Sequence[Tensor], keys: Sequence[Tensor]) -> Tensor:
        """Mean PatchNCE loss over the layers, whose unit vectors are given."""
        everywhere, first = self.opt.nce_includes_all_negatives_from_minibatch, 0
        if everywhere:
            keys, first = [gather(key, self.share) for key in keys], self.share.start
        losses = [
            patch_nce(query, key, self.opt.nce_T, everywhere, first) for query, key in zip(queries, keys, strict=True)
        ]
        return torch.stack(losses).mean()


def flip(images: Tensor, flipped: bool) -> Tensor:
    """Mirror [B, C, H, W] left to right if wanted."""
    return images.flip(3) if flipped else images
