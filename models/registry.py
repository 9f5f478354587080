"""Where methods are known by name: one file per method here, entry points of other packages, and any class by path."""

import inspect
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from coopcut.engine.method import Method
from coopcut.util.errors import OptionError
from coopcut.util.registry import Registry

GROUP = "coopcut.methods"


class Methods(Registry[type[Method]]):
    """Those that the decorator `register` made known, those of installed packages (entry points of the group
    `coopcut.methods`), and `package.module:Class` for whatever Python can import.

    What is foreign is imported when it is asked for, not before.
    """

    def __getitem__(self, name: str) -> type[Method]:
        found = self._foreign(name)
        return super().__getitem__(name) if found is None else _load(found)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and self._foreign(name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._entries, *_installed(tuple(sys.path))}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _foreign(self, name: str) -> EntryPoint | None:
        if name in self._entries:
            return None
        if ":" in name:
            return EntryPoint(name, name, GROUP)
        return _installed(tuple(sys.path)).get(name)


@cache
def _installed(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """The entry points of the packages on `path`, which takes long to search."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> type[Method]:
    try:
        found = entry.load()
    except Exception as error:  # whatever foreign code raises while it is imported
        reason = f"{type(error).__name__}: {error}"
        raise OptionError(f"--model {entry.name}: {entry.value} cannot be imported ({reason})") from error
    if not (inspect.isclass(found) and issubclass(found, Method) and not inspect.isabstract(found)):
        raise OptionError(
            f"--model {entry.name}: {entry.value} is not a subclass of coopcut.models.Method that defines step"
        )
    return found


MODELS = Methods("model")
