"""Unpaired image-to-image translation and images from noise, with the cooperative start of CoopInit.

>>> from coopcut import Translator
>>> zebra = Translator.load("checkpoints/horse2zebra_coopcut")("horse.jpg")

In a checkout the parts lie beside this folder, which links to them; installed, they lie in it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coopcut.inference.sampler import Sampler
    from coopcut.inference.translator import Translator

__all__ = ["Sampler", "Translator"]

if not (Path(__file__).parent / "models").is_dir():  # a checkout on a system without links
    __path__.append(str(Path(__file__).resolve().parents[1]))


def __getattr__(name: str) -> Any:
    """`Translator` and `Sampler`, imported when they are asked for: torch takes seconds to load."""
    if name == "Translator":
        from coopcut.inference.translator import Translator

        return Translator
    if name == "Sampler":
        from coopcut.inference.sampler import Sampler

        return Sampler
    raise AttributeError(f"module 'coopcut' has no attribute '{name}'")
