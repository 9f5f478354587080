"""Methods by name. A file in this folder with `@MODELS.register("name")` is a new choice of `--model`."""

import sys
from collections.abc import Iterable, Sequence

import torch

from models.base_model import BaseModel, StepOutput
from models.networks import DISCRIMINATORS, GENERATORS, PROJECTIONS
from models.registry import MODELS
from models.translator import Translator
from options.option import Options
from util.registry import import_submodules

import_submodules(sys.modules[__name__])

NETWORK_CHOICES: dict[str, Iterable[str]] = {"netG": GENERATORS, "netD": DISCRIMINATORS, "netF": PROJECTIONS}

__all__ = ["MODELS", "NETWORK_CHOICES", "BaseModel", "StepOutput", "Translator", "create_model"]


def create_model(opt: Options, devices: Sequence[torch.device]) -> BaseModel:
    """The method `opt.model` with its networks on `devices`."""
    return MODELS[opt.model](opt, devices)
