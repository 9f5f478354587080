"""The options that components declare beside their class: a method, its objectives, and the networks they choose."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from coopcut.options.option import Group, Option
from coopcut.util.errors import OptionError
from coopcut.util.registry import Registry


def component_groups(name: str, method: Any, values: Mapping[str, Any]) -> list[Group]:
    """The options of a method, of its objectives, and of what `values` (else the defaults) choose in registries.

    name: that of the method. An option that several components share is in the group of the first. Raises
    `OptionError` for a choice that is not registered.
    """
    groups: list[Group] = []
    seen: dict[str, Option] = {}
    _add(groups, seen, f"--model {name}", method.options)
    for component in method.components:
        _add(groups, seen, component.__module__.rpartition(".")[2], component.options)
    for option in _choosing(groups):
        chosen = values.get(option.name, option.default)
        if complaint := option.complaint(chosen):
            raise OptionError(f"--{option.name}: {complaint}")
        _add(groups, seen, f"--{option.name} {chosen}", _options(option, chosen))
    return groups


def all_groups(name: str, method: Any) -> list[Group]:
    """As `component_groups`, with everything that could be chosen."""
    groups = component_groups(name, method, {})
    for option in _choosing(groups):
        for chosen in option.known:
            title = f"--{option.name} {chosen}"
            if all(group.title != title for group in groups) and _options(option, chosen):
                groups.append(Group(title, list(_options(option, chosen))))
    return groups


def groups_of_all(methods: Registry[Any]) -> list[Group]:
    """As `all_groups`, of every method; choices that declare the same options share a group."""
    titles: dict[tuple[str, tuple[Option, ...]], list[str]] = {}
    for name in methods:
        for group in all_groups(name, methods[name]):
            flag, _, chosen = group.title.partition(" ")
            names = titles.setdefault((flag, tuple(group.options)), [])
            names += [chosen] if chosen not in names else []
    return [Group(f"{flag} {', '.join(names)}".strip(), list(options)) for (flag, options), names in titles.items()]


def _add(groups: list[Group], seen: dict[str, Option], title: str, options: Collection[Option]) -> None:
    for option in options:
        if seen.setdefault(option.name, option) != option:
            raise TypeError(f"{title} declares --{option.name} in another way than a component beside it")
    known = {option.name for group in groups for option in group.options}
    new = [option for option in options if option.name not in known]
    if new:
        groups.append(Group(title, new))


def _choosing(groups: list[Group]) -> Iterator[Option]:
    """The options that choose a component, those of the chosen ones included: `groups` may grow meanwhile."""
    for group in groups:
        yield from (option for option in group.options if option.registry is not None)


def _options(option: Option, chosen: str) -> Collection[Option]:
    registry: Any = option.registry
    return getattr(registry[chosen], "options", ())
