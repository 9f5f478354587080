"""Names for classes and functions: filled by a decorator, looked up by the scripts.

>>> MODELS: Registry[type] = Registry("model")
>>> @MODELS.register("cut")
... class CUT: ...
>>> MODELS["cut"]
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from coopcut.util.errors import OptionError

T = TypeVar("T")


class Registry(Generic[T]):
    """A mapping from a name to what the decorator `register` was put on; an unknown name lists the known ones."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: makes `name` known. Registering one name twice is a mistake in the code (`KeyError`)."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise KeyError(f"{self.kind} '{name}' is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise OptionError(f"unknown {self.kind} '{name}'; known: {', '.join(self)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))


def import_submodules(package: str) -> None:
    """Import every module of `package`, so that a new file registers itself without a list to keep."""
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{info.name}")
