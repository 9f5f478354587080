"""GANs that make images from noise, with or without a cooperative start."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from coopcut.data.batch import Batch
from coopcut.engine.method import NOISE, Export, Method, channels
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Step, StepContext, minimize
from coopcut.models.registry import MODELS
from coopcut.networks import NET_CRITIC, NET_NOISE_G, create_critic, create_noise_G
from coopcut.networks.contract import NoiseGenerator
from coopcut.objectives.adversarial import DUEL, Adversarial
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.generation_options import LEARNED, names_of_classes
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError

SIZE = 64  # pixels, unless --crop_size says otherwise
POINTS = {"ring:": 0.02, "grid:": 0.1}  # twice the standard deviation of a mode: beyond it, a revision overshoots

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    # Radford, Metz and Chintala 2016
    "dcgan": {"netG": "dcgan", "netD": "dcgan", "lr": 0.0002, "beta1": 0.5, "batch_size": 128},
    # Miyato et al. 2018, their residual networks of 32 pixels: hinge loss, 5 steps of D for one of G
    "sngan": {"netG": "sngan", "netD": "sngan", "gan_mode": "hinge", "lr": 0.0002, "beta1": 0.0, "beta2": 0.9,
              "n_critic": 5, "batch_size": 64, "nz": 128},
    # Huang et al. 2024: relativistic pairing with R1 and R2; their residual networks without norms are not these
    "r3gan": {"netG": "dcgan", "netD": "dcgan", "normG": "none", "normD": "none", "init_type": "kaiming",
              "gan_mode": "relativistic", "lambda_R1": 1.0, "lambda_R2": 1.0, "lr": 0.0002, "beta1": 0.0, "beta2": 0.99,
              "batch_size": 64, "ema": 0.999},
}  # fmt: skip


def is_points(opt: Options) -> bool:
    """Whether the data are points of a mixture, not images."""
    return str(opt.dataroot).startswith(tuple(POINTS))


def learning(given: Options) -> dict[str, Any]:
    """The defaults of methods that generate, but for their networks."""
    own = {"dataset_mode": "images", "preprocess": "square", "gan_mode": "nonsaturating"}
    if not is_points(given):
        return own | {"crop_size": SIZE, "batch_size": 64, "n_epochs": 100, "n_epochs_decay": 100}
    revision = {"langevin_step_size": 0.1, "langevin_clip": POINTS[given.dataroot[:5]], "langevin_backtrack": False,
                "lambda_energy": 0.25}  # fmt: skip
    return own | revision | {"output_nc": 2, "nz": 2, "no_flip": True, "batch_size": 256, "lr": 0.001,
                             "n_epochs": 50, "n_epochs_decay": 50}  # fmt: skip


class ImageDuel(Adversarial):
    """A duel about whole images: D gives one score to each."""

    options: ClassVar[Sequence[Option]] = (NET_CRITIC, *DUEL)


@MODELS.register("gan")
class GAN(Method):
    """G makes images [B, output_nc, size, size] from standard normal noise; with --conditional of the class asked for.

    In a step, G's images have the classes of the real ones beside them.
    """

    purpose = "generation"
    options: ClassVar[Sequence[Option]] = (
        NET_NOISE_G,
        Option("preset", "none", "networks, loss and rates as published: dcgan, sngan, or the loss of r3gan",
               tuple(PRESETS), fixed=True),
        *LEARNED,
        Option("n_critic", 1, "steps of D for one of G, after the cooperative start", low=1),
        Option("lr_D", 0.0, "learning rate of D at the beginning; 0: that of --lr", low=0),
    )  # fmt: skip
    components = (ImageDuel, Cooperative)
    exports: ClassVar[Mapping[str, Export]] = MappingProxyType({"samples": Export("G", NOISE, "B")})

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        own = learning(given)
        if is_points(given):
            own |= {"netG": "mlp", "netD": "mlp"}
        return own | dict(PRESETS.get(given.preset, {}))

    @classmethod
    def check(cls, opt: Options) -> None:
        super().check(opt)
        if opt.preprocess != "square" and not opt.preprocess.endswith("crop"):
            raise OptionError(f"--preprocess {opt.preprocess} gives images of any size: use square, or one that crops")
        for flag, without in (("pool_size", 0), ("coop_every", 1)):
            if opt.conditional and getattr(opt, flag) != without:
                raise OptionError(f"--{flag} shows D images of other classes than it is told: leave out --conditional")
        points = is_points(opt)
        for flag in ("netG", "netD"):
            if (getattr(opt, flag) == "mlp") != points:
                only = "points (--dataroot ring:8) alone" if not points else "images, and points need mlp"
                raise OptionError(f"--{flag} {getattr(opt, flag)} is for {only}")

    @classmethod
    def build(cls, opt: Options, export: Export) -> NoiseGenerator:
        return create_noise_G(opt, channels(opt, export.target), len(names_of_classes(opt)))

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.G = self.add_generator()
        D = runtime.prepare(create_critic(opt, channels(opt, "B"), len(names_of_classes(opt))))
        self.points = self.G.net.size == 1
        bounds = None if self.points else (-1.0, 1.0)
        self.adversarial = self.add("adversarial", Cooperative(opt, ImageDuel(opt, D), bounds))

    def adam(self, name: str) -> dict[str, Any]:
        found = super().adam(name)
        return found | {"lr": self.opt.lr_D} if name == "D" and self.opt.lr_D > 0 else found

    def inferred(self, z: Tensor, y: Tensor | None, revised: Tensor | None, ctx: StepContext) -> Tensor:
        """The noise with which G learns after D's update."""
        return z

    def step(self, batch: Batch, ctx: StepContext) -> Step:
        """Update D, then G on the same noise."""
        real, y = batch["B"], batch.tensors.get("label")
        z = ctx.randn((len(real), self.G.net.nz)).to(real.dtype)
        learns = self.adversarial.weight(ctx.position) > 0 or (ctx.position.step + 1) % self.opt.n_critic == 0
        with torch.set_grad_enabled(ctx.alone and learns):  # no graph is kept from one update to the next of several
            made = self.G(z, y)
        fake = made.detach()
        duel = yield from self.adversarial.duel(fake, real, ctx, y)
        yield minimize(duel.d_loss(), "D")
        if learns:
            inferred = self.inferred(z, y, duel.revised, ctx)
            losses = duel.g_loss(made if inferred is z and ctx.alone else self.G(inferred, y))
            yield minimize(losses.labeled("G"), "G")
        return {} if self.points else shown(fake, real, duel.revised)


def shown(fake: Tensor, real: Tensor, revised: Tensor | None) -> dict[str, Tensor]:
    """The images of a step by their names."""
    images = {"fake_B": fake, "real_B": real}
    return images if revised is None else images | {"revised_B": revised}
