"""What a generator learns from its own inputs: to tell each patch of a translation by its patch of the source.

The contrastive part of CUT (Park et al., "Contrastive learning for unpaired image-to-image translation", ECCV 2020).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coopcut.engine.precision import Network
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Losses, StepContext
from coopcut.losses.patchnce import patch_nce
from coopcut.networks import NET_F, create_F
from coopcut.networks.contract import Generator
from coopcut.networks.taps import Taps, is_pure
from coopcut.objectives.base import Objective
from coopcut.objectives.patches import at, mirrored, sample_patch_ids, sample_patches
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError


@dataclass(frozen=True)
class Translated:
    """What the generator makes of several batches of images, [B, C, H, W] each.

    sources: the batches. features: for each batch those of its inputs met on the way, [B, C_l, H_l, W_l] for each layer
    l, without gradient. flipped: whether the inputs were mirrored; outputs and features then are, too.
    """

    outputs: list[Tensor]
    sources: list[Tensor]
    features: list[list[Tensor]]
    flipped: bool


class Contrastive(Objective):
    """The projection F of features of the generator G, and the PatchNCE loss between inputs and outputs of G."""

    options = (
        NET_F,
        Option("lambda_NCE", 1.0, "weight of the contrastive loss (FastCUT: 10)", low=0),
        Option("nce_layers", "0,4,8,12,16", "layers of the generator whose features are contrasted", fixed=True),
        Option("nce_includes_all_negatives_from_minibatch", False, "take negatives from all images of the batch"),
        Option("nce_T", 0.07, "temperature of the contrastive loss", above=0),
        Option("num_patches", 256, "patches per layer", low=1),
        Option("flip_equivariance", False, "mirror the inputs in half of the steps, then mirror their features back"),
    )

    @classmethod
    def check(cls, opt: Options) -> None:
        nce_layers(opt)
        if opt.lambda_NCE > 0 and opt.input_nc != opt.output_nc:
            raise OptionError(
                f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ: the contrastive loss encodes both "
                "domains with one network; make them equal, or use --lambda_NCE 0 --nce_idt False"
            )
        if opt.accumulation_steps > 1 and opt.nce_includes_all_negatives_from_minibatch:
            raise OptionError(
                "--accumulation_steps: the negatives of --nce_includes_all_negatives_from_minibatch would come from a "
                "part of the batch; use one of the two"
            )

    def __init__(self, opt: Options, runtime: Runtime, G: Network[Generator]) -> None:
        super().__init__()
        layers, known = nce_layers(opt), len(G.net.taps)
        if layers[-1] >= known:
            raise OptionError(f"--nce_layers {opt.nce_layers}: --netG {opt.netG} has the layers 0 to {known - 1}")
        self.opt, self.G, self.taps = opt, G, Taps(G, layers)
        self.pure = is_pure(G.net)
        self.F = runtime.prepare(create_F(opt, self.taps.channels))
        self.networks = {"F": self.F}

    def flips(self, ctx: StepContext) -> bool:
        """Whether this step's inputs are mirrored: half of the steps with --flip_equivariance."""
        return bool(self.opt.flip_equivariance) and ctx.coin()

    def translate(self, sources: Sequence[Tensor], flipped: bool) -> Translated:
        """Translate each of several batches, in one pass if the sizes allow it."""
        if len({images.shape[1:] for images in sources}) == 1:
            sizes = [len(images) for images in sources]
            output, found = self.taps.forward(flip(torch.cat(list(sources)), flipped))
            outputs = list(output.split(sizes))
            features = [list(of_one) for of_one in zip(*(f.detach().split(sizes) for f in found), strict=True)]
        else:
            passes = [self.taps.forward(flip(images, flipped)) for images in sources]
            outputs = [output for output, _ in passes]
            features = [[f.detach() for f in found] for _, found in passes]
        return Translated(outputs, list(sources), features, flipped)

    def loss(self, out: Translated, ctx: StepContext) -> Losses:
        """The mean of the batches' losses: NCE of the first, the translation, and NCE_Y of the second, the identity."""
        if self.opt.lambda_NCE == 0:
            nothing = out.outputs[0].new_zeros(())
            return Losses(nothing, {"NCE": nothing})
        losses = self.nce(out, ctx)
        logged = {name: loss.detach() for name, loss in zip(("NCE", "NCE_Y"), losses, strict=False)}
        return Losses(torch.stack(losses).mean(), logged)

    def nce(self, out: Translated, ctx: StepContext) -> list[Tensor]:
        """For each batch the mean PatchNCE loss over the layers, weighted."""
        ids = [sample_patch_ids(features, self.opt.num_patches, ctx.generator) for features in out.features]
        places = ids
        if out.flipped:
            places = [list(map(mirrored, *pair)) for pair in zip(ids, out.features, strict=True)]
        losses = []
        for index, queries in enumerate(self.queries(out.outputs, places)):
            losses.append(self.nce_of(queries, self.keys(out, index, ids[index]), ctx) * self.opt.lambda_NCE)
        return losses

    @torch.no_grad()
    def keys(self, out: Translated, index: int, ids: Sequence[Tensor]) -> list[Tensor]:
        """The unit vectors of the inputs of one batch at its positions, for each layer.

        They take no gradient, so that the features met on the way serve as well as a second pass through the encoder.
        Only flipped inputs, and networks whose features depend on the batch or on chance, need one.
        """
        if out.flipped or not self.pure:
            return self.F(self.taps.encode(out.sources[index], at(ids)))
        return self.F(list(map(sample_patches, out.features[index], ids)))

    def queries(self, outputs: Sequence[Tensor], ids: Sequence[Sequence[Tensor]]) -> Iterator[Sequence[Tensor]]:
        """The unit vectors of each of several batches at its positions, for each layer.

        The batches are encoded in one pass if the sizes and G's norm allow it; else each when it is asked for, because
        with batch norm CUT encodes the first batch and its keys before the second.
        """
        rows = [[p.expand(len(images), -1) for p in of_one] for images, of_one in zip(outputs, ids, strict=True)]
        if not self.pure or len({images.shape[1:] for images in outputs}) > 1:
            yield from (
                self.F(self.taps.encode(images, at(of_one))) for images, of_one in zip(outputs, rows, strict=True)
            )
            return
        layers = [torch.cat(list(layer)) for layer in zip(*rows, strict=True)]
        vectors = self.F(self.taps.encode(torch.cat(list(outputs)), at(layers)))
        sizes = [len(images) for images in outputs]
        yield from zip(*(layer.split(sizes) for layer in vectors), strict=True)

    def nce_of(self, queries: Sequence[Tensor], keys: Sequence[Tensor], ctx: StepContext) -> Tensor:
        """Mean PatchNCE loss over the layers, whose unit vectors are given."""
        everywhere, first = self.opt.nce_includes_all_negatives_from_minibatch, 0
        if everywhere:
            keys, first = [ctx.gather(key) for key in keys], ctx.shard.start
        losses = [
            patch_nce(query, key, self.opt.nce_T, everywhere, first) for query, key in zip(queries, keys, strict=True)
        ]
        return torch.stack(losses).mean()


def nce_layers(opt: Options) -> list[int]:
    """`--nce_layers` as sorted numbers. Raises `OptionError` for anything else than distinct numbers with commas."""
    try:
        layers = [int(text) for text in opt.nce_layers.split(",")]
    except ValueError:
        raise OptionError(
            f"--nce_layers {opt.nce_layers}: write layer numbers with commas, as in 0,4,8,12,16"
        ) from None
    if len(set(layers)) < len(layers) or min(layers) < 0:
        raise OptionError(f"--nce_layers {opt.nce_layers}: the numbers must differ and not be negative")
    return sorted(layers)


def flip(images: Tensor, flipped: bool) -> Tensor:
    """Mirror [B, C, H, W] left to right if wanted."""
    return images.flip(3) if flipped else images
