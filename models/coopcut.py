"""CoopCUT: CUT or FastCUT with a cooperative start, in which the discriminator is an energy-based model.

The start is CoopInit (Zhao, Xie and Li, "CoopInit: initializing generative adversarial networks via cooperative
learning", AAAI 2023) carried over to translation: see `coopcut.objectives.cooperative`.
"""

from collections.abc import Mapping
from typing import Any

from coopcut.models.cut import CUT
from coopcut.models.registry import MODELS
from coopcut.options.option import Options


@MODELS.register("coopcut")
class CoopCUT(CUT):
    """The preset of CUT with a cooperative start of 10 epochs."""

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        return {"coop_epochs": 10, **super().presets(given)}
