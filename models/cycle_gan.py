"""CycleGAN (Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017).

Names are those of the published code: G_A translates A to B and D_A judges its images, G_B and D_B the other way.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn.functional import l1_loss

from coopcut.data.batch import Batch
from coopcut.engine.method import Export, Method
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Losses, Step, StepContext, minimize
from coopcut.models.registry import MODELS
from coopcut.networks import NET_G
from coopcut.objectives.adversarial import Adversarial, Duel
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError


@MODELS.register("cycle_gan")
class CycleGAN(Method):
    """Both directions at once: adversarial losses, cycles A -> B -> A and B -> A -> B, and identities."""

    options = (
        NET_G,
        Option("lambda_A", 10.0, "weight of the cycle A -> B -> A", low=0),
        Option("lambda_B", 10.0, "weight of the cycle B -> A -> B", low=0),
        Option("lambda_identity", 0.5, "weight of the identities G_A(B) and G_B(A), times that of the cycle", low=0),
    )
    components = (Adversarial, Cooperative)
    exports = {"A2B": Export("G_A", "A", "B"), "B2A": Export("G_B", "B", "A")}  # noqa: RUF012

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        """As published: 100 + 100 epochs, a pool of 50 images, normal initial weights, no antialiasing.

        The published rate falls an epoch earlier, in epoch 100, and is 0 in the last one; here it falls as in CUT.
        """
        networks = {"init_type": "normal", "no_antialias": True, "no_antialias_up": True}
        return {"n_epochs": 100, "n_epochs_decay": 100, "pool_size": 50} | networks

    @classmethod
    def check(cls, opt: Options) -> None:
        super().check(opt)
        if opt.lambda_identity > 0 and opt.input_nc != opt.output_nc:
            raise OptionError(
                "--lambda_identity needs --input_nc equal to --output_nc: make them equal, or set --lambda_identity 0"
            )

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.G_A, self.G_B = self.add_generator("A2B"), self.add_generator("B2A")
        D_A, D_B = (Adversarial(opt, self.discriminator(domain), name) for domain, name in (("B", "D_A"), ("A", "D_B")))
        self.adversarial_A = self.add("adversarial_A", Cooperative(opt, D_A))
        self.adversarial_B = self.add("adversarial_B", Cooperative(opt, D_B))

    def step(self, batch: Batch, ctx: StepContext) -> Step:
        """Update both generators, then both discriminators."""
        A, B = batch["A"], batch["B"]
        fake_B = self.G_A(A)
        rec_A = self.G_B(fake_B)
        fake_A = self.G_B(B)
        rec_B = self.G_A(fake_A)
        images = {"real_A": A, "fake_B": fake_B, "rec_A": rec_A, "real_B": B, "fake_A": fake_A, "rec_B": rec_B}
        cycles = self.weighted("cycle_A", l1_loss(rec_A, A), self.opt.lambda_A)
        cycles += self.weighted("cycle_B", l1_loss(rec_B, B), self.opt.lambda_B)
        if self.opt.lambda_identity > 0:
            idt_A, idt_B = self.G_A(B), self.G_B(A)
            cycles += self.weighted("idt_A", l1_loss(idt_A, B), self.opt.lambda_B * self.opt.lambda_identity)
            cycles += self.weighted("idt_B", l1_loss(idt_B, A), self.opt.lambda_A * self.opt.lambda_identity)
            images |= {"idt_A": idt_A, "idt_B": idt_B}
        duel_A = yield from self.adversarial_A.duel(fake_B.detach(), B, ctx)
        duel_B = yield from self.adversarial_B.duel(fake_A.detach(), A, ctx)
        losses = duel_A.g_loss(fake_B).labeled("G_A", "G_GAN_A") + duel_B.g_loss(fake_A).labeled("G_B", "G_GAN_B")
        losses += cycles
        images = {name: image.detach() for name, image in images.items()}
        yield minimize(losses.labeled("G"), "G_A", "G_B")
        yield minimize(self.judged("D_A", duel_A) + self.judged("D_B", duel_B), "D_A", "D_B")
        if duel_A.revised is not None and duel_B.revised is not None:
            images |= {"revised_B": duel_A.revised, "revised_A": duel_B.revised}
        return images

    @staticmethod
    def judged(name: str, duel: Duel) -> Losses:
        """What a discriminator minimizes; the log shows its total, as published, and how a cooperative duel does."""
        losses = duel.d_loss()
        return (losses if duel.teaches else Losses(losses.total, {})).labeled(name)

    @staticmethod
    def weighted(name: str, loss: Tensor, weight: float) -> Losses:
        """`loss` times its weight, under its name in the log."""
        return Losses(loss * weight, {name: (loss * weight).detach()})
