"""A network's weights out of a file's content: found there, compared, and filled in."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from coopcut.engine.checkpoint.files import load_weights
from coopcut.engine.checkpoint.formats import current
from coopcut.engine.checkpoint.state_dicts import networks_in, number_of_tensors, only_one, state_dicts, what_is
from coopcut.networks.infer import FIRST, infer_generator_options, kind_of_network
from coopcut.networks.layers import InstanceNorm2d
from coopcut.options.option import Options
from coopcut.util.errors import CheckpointError

log = logging.getLogger(__name__)

COUNTER = "num_batches_tracked"  # of a norm; nothing is computed with it
COUNTERS = (COUNTER, "total_ops", "total_params")  # the others are of thop, which counts operations
STATISTICS = ("running_mean", "running_var")
# how the parts that are no generator are usually called, where a file holds them beside its layers without a prefix
OTHERS = re.compile(r"(net)?[DF](_\w+)?\.|(discriminator|criterion|loss|metric)\w*\.")


def fill(net: nn.Module, content: Any, source: Path, opt: Options) -> None:
    """Fill `net` with its weights in `content`, whatever prefix or container they have.

    Beside them there may be other networks, counters, and what an old instance norm counted; it is left aside, and
    said so. Raises `CheckpointError` if its tensors are not all there, if there are more that a network may compute
    with, or if the weights of several networks fit.
    """
    if next(state_dicts(content), None) is None:
        raise CheckpointError(
            f"{source} is not a file of one network's weights (a state_dict): it holds {what_is(content)}"
        )
    found = networks_in(content, net.state_dict())
    fitting = [each for each in found if _fits(net, each.weights)]
    if fitting:
        chosen = only_one(fitting, source)
    else:
        chosen = found[0] if found else max(state_dicts(content), key=lambda each: len(each.weights))
    if _is_complete(net, chosen.weights):
        _refuse_unknown(net, chosen.weights, source)
    weights = {name: value for name, value in chosen.weights.items() if name not in _unused(net, chosen.weights)}
    counters = {name: value for name, value in net.state_dict().items() if name.endswith(COUNTER)}
    load_weights(net, counters | weights, source, _difference(chosen.weights, opt))
    others = number_of_tensors(content) - len(weights)
    if others:
        place = f" under {chosen.place}" if chosen.place else ""
        log.info("%s: %d tensors%s are used, %d are ignored", source, len(weights), place, others)


def options_of_generator(content: Any, source: Path) -> dict[str, Any]:
    """What `infer_generator_options` says of the generator in `content`. Raises `CheckpointError` for several."""
    generators = [each for each in networks_in(content, [FIRST]) if infer_generator_options(each.weights)]
    return infer_generator_options(only_one(generators, source).weights) if generators else {}


def network_of_state(content: Any, network: str, source: Path) -> Any:
    """A network of the full state that `Run` saves, its average if there is one; any other `content` as it is."""
    model = content.get("model") if isinstance(content, Mapping) and {"position", "format"} <= content.keys() else None
    if not isinstance(model, Mapping) or not {"networks", "ema"} <= model.keys() or network not in model["networks"]:
        return content
    averaged = current(content, source)["model"]["ema"].get(network)
    kind = "averaged " if averaged is not None else ""
    log.info("%s is the full training state: using its %snet%s", source, kind, network)
    if averaged is None:
        return model["networks"][network]
    return {name: value for name, value in averaged.items() if name != "n_averaged"}


def _fits(net: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    return _is_complete(net, weights) and not _unknown(net, weights)


def _is_complete(net: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    ours = net.state_dict()
    return all(
        name in weights and weights[name].shape == ours[name].shape for name in ours if not name.endswith(COUNTER)
    )


def _unknown(net: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    ours, unused = net.state_dict(), _unused(net, weights)
    return [name for name in weights if name not in ours and name not in unused]


def _refuse_unknown(net: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Raise `CheckpointError` for tensors that belong to no layer of `net`: their purpose is unknown."""
    layers = {name for name, module in net.named_modules() if next(module.children(), None) is None}
    unknown = _unknown(net, weights)
    if unknown and not any(name.rpartition(".")[0] in layers for name in unknown):
        named = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise CheckpointError(
            f"{source} holds unknown tensors: {named}; if its network needs them, it cannot be used; otherwise remove "
            "them from the file"
        )


def _unused(net: nn.Module, weights: Mapping[str, Tensor]) -> set[str]:
    """Those of `weights` that `net` lacks and that would change nothing it computes.

    They are the statistics of instance norms, which those of torch before 0.4 kept and did not use in training,
    counters, and other networks.
    """
    ours = net.state_dict()
    norms = [name for name, module in net.named_modules() if isinstance(module, InstanceNorm2d)]
    kept = {f"{name}.{part}" for name in norms for part in STATISTICS}
    more = weights.keys() - ours.keys()
    return {name for name in more if name in kept or name.split(".")[-1] in COUNTERS or OTHERS.match(name)}


def _difference(weights: Mapping[str, Tensor], opt: Options) -> str:
    """How the weights of another architecture differ from what the options say."""
    theirs = infer_generator_options(weights)
    if not theirs:
        return f"it belongs to a different architecture (--netG, --netD, --netF): it is {kind_of_network(weights)}"
    differ = [name for name, value in theirs.items() if getattr(opt, name) != value]
    if not differ:
        return f"it resembles --netG {theirs['netG']} but has layers that no --netG has"
    has = " ".join(f"--{name} {theirs[name]}" for name in differ)
    here = " ".join(f"--{name} {getattr(opt, name)}" for name in differ)
    return f"it belongs to a different architecture: it has {has}, but this run has {here}"
