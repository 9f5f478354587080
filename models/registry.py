"""Where the methods register themselves: one file per method, found by its decorator."""

from coopcut.engine.method import Method
from coopcut.util.registry import Registry

MODELS: Registry[type[Method]] = Registry("model")
