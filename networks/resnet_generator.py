"""The residual generator of Johnson et al. 2016 as CUT uses it, with CUT's parameter names (`model.<i>...`)."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from coopcut.networks.blur import Downsample, Upsample
from coopcut.networks.fused import run_layers
from coopcut.networks.layers import has_bias, norm_layer
from coopcut.networks.patch_sampler import sample_patches
from coopcut.networks.registry import GENERATORS


class ResnetBlock(nn.Module):
    """x + conv_block(x), two 3x3 convolutions with reflection padding: [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        block: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        block += [norm_layer(norm)(channels), nn.ReLU()]
        if dropout:
            block += [nn.Dropout(0.5)]
        block += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm_layer(norm)(channels)]
        self.conv_block = nn.Sequential(*block)

    def forward(self, x: Tensor) -> Tensor:
        return x + run_layers(list(self.conv_block), x)


class ResnetGenerator(nn.Module):
    """7x7 convolution, two downsamplings, `n_blocks` residual blocks, two upsamplings, 7x7 convolution, tanh.

    Images [B, input_nc, H, W] in [-1, 1] -> [B, output_nc, H, W] in [-1, 1]; H and W multiples of 4, at least 16.
    `feature_channels[i]` are the channels of the output of `model[i]`, the layers that `--nce_layers` may name.
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        ngf: int = 64,
        n_blocks: int = 9,
        norm: str = "instance",
        dropout: bool = False,
        antialias_down: bool = True,
        antialias_up: bool = True,
    ) -> None:
        super().__init__()
        self.model = nn.Sequential()
        self.feature_channels: list[int] = []
        # features of an image do not depend on the rest of the batch, nor on chance: one pass gives output and features
        self.features_are_pure = norm != "batch" and not dropout
        make_norm, bias = norm_layer(norm), has_bias(norm)

        def add(channels: int, *modules: nn.Module) -> None:
            for module in modules:
                self.model.append(module)
                self.feature_channels.append(channels)

        add(input_nc, nn.ReflectionPad2d(3))
        add(ngf, nn.Conv2d(input_nc, ngf, 7, bias=bias), make_norm(ngf), nn.ReLU())
        for nc in (ngf, 2 * ngf):
            stride = 1 if antialias_down else 2
            add(2 * nc, nn.Conv2d(nc, 2 * nc, 3, stride, padding=1, bias=bias), make_norm(2 * nc), nn.ReLU())
            if antialias_down:
                add(2 * nc, Downsample(2 * nc))
        for _ in range(n_blocks):
            add(4 * ngf, ResnetBlock(4 * ngf, norm, dropout))
        for nc in (4 * ngf, 2 * ngf):
            if antialias_up:
                add(nc, Upsample(nc))
                add(nc // 2, nn.Conv2d(nc, nc // 2, 3, padding=1, bias=bias))
            else:
                add(nc // 2, nn.ConvTranspose2d(nc, nc // 2, 3, stride=2, padding=1, output_padding=1, bias=bias))
            add(nc // 2, make_norm(nc // 2), nn.ReLU())
        add(ngf, nn.ReflectionPad2d(3))
        add(output_nc, nn.Conv2d(ngf, output_nc, 7), nn.Tanh())
        # what is computed again for the gradients instead of being kept: all ("full"), what lies between convolutions
        # ("selective"), or nothing
        self.checkpointing = ""
        self.rectifiers = {i for i, module in enumerate(self.model) if isinstance(module, nn.ReLU)}

    def forward(
        self, x: Tensor, layers: Sequence[int] = (), encode_only: bool = False, ids: Sequence[Tensor] | None = None
    ) -> Any:
        """Images alone; with `layers` (images, features); with `encode_only` features, run no further than needed.

        The features are the outputs of `model[l]` for `layers` in increasing order, each [B, C_l, H_l, W_l]. As in
        CUT, whose ReLU overwrites its input, a layer before a ReLU is seen after it, unless it is the last one.
        With `ids`, positions [B, P_l] for each of the layers, they are the vectors [B, P_l, C_l] there; taken on the
        way, so that their gradients are filled into maps one by one on the way back.
        """
        last = max(layers, default=-1)
        number = last + 1 if encode_only else len(self.model)
        features: list[Tensor] = []
        modules = list(self.model)
        again = self.checkpointing if torch.is_grad_enabled() else ""
        for start, stop in self._groups(number, layers, again):
            if again:
                x = checkpoint(self._run, x, start, stop, use_reentrant=False, **_KEPT[again])
            else:
                x = run_layers(modules[start:stop], x)
            if stop - 1 in layers:
                feature = x.relu() if stop - 1 < last and stop in self.rectifiers else x
                features.append(sample_patches(feature, ids[len(features)]) if ids else feature)
        if encode_only:
            return features
        return (x, features) if layers else x

    def _run(self, x: Tensor, start: int, stop: int) -> Tensor:
        for module in list(self.model)[start:stop]:
            x = module(x)
        return x

    def _groups(self, number: int, layers: Sequence[int], again: str) -> Iterator[tuple[int, int]]:
        """The first `number` modules in groups; those in `layers` and the last one end one.

        Of a group that is computed `again` for the gradients the input is kept: there, groups also end with a block,
        with the module before one, and when all is computed again with a rectifier, else with a convolution, whose
        output is kept anyway.
        """
        modules = list(self.model)[:number]
        start = 0
        for index, module in enumerate(modules):
            before_block = index + 1 < number and isinstance(modules[index + 1], ResnetBlock)
            ended = bool(again) and (before_block or isinstance(module, (ResnetBlock, *_ENDS[again])))
            if index in layers or index + 1 == number or ended:
                yield start, index + 1
                start = index + 1


def _keep_convolutions(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    kept = operator is torch.ops.aten.convolution.default
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


# by `checkpointing`: the modules that end a group
_ENDS: dict[str, tuple[type[nn.Module], ...]] = {
    "full": (nn.ReLU,),
    "selective": (nn.Conv2d, nn.ConvTranspose2d),
}
# by `checkpointing`: more arguments of torch.utils.checkpoint
_KEPT: dict[str, Any] = {
    "full": {},  # torch.compile takes no context function
    "selective": {"context_fn": partial(create_selective_checkpoint_contexts, _keep_convolutions)},
}


for _n in (9, 6, 4):
    GENERATORS.register(f"resnet_{_n}blocks")(partial(ResnetGenerator, n_blocks=_n))
