"""The descriptor alone: an energy-based model of images, trained by maximum likelihood with persistent chains.

In a step some of the chains go on by Langevin dynamics, and D learns with them as samples (Tieleman 2008; with a few
chains begun anew from noise in each step as in Du and Mordatch 2019). `test.py` samples by going on from the chains.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from coopcut.data.batch import Batch
from coopcut.engine.method import NOISE, Export, Method, channels
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Step, StepContext, Together, minimize
from coopcut.models.gan import ImageDuel, is_points, learning, shown
from coopcut.models.registry import MODELS
from coopcut.networks import NET_CRITIC
from coopcut.networks.energy import EnergyModel
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.generation_options import LEARNED
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError


@MODELS.register("descriptor")
class Descriptor(Method):
    """An energy-based model; D is the whole of it, chains included."""

    purpose = "generation"
    steered_by = "D"
    options: ClassVar[Sequence[Option]] = (
        NET_CRITIC,
        *LEARNED,
        Option("chains", 256, "persistent chains of the sampler", low=1, fixed=True),
        Option("chain_restart", 0.05, "share of a step's chains that begin anew from noise", low=0, high=1),
    )
    components = (ImageDuel, Cooperative)
    exports: ClassVar[Mapping[str, Export]] = MappingProxyType({"samples": Export("D", NOISE, "B")})

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        return learning(given) | {"netD": "coopnets", "coop_keep": 1.0, "langevin_steps": 20, "langevin_noise": 0.005}

    @classmethod
    def check(cls, opt: Options) -> None:
        super().check(opt)
        if opt.coop_keep != 1:
            raise OptionError("--coop_keep: a descriptor learns by likelihood to the end; use --model coopgan for less")
        if opt.batch_size > opt.chains:
            raise OptionError(f"--chains {opt.chains} are fewer than --batch_size {opt.batch_size}: raise --chains")
        if is_points(opt):
            raise OptionError("--model descriptor is for images: points have no bounds")

    @classmethod
    def build(cls, opt: Options, export: Export) -> EnergyModel:
        return EnergyModel.from_options(opt, channels(opt, export.target), int(opt.conditional))

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.model: EnergyModel = self.build(opt, self.export(""))
        whole = runtime.prepare(self.model)
        self.adversarial = self.add("adversarial", Cooperative(opt, ImageDuel(opt, runtime.prepare(self.model.critic))))
        self.networks["D"] = whole

    def step(self, batch: Batch, ctx: StepContext) -> Step:
        """Move chains, then D."""
        real = batch["B"]
        start = yield Together(partial(self.start, ctx), (real,))
        duel = yield from self.adversarial.duel(start, real, ctx)
        yield minimize(duel.d_loss(), "D")
        assert duel.revised is not None
        yield Together(partial(self.keep, ctx.position.step), (duel.revised,))
        return shown(start, real, duel.revised)

    def start(self, ctx: StepContext, real: Tensor) -> Tensor:
        """The chains that the step moves, as many as there are real images; some of them anew."""
        images = self.model.chains[self.model.rows(ctx.position.step, len(real))]
        noise = torch.rand(images.shape, generator=ctx.rng.device, device=images.device) * 2 - 1
        anew = torch.rand((len(images), 1, 1, 1), generator=ctx.rng.device, device=images.device)
        return torch.where(anew < self.opt.chain_restart, noise.to(images.dtype), images)

    def keep(self, step: int, revised: Tensor) -> None:
        """Leave the chains where they came to."""
        self.model.chains[self.model.rows(step, len(revised))] = revised.to(self.model.chains.dtype)
