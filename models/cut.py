"""CUT and FastCUT (Park et al., "Contrastive learning for unpaired image-to-image translation", ECCV 2020)."""

from collections.abc import Mapping
from typing import Any

import torch

from coopcut.data.batch import Batch
from coopcut.engine.method import Method
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Losses, Step, StepContext, minimize
from coopcut.models.registry import MODELS
from coopcut.networks import NET_G
from coopcut.objectives.adversarial import Adversarial, Duel
from coopcut.objectives.color_balance import ColorBalance
from coopcut.objectives.contrastive import Contrastive, Translated, flip
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.option import Option, Options
from coopcut.util.errors import OptionError


def cut_mode(text: str) -> str:
    """`--CUT_mode` in any spelling that CUT takes."""
    return {"cut": "CUT", "fastcut": "FastCUT"}.get(text.lower(), text)


@MODELS.register("cut")
class CUT(Method):
    """One-sided translation: adversarial loss on G(A), contrastive losses between A and G(A), and B and G(B)."""

    options = (
        NET_G,
        Option("CUT_mode", "CUT", "CUT, or FastCUT: no identity term, lambda_NCE 10, flips, 150 + 50 epochs",
               ("CUT", "FastCUT"), parse=cut_mode, fixed=True),
        Option("nce_idt", True, "add the contrastive loss of the identity G(B) (FastCUT: False)"),
    )  # fmt: skip
    components = (Adversarial, Cooperative, Contrastive, ColorBalance)

    @classmethod
    def presets(cls, given: Options) -> Mapping[str, Any]:
        if given.CUT_mode == "CUT":
            return {}
        preset = {"nce_idt": False, "lambda_NCE": 10.0, "flip_equivariance": True}
        return preset | {"n_epochs": 150, "n_epochs_decay": 50}

    @classmethod
    def check(cls, opt: Options) -> None:
        if opt.lambda_NCE == 0 and opt.lambda_GAN == 0:
            raise OptionError("--lambda_NCE 0 and --lambda_GAN 0 leave the generator nothing to learn from: raise one")
        starts = opt.coop_epochs or opt.coop_iters or opt.coop_keep == 1  # steps without an adversarial loss
        if starts and opt.lambda_NCE == 0 and opt.lambda_coop == 0:
            raise OptionError("--lambda_NCE 0 and --lambda_coop 0 leave the warm-up nothing to teach: raise one")
        super().check(opt)
        if opt.nce_idt and opt.input_nc != opt.output_nc:
            raise OptionError(
                "--nce_idt translates target images too and needs --input_nc equal to --output_nc: set --nce_idt False"
            )

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.G = self.add_generator()
        self.adversarial = self.add("adversarial", Cooperative(opt, Adversarial(opt, self.discriminator("B"))))
        self.contrastive = self.add("contrastive", Contrastive(opt, runtime, self.G))
        self.color = self.add("color", ColorBalance(opt, opt.output_nc, runtime.device))

    def step(self, batch: Batch, ctx: StepContext) -> Step:
        """Update D, then G and F (Park et al. 2020, eq. 5)."""
        A, B = batch["A"], batch["B"]
        sources = [A, B] if self.opt.nce_idt else [A]
        flipped = self.contrastive.flips(ctx)
        out = None
        if ctx.alone:  # else no graph is kept from one update to the next
            out = self.contrastive.translate(sources, flipped)
            fake_B = out.outputs[0].detach()
        else:
            with torch.no_grad():
                fake_B = self.G(flip(A, flipped))
        yield from self.color.follow(fake_B, B)
        duel = yield from self.adversarial.duel(fake_B, B, ctx)
        yield minimize(duel.d_loss(), "D")
        out = out or self.contrastive.translate(sources, flipped)
        yield minimize(self.g_loss(duel, out, ctx), "G", "F")
        images = {"real_A": A, "fake_B": fake_B, "real_B": B}
        if self.opt.nce_idt:
            images["idt_B"] = out.outputs[1]
        return images if duel.revised is None else images | {"revised_B": duel.revised}

    def g_loss(self, duel: Duel, out: Translated, ctx: StepContext) -> Losses:
        """What generator and projection minimize."""
        fake_B = out.outputs[0]
        # Gradients add up in the order in which their losses were computed, and numbers are drawn in it: each kind of
        # step has kept its own.
        adversarial = duel.g_loss(fake_B) if duel.teaches else None
        NCE, color = self.contrastive.loss(out, ctx), self.color.loss(fake_B)
        adversarial = adversarial or duel.g_loss(fake_B)
        total = NCE.total + adversarial.total + color.total
        return Losses(total, adversarial.logged | {"G": total.detach()} | NCE.logged | color.logged)
