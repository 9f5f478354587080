"""The import names of earlier versions (`util.images`, `models`), for scripts that lie in a checkout.

The folders at the top of a checkout are imported as parts of `coopcut`. By their bare names they would be loaded a
second time, with registries and error types of their own; so the bare names lead to the same modules.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

FOLDERS = ("data", "models", "options", "util")
MOVED = {"util.images": "images.io", "util.visdom": "monitors.visdom", "util.plot_run": "monitors.plot_run"}


class _EarlierNames(MetaPathFinder, Loader):
    """Finds `util.errors` as `coopcut.util.errors`."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.split(".")[0] in FOLDERS and "." in name else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        sys.modules[name] = import_module(f"coopcut.{MOVED.get(name, name)}")


def lead_on(name: str) -> None:
    """Let the top-level module `name`, and from now on all of these names, be those of `coopcut`."""
    if not any(isinstance(finder, _EarlierNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _EarlierNames())
    sys.modules[name] = import_module("coopcut" if name == "models" else f"coopcut.{name}")  # models held Translator
