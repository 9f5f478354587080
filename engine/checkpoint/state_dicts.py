"""The weights of one network in what a file holds: under prefixes of wrappers, in containers, beside other networks.

A file may hold a state_dict, or mappings and lists with state_dicts in them, to any depth. A network's weights are the
tensors of one state_dict whose names begin with one prefix, which ends with a dot or is empty.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coopcut.util.errors import CheckpointError

# put into the names of parameters by torch.compile, FSDP and activation checkpointing, wherever the wrapped module is
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
DEEPEST = 8  # mappings within mappings; a file can hold one that holds itself


@dataclass(frozen=True)
class Found:
    """Weights of a network. place: where in the file, as in 'state_dict.netG', '' for the file itself."""

    place: str
    weights: dict[str, Tensor]


def state_dicts(content: Any, optimizers: bool = False, place: str = "", depth: int = 0) -> Iterator[Found]:
    """Every mapping in `content` that holds tensors by name; without the names of wrappers.

    optimizers: those in the states of optimizers too, which are the weights of no network.
    """
    if isinstance(content, list | tuple):
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or depth > DEEPEST or (_is_optimizer(content) and not optimizers):
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        plain = {_WRAPPERS.sub("", name): value for name, value in tensors.items()}
        yield Found(place, plain if len(plain) == len(tensors) else tensors)
    for name, value in content.items():
        yield from state_dicts(value, optimizers, _joined(place, str(name)), depth + 1)


def networks_in(content: Any, names: Iterable[str]) -> list[Found]:
    """The weights under every prefix with at least half of `names`, those with most of them first."""
    wanted = set(names)
    found: list[tuple[int, Found]] = []
    for each in state_dicts(content):
        numbers = Counter(prefix for name in each.weights for prefix, rest in _splits(name) if rest in wanted)
        for prefix, number in [pair for pair in numbers.items() if 2 * pair[1] >= len(wanted)]:
            weights = {n[len(prefix) :]: value for n, value in each.weights.items() if n.startswith(prefix)}
            found.append((number, Found(_joined(each.place, prefix.rstrip(".")), weights)))
    return [each for _, each in sorted(found, key=lambda pair: -pair[0])]


def only_one(found: list[Found], source: Path) -> Found:
    """The one of `found`, which are not none; several of the same values count as one. Raises `CheckpointError`."""
    first = found[0]
    for other in found[1:]:
        if not _equal(first.weights, other.weights):
            places = ", ".join(each.place or "the top" for each in found)
            raise CheckpointError(
                f"{source} holds {len(found)} networks that fit ({places}): save the weights of the one you "
                "mean to a separate file with torch.save"
            )
    return first


def number_of_tensors(content: Any) -> int:
    """How many tensors there are by name in `content`."""
    return sum(len(each.weights) for each in state_dicts(content, optimizers=True))


def what_is(content: Any) -> str:
    """What a file without any state_dict holds, in words."""
    if isinstance(content, Mapping) and _is_optimizer(content):
        return "the state of an optimizer"
    if isinstance(content, Tensor):
        return f"one tensor of shape {tuple(content.shape)}"
    if isinstance(content, Mapping):
        return f"a dictionary with {', '.join(map(repr, list(content)[:4]))}" if content else "an empty dictionary"
    return "nothing (None)" if content is None else f"a {type(content).__name__}"


def _is_optimizer(content: Mapping[Any, Any]) -> bool:
    return {"state", "param_groups"} <= content.keys()


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """'a.b.c' -> ('', 'a.b.c'), ('a.', 'b.c'), ('a.b.', 'c')."""
    yield "", name
    for match in re.finditer(r"\.", name):
        yield name[: match.end()], name[match.end() :]


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place and name else place or name


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
