"""Methods by name. A file in this folder with `@MODELS.register("name")` is a new choice of `--model`."""

from coopcut.engine.method import Method
from coopcut.engine.runtime import Runtime
from coopcut.models.registry import MODELS
from coopcut.options.option import Options
from coopcut.util.registry import import_submodules

import_submodules("coopcut.models")

__all__ = ["MODELS", "Method", "create_method"]


def create_method(opt: Options, runtime: Runtime) -> Method:
    """The method `opt.model` with its networks on the runtime's device."""
    return MODELS[opt.model](opt, runtime)


if __name__ == "models":  # by the name of earlier versions
    from coopcut.util.earlier_names import lead_on

    lead_on(__name__)
