"""The options of a generator, read off its weights: for checkpoints of CUT, which come without them."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def infer_generator_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """netG, ngf, normG, ... of residual generator weights without `module.`; empty if they are of another kind."""
    first, blocks = weights.get("model.1.weight"), {n.split(".")[1] for n in weights if ".conv_block." in n}
    numbers = [int(m[1]) for n in weights if (m := re.fullmatch(r"model\.(\d+)\.weight", n))]
    if first is None or first.dim() != 4 or not blocks:
        return {}
    last = weights[f"model.{max(numbers)}.weight"]
    blurs = {tuple(weights[n].shape[2:]) for n in weights if n.endswith(".filt")}
    # 4 dimensions: without dropout, the batch norm after that convolution takes the number 6
    dropout = any(n.endswith(".conv_block.6.weight") and w.dim() == 4 for n, w in weights.items())
    batch = any(n.endswith("running_mean") for n in weights)
    return {
        "netG": f"resnet_{len(blocks)}blocks",
        "ngf": first.shape[0],
        "input_nc": first.shape[1],
        "output_nc": last.shape[0] if last.dim() else 0,
        "normG": "batch" if batch else "instance" if "model.1.bias" in weights else "none",
        "no_dropout": not dropout,
        "no_antialias": (3, 3) not in blurs,
        "no_antialias_up": (4, 4) not in blurs,
    }
