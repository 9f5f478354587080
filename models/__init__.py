"""Methods by name. A file in this folder with `@MODELS.register("name")` is a new choice of `--model`."""

from collections.abc import Iterable, Sequence

import torch

from coopcut.engine.base_model import BaseModel, StepOutput
from coopcut.models.registry import MODELS
from coopcut.networks import DISCRIMINATORS, GENERATORS, PROJECTIONS
from coopcut.options.option import Options
from coopcut.util.registry import import_submodules

import_submodules("coopcut.models")

NETWORK_CHOICES: dict[str, Iterable[str]] = {"netG": GENERATORS, "netD": DISCRIMINATORS, "netF": PROJECTIONS}

__all__ = ["MODELS", "NETWORK_CHOICES", "BaseModel", "StepOutput", "create_model"]


def create_model(opt: Options, devices: Sequence[torch.device]) -> BaseModel:
    """The method `opt.model` with its networks on `devices`."""
    return MODELS[opt.model](opt, devices)


if __name__ == "models":  # by the name of earlier versions
    from coopcut.util.earlier_names import lead_on

    lead_on(__name__)
