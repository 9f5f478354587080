"""CoopNets: a descriptor and a generator that learn together to the end (Xie, Lu, Gao, Zhu and Wu, 1609.09408).

A step: the generator makes images; the descriptor, an energy with a Gaussian reference density, revises them by
Langevin dynamics and learns by maximum likelihood with the revised ones as its samples; the generator is taught what
became of its images. "Full": before that, the noise is inferred that would have made the revised images.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from coopcut.engine.step import StepContext
from coopcut.models.gan import GAN, is_points
from coopcut.models.registry import MODELS
from coopcut.options.option import Option, Options
from coopcut.sampling.posterior import Posterior
from coopcut.util.errors import OptionError

SIGMA = 0.3  # of what the generator's images leave unexplained
DELTA = 0.002  # step of the Langevin dynamics of images
PUBLISHED: Mapping[str, Any] = {
    "netG": "coopnets",
    "netD": "coopnets",
    "lambda_coop": 1 / (2 * SIGMA**2),
    "lambda_energy": 0.0,
    "langevin_steps": 10,
    "langevin_step_size": DELTA**2 / 2,
    "langevin_noise": DELTA,
    "langevin_reference": 0.016,
    "langevin_adaptive": False,
    "langevin_backtrack": False,
    "langevin_clip": 0.0,
    "lr": 0.0001,
    "lr_D": 0.001,
    "batch_size": 100,
}


@MODELS.register("coopnets")
class CoopNets(GAN):
    """The cooperative start of `gan` that never ends; for images with the published descriptor, sampler and rates.

    The published code's teaching loss is the mean squared difference over 2 * 0.3^2: --lambda_coop. For points the
    sampler is that of `coopgan`: the published reference density would hold them near 0. Revised images are kept within
    [-1, 1], as everywhere here.
    """

    options: ClassVar[Sequence[Option]] = (
        *GAN.options,
        Option("infer_steps", 0, "Langevin steps in which the noise of the revised images is inferred; 0: none, it is "
               "what made the images", low=0),
        Option("infer_delta", 0.1, "step of that inference", above=0),
    )  # fmt: skip

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        own: dict[str, Any] = {**super().presets(given), "coop_keep": 1.0}
        return own if is_points(given) else {**own, **PUBLISHED}

    @classmethod
    def check(cls, opt: Options) -> None:
        super().check(opt)
        if opt.coop_keep != 1:
            raise OptionError("--coop_keep: coopnets is cooperative to the end; use --model coopgan for less")

    def inferred(self, z: Tensor, y: Tensor | None, revised: Tensor | None, ctx: StepContext) -> Tensor:
        if self.opt.infer_steps == 0 or revised is None:
            return z
        posterior = Posterior(SIGMA, self.opt.infer_steps, self.opt.infer_delta, noise=self.opt.infer_delta)
        with self.G.frozen(), self.G.exact():
            return posterior.infer(lambda each: self.G(each, y), revised, z, randn=ctx.randn)
