"""Where the methods register themselves: one file per method, found by its decorator."""

from models.base_model import BaseModel
from util.registry import Registry

MODELS: Registry[type[BaseModel]] = Registry("model")
