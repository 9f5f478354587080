"""Features of a generator, taken from outside: what some of its modules give, by forward hooks."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from coopcut.engine.precision import Network
from coopcut.networks.contract import Generator

Select = Callable[[Tensor, int], Tensor]


class Taps:
    """The outputs [B, C_l, H_l, W_l] of the modules `network.net.taps[l]` for `layers` l in increasing order.

    As in CUT, whose ReLU overwrites its input, a layer before a ReLU is seen after it, unless it is the last of
    `layers`. channels: C_l of each.
    """

    def __init__(self, network: Network[Generator], layers: Sequence[int]) -> None:
        self.net = network.net
        self.modules = _seen(network.net.taps, layers)
        self.channels = _channels(network.net, layers)
        self._found: list[Tensor] = []
        self._select: Select | None = None
        self._stops = False
        self._hooks = [self._hook(place) for place in range(len(self.modules))]  # made once: a compiled call knows them
        self._forward = network.wrap(self._images_and_features)
        self._encode = network.wrap(self._features)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The generator's images for `images` [B, C, H, W], and the features met on the way."""
        with self._hooked():
            output, features = self._forward(images)
        return output, list(features)

    def encode(self, images: Tensor, select: Select | None = None) -> list[Tensor]:
        """The features alone; the generator is run no further than needed.

        select(feature, number of the layer among `layers`) is applied on the way, so that the gradients of what it
        takes from a map are filled into maps one by one on the way back.
        """
        with self._hooked(select):
            return list(self._encode(images))

    def _images_and_features(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        self._found, self._stops = [], False
        return self.net(images), self._found

    def _features(self, images: Tensor) -> list[Tensor]:
        self._found = []
        self._stops = not torch.compiler.is_compiling()  # a compiler drops what nothing comes of
        with suppress(_Done):
            self.net(images)
        return self._found

    @contextmanager
    def _hooked(self, select: Select | None = None) -> Iterator[None]:
        self._select = select
        handles = [m.register_forward_hook(hook) for m, hook in zip(self.modules, self._hooks, strict=True)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._found, self._select = [], None

    def _hook(self, place: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._found.append(output if self._select is None else self._select(output, place))
            if self._stops and place + 1 == len(self.modules):
                raise _Done

        return keep


class _Done(Exception):  # noqa: N818 (no error)
    """All features are there."""


def is_pure(net: nn.Module) -> bool:
    """Whether what `net` makes of an image depends neither on the rest of the batch nor on chance."""
    return not getattr(net, "sees_batch", False) and not any(
        isinstance(m, _BatchNorm) or (isinstance(m, _DropoutNd) and m.p > 0) for m in net.modules()
    )


def _seen(taps: Sequence[nn.Module], layers: Sequence[int]) -> list[nn.Module]:
    return [taps[i + 1] if i < layers[-1] and isinstance(taps[i + 1], nn.ReLU) else taps[i] for i in layers]


def _channels(net: Generator, layers: Sequence[int]) -> list[int]:
    """The channels of the layers' outputs, by a run of a copy that has shapes and no values."""
    ghost = copy.deepcopy(net).to("meta")
    found: dict[int, int] = {}
    for layer in layers:
        ghost.taps[layer].register_forward_hook(
            lambda module, inputs, output, layer=layer: found.__setitem__(layer, output.shape[1])
        )
    side = math.ceil(max(ghost.min_size, 64) / ghost.multiple) * ghost.multiple  # some norms refuse single pixels
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        ghost(torch.empty(1, ghost.in_channels, side, side, device="meta"))
    return [found[layer] for layer in layers]
