"""What the scripts say of their flags: the sections of --help, and what may be meant by an unknown one."""

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from coopcut.data import DATASETS
from coopcut.models import MODELS
from coopcut.options.components import all_groups
from coopcut.options.option import Group, Option
from coopcut.options.test_options import SAMPLING, TEST
from coopcut.options.train_options import TRAIN


def hint(flag: str, known: Sequence[str], is_train: bool) -> str:
    """What may be meant by a flag that the script does not know."""
    other, groups = ("test", TEST) if is_train else ("train", TRAIN)
    if flag in (f"--{name}" for name in by_name(groups)):
        return f"; it is a flag of {other}.py"
    if flag in (f"--{name}" for name in by_name([SAMPLING])) and not is_train:
        return "; it is a flag of methods that make images from noise (--model gan)"
    if owners := _owners(flag):
        return f"; it belongs to {owners}"
    close = [name for name in known if name.lower() == flag.lower()]
    close = close or difflib.get_close_matches(flag, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; see python {'train' if is_train else 'test'}.py --help"


def by_name(groups: Iterable[Group]) -> dict[str, Option]:
    """The options of `groups` by their names."""
    return {option.name: option for group in groups for option in group.options}


def fitting(groups: Iterable[Group], purpose: str) -> list[Group]:
    """The groups with the data sets that a method of this purpose can learn from."""
    names = {name: DATASETS[name] for name in DATASETS if DATASETS[name].purpose == purpose}
    return [
        replace(group, options=[replace(o, registry=names) if o.registry is DATASETS else o for o in group.options])
        for group in groups
    ]


def _owners(flag: str) -> str:
    """The choices that bring `flag`: `--netD n_layers`, or `--model cut, coopcut`."""
    models, others = [], dict[str, None]()
    for name in MODELS:
        for group in all_groups(name, MODELS[name]):
            if flag in (f"--{option.name}" for option in group.options):
                is_network = group.title.startswith("--") and not group.title.startswith("--model")
                (others.setdefault(group.title) if is_network else models.append(name))
    return ", ".join([*others] or ([f"--model {', '.join(models)}"] if models else []))


def without_repeats(groups: Iterable[Group], parser: Callable[[Iterable[Group]], argparse.ArgumentParser]) -> str:
    """The help of `groups`; an option that several of them have is in each of those sections."""
    seen: set[str] = set()
    shown = []
    for group in groups:
        new = [option for option in group.options if option.name not in seen]
        seen |= {option.name for option in new}
        if new:
            shown.append(Group(group.title, new))
    return parser(shown).format_help()
