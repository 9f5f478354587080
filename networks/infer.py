"""The options of a network, read off its weights: for checkpoints of CUT, which come without them."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

FIRST = "model.1.weight"  # of every generator that can be told


def infer_generator_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """netG, ngf, normG, ... of residual generator weights without a prefix; empty if they are of another kind."""
    first, blocks = weights.get(FIRST), {n.split(".")[1] for n in weights if re.match(r"model\.\d+\.conv_block\.", n)}
    numbers = [int(m[1]) for n in weights if (m := re.fullmatch(r"model\.(\d+)\.weight", n))]
    if first is None or first.dim() != 4 or not blocks:
        return {}
    last = weights[f"model.{max(numbers)}.weight"]
    blurs = {tuple(weights[n].shape[2:]) for n in weights if n.endswith(".filt")}
    # 4 dimensions: without dropout, the batch norm after that convolution takes the number 6
    dropout = any(n.endswith(".conv_block.6.weight") and w.dim() == 4 for n, w in weights.items())
    biased = "model.1.bias" in weights  # an old instance norm may have running statistics too
    batch = any(n.endswith("running_mean") for n in weights)
    return {
        "netG": f"resnet_{len(blocks)}blocks",
        "ngf": first.shape[0],
        "input_nc": first.shape[1],
        "output_nc": last.shape[0] if last.dim() else 0,
        "normG": "instance" if biased else "batch" if batch else "none",
        "no_dropout": not dropout,
        "no_antialias": (3, 3) not in blurs,
        "no_antialias_up": (4, 4) not in blurs,
    }


def kind_of_network(weights: Mapping[str, Tensor]) -> str:
    """What the weights of a network are, in words, as far as their names and shapes tell."""
    found = infer_generator_options(weights)
    if found:
        return f"a generator of --netG {found['netG']} --ngf {found['ngf']} --normG {found['normG']}"
    if any(name.startswith("mlp_") for name in weights):
        return "a projection (netF)"
    if any(re.match(r"model\.(model\.)+", name) for name in weights):
        return "a U-Net as in pix2pix, which no --netG offers"
    first = weights.get("model.0.weight")
    if first is not None and first.dim() == 4 and all(re.match(r"model\.\d+\.[a-z_]+$", name) for name in weights):
        return f"a discriminator (netD) of --ndf {first.shape[0]}"
    name = next(iter(weights), None)
    return "no network" if name is None else f"a network that starts with {name} {list(weights[name].shape)}"
