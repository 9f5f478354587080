"""The optional packages that compute the figures, imported when they are used."""

import contextlib
import importlib
import io
from importlib import metadata
from types import ModuleType

from coopcut.util.errors import OptionError

LIBRARIES = ("torchmetrics", "prdc", "scikit-learn")


def package(module: str) -> ModuleType:
    """An optional module. Raises `OptionError`, naming its package, if it is not installed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # some greet
            return importlib.import_module(module)
    except ImportError as error:
        name = (error.name or module).partition(".")[0]
        raise OptionError(
            f"the metrics need the package {name}, which is not installed: pip install -e '.[metrics]'"
        ) from None


def versions() -> str:
    """The libraries behind the figures, for example 'torchmetrics 1.9.0, prdc 0.2, scikit-learn 1.9.1'."""
    for module in ("torchmetrics", "prdc"):
        package(module)
    return ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
