"""Where the methods register themselves: one file per method, found by its decorator."""

from coopcut.engine.base_model import BaseModel
from coopcut.util.registry import Registry

MODELS: Registry[type[BaseModel]] = Registry("model")
