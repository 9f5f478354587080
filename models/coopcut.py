"""CoopCUT: CUT or FastCUT after a cooperative warm-up, in which the discriminator is an energy-based model.

The warm-up is CoopInit (Zhao, Xie and Li, "CoopInit: initializing generative adversarial networks via cooperative
learning", AAAI 2023) carried over to translation. With D's map of scores f(x) = D(x) - offset (see
`losses.gan.GANLoss.offset`), the energy E(x) = -f(x) and p(x) ~ exp f(x) on [-1, 1], a warm-up step

1. translates: x0 = G(a), and G(b) for the identity term;
2. revises x0 to x_T by short-run Langevin dynamics on p;
3. trains D by maximum likelihood, with x_T as samples of p;
4. trains G by MCMC teaching, |G(a) - x_T|^2, with CUT's contrastive terms and no adversarial loss.

After the warm-up a step is CUT's, with the same networks and optimizers. (With `--coop_fade` the losses give way to
CUT's in a straight line, with `--coop_keep` a share of them stays.) D's last bias starts at the offset, so that the
energies start at 0, and the first adversarial step finds D where its loss wants it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coopcut.engine.base_model import StepOutput, frozen
from coopcut.engine.passes import Pass, joined
from coopcut.engine.position import Position
from coopcut.losses.cooperative import likelihood_loss, teaching_loss
from coopcut.models.cut import CUT
from coopcut.models.registry import MODELS
from coopcut.options.option import Option, Options
from coopcut.sampling.langevin import Revision, revise, saturated
from coopcut.util.errors import OptionError

COOP_OPTIONS = (
    Option("coop_epochs", 10, "epochs of cooperative warm-up; 0: none, exactly --model cut", low=0),
    Option("coop_iters", 0, "warm-up for this many steps instead of --coop_epochs; 0: count epochs", low=0),
    Option("coop_fade", 0.0, "after the warm-up mix its losses with CUT's, ever less, for so many times its length",
           low=0, high=1000),
    Option("coop_keep", 0.0, "share of its losses that is kept to the end of training (each step then costs more)",
           low=0, high=1),
    Option("langevin_steps", 15, "steps of the revision", low=1, high=10000),
    Option("langevin_displacement", 0.1, "mean change of a value by all steps, to which each image's gradients are "
           "rescaled; images are in [-1, 1]", above=0, high=2),
    Option("langevin_step_size", 0.0, "instead: factor on the gradient of the summed scores in a step (delta^2 / 2); "
           "0: rescale", low=0),
    Option("langevin_stop", False, "revise an image only until its mean score has reached that of the real image "
           "beside it, so that the energy does not go flat"),
    Option("langevin_noise", 0.0, "standard deviation of the noise of a step; images are in [-1, 1] (delta)", low=0),
    Option("langevin_clip", 0.05, "largest change of a value by the gradient in a step; 0: no limit", low=0),
    Option("lambda_coop", 10.0, "weight of the teaching loss, the mean squared difference to the revision", low=0),
    Option("lambda_energy", 1.0, "weight of the squared energies; 1 makes the likelihood loss that of lsgan", low=0),
    Option("coop_data_noise", 0.0, "standard deviation of noise on the real images of the energy", low=0),
)  # fmt: skip


@MODELS.register("coopcut")
class CoopCUT(CUT):
    """CUT with a cooperative warm-up of its discriminator and generator."""

    divides = True

    @classmethod
    def options(cls) -> Sequence[Option]:
        return (*super().options(), *COOP_OPTIONS)

    @classmethod
    def check(cls, opt: Options) -> None:
        super().check(opt)
        alone = opt.coop_epochs or opt.coop_iters or opt.coop_keep == 1  # steps without an adversarial loss
        if opt.lambda_NCE == 0 and opt.lambda_coop == 0 and alone:
            raise OptionError("--lambda_NCE 0 and --lambda_coop 0 leave the warm-up nothing to teach: raise one")

    def __init__(self, opt: Options, devices: Sequence[torch.device]) -> None:
        super().__init__(opt, devices)
        self.offset = self.gan.offset  # of the scores: f = D - offset
        bias = self.networks["D"].last.bias  # type: ignore[union-attr]
        if self.coop_share(Position()) > 0 and bias is not None:
            nn.init.constant_(bias, self.offset)  # type: ignore[arg-type]

    def in_warmup(self, position: Position) -> bool:
        """Whether the step after `position` is a cooperative one."""
        if self.opt.coop_iters > 0:
            return position.step < self.opt.coop_iters
        return position.epoch <= self.opt.coop_epochs

    def coop_share(self, position: Position) -> float:
        """Share of the cooperative losses in the step after `position`: 1 in the warm-up, later --coop_keep."""
        if self.in_warmup(position):
            return 1.0
        return self.opt.coop_keep + (1 - self.opt.coop_keep) * self.fading(position)

    def fading(self, position: Position) -> float:
        """1 in the last step of the warm-up, then falling to 0 within --coop_fade times its length."""
        if self.opt.coop_iters > 0:
            beyond, length = position.step - self.opt.coop_iters + 1, self.opt.coop_iters
        else:
            beyond, length = position.epoch - self.opt.coop_epochs, self.opt.coop_epochs
        return max(0.0, 1.0 - beyond / (self.opt.coop_fade * length + 1))

    def phase(self, position: Position) -> str:
        if self.in_warmup(position):
            return "cooperative"
        if self.fading(position) > 0:
            return "fading"
        return "mixed" if self.opt.coop_keep > 0 else super().phase(position)

    def step(self, batch: Any, position: Position) -> StepOutput:
        share = self.coop_share(position)
        if share == 0:
            return super().step(batch, position)
        passes = self.translated(batch)
        if share < 1:
            self.choose_shown(passes)
        losses = self.update(["D"], passes, lambda part: self.energy_loss(part, share))
        with frozen(self.networks["D"]):
            losses |= self.update(["G", "F"], passes, lambda part: self.taught_loss(part, share))
        self.update_ema()
        revised = {"revised_B": joined([part.revision.x for part in passes if part.revision])}
        return StepOutput(losses, self.images(passes) | revised)

    def f(self, images: Tensor) -> Tensor:
        """Minus the energy of each patch: [B, C, H, W] -> [B, 1, h, w]."""
        return self.D(images) - self.offset

    def revise(self, fake_B: Tensor, real_B: Tensor) -> Revision:
        """The translations moved up the scores of D, whose weights rest meanwhile.

        With --langevin_stop each only until it scores as its image of `real_B` does: image by image, so that
        neither other processes nor passes change what becomes of one.
        """
        with frozen(self.networks["D"]), self.full_precision("D"):
            ceiling = None
            if self.opt.langevin_stop:
                with torch.no_grad():
                    ceiling = self.f(real_B).flatten(1).mean(dim=1)
            return revise(
                self.f,
                fake_B,
                steps=self.opt.langevin_steps,
                step_size=self.opt.langevin_step_size,
                noise=self.opt.langevin_noise,
                clip=self.opt.langevin_clip,
                displacement=0.0 if self.opt.langevin_step_size > 0 else self.opt.langevin_displacement,
                ceiling=ceiling,
                generator=self.rng.device,
                randn=self.share.randn,
            )

    def likelihood(self, f_revised: Tensor, f_real: Tensor) -> Tensor:
        """The loss of D on the scores f of revised and real images, [B, 1, h, w] each."""
        return likelihood_loss(f_revised, f_real, self.opt.lambda_energy)

    def teaching(self, x0: Tensor, x_T: Tensor) -> Tensor:
        """The loss of G on translations and their revisions, [B, C, H, W] each, without its weight."""
        return teaching_loss(x0, x_T)

    def energy_loss(self, part: Pass, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """What D minimises: `share` parts minus the likelihood of the real images, the rest CUT's loss.

        Revises the translations for it; the other values are the diagnostics of the warm-up.
        """
        assert part.fake_B is not None
        data = real_B = part.real_B
        if self.opt.coop_data_noise > 0:
            noise = self.share.randn(real_B.shape, self.rng.device, real_B.device)
            data = real_B + self.opt.coop_data_noise * noise
        part.revision = revision = self.revise(part.fake_B, data)
        f_revised, f_real = (scores - self.offset for scores in self.judge(revision.x, data))
        loss = self.likelihood(f_revised, f_real)
        minimised, parts = loss, dict[str, Tensor]()
        if share < 1:
            adversarial, parts = self.discriminator_loss(part)
            minimised = share * loss + (1 - share) * adversarial
        f_real, f_revised = f_real.detach().mean(), f_revised.detach().mean()
        return minimised, {
            "D": loss.detach(),
            "f_real": f_real,
            "f_fake": revision.f_start,
            "f_revised": f_revised,
            "gap": f_real - f_revised,
            "grad": revision.gradient,
            "displacement": revision.displacement,
            "saturated": revision.saturated,
            "saturated_fake": saturated(part.fake_B),
            "saturated_real": saturated(real_B),
            **parts,
        }

    def taught_loss(self, part: Pass, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """What generator and projection minimise: the teaching loss, of which `share` counts, and CUT's losses."""
        assert part.revision is not None
        out = self.outputs(part)
        teaching = self.teaching(out.fake_B, part.revision.x)
        losses = {"teach": teaching.detach()}
        other = share * self.opt.lambda_coop * teaching
        if share < 1:
            G_GAN = self.adversarial_loss(out.fake_B)
            losses["G_GAN"] = G_GAN.detach()
            other = other + (1 - share) * G_GAN
        NCE, parts = self.contrastive_loss(out)
        color, more = self.color_loss(out.fake_B)
        loss = NCE + other + color
        return loss, losses | {"G": loss.detach()} | parts | more

    def advice(self, losses: Mapping[str, float], position: Position) -> list[str]:
        """Warnings when the warm-up is outside its healthy range.

        Of the sampler none in the first 100 steps, before D has a slope; of what no slope excuses from the first on.
        """
        if "f_revised" not in losses:
            return []
        found = []
        young = position.step < 100
        at_rest = self.opt.langevin_stop and losses["displacement"] == 0  # all scored as high as real images before
        far = "--langevin_step_size" if self.opt.langevin_step_size > 0 else "--langevin_displacement"
        if losses["f_revised"] <= losses["f_fake"] and not at_rest and not young:
            found.append(f"the revision lowers the score: overshooting; lower {far} or raise --langevin_steps")
        if losses["displacement"] < 0.005 and not self.opt.langevin_stop and not young:
            found.append(f"the revision hardly moves the images; raise {far} or --langevin_clip")
        elif losses["displacement"] > 0.2:
            found.append(f"the revision moves the images far; lower {far} or --langevin_clip")
        if losses["saturated"] > max(losses["saturated_fake"], losses["saturated_real"]) + 0.2:
            found.append(f"the revision saturates pixels; lower {far} or --langevin_clip")
        if losses["saturated_fake"] > losses["saturated_real"] + 0.1:
            found.append("the translations saturate, before any revision; lower --lr")
        most = 1 / max(self.opt.lambda_energy, 0.1)  # the gap of a D that tells every patch apart
        if "D_fake" not in losses and 0.8 * most < losses["gap"] <= most and not young:
            found.append(f"D has won, it tells revised images from real ones; raise {far}")
        elif "D_fake" not in losses and abs(losses["gap"]) > most:
            found.append("the energies of real and revised images run apart; raise --lambda_energy or lower --lr")
        told = max(abs(losses["gap"]), abs(losses["f_revised"] - losses["f_fake"]))
        if "D_fake" not in losses and position.step >= 200 and told < 0.01 * min(1, most) and not at_rest:
            or_else = "begin with --init_type kaiming" if self.opt.langevin_stop else "add --langevin_stop"
            found.append(f"the energies are flat, there is nothing to teach; lower {far}, or {or_else}")
        if "D_fake" not in losses and losses["D"] > 0.5 * most and not young:
            found.append("the likelihood loss of D is far above 0, the loss of energies that are 0; lower --lr")
        return found
