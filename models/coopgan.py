"""CoopGAN: a GAN with the cooperative start of CoopInit (Zhao, Xie and Li, AAAI 2023), for images from noise."""

from collections.abc import Mapping
from typing import Any

from coopcut.models.gan import GAN
from coopcut.models.registry import MODELS
from coopcut.options.option import Options


@MODELS.register("coopgan")
class CoopGAN(GAN):
    """The preset of `gan` with a cooperative start of 5 epochs."""

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        return {"coop_epochs": 5, **super().presets(given)}
