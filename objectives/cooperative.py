"""The cooperative start (CoopInit: Zhao, Xie and Li, AAAI 2023): the discriminator begins as an energy-based model.

Any `Adversarial` can be given it. With D's map of scores f(x) = D(x) - offset (see `coopcut.losses.gan.GANLoss`), the
energy E(x) = -f(x) and p(x) ~ exp f(x) on [-1, 1], a cooperative step

1. takes what G makes, x0, without gradient;
2. revises x0 to x_T by short-run Langevin dynamics on p;
3. trains D by maximum likelihood, with x_T as samples of p;
4. trains G by MCMC teaching, |G(a) - x_T|^2, in place of the adversarial loss.

Then the ordinary duel goes on with the same networks and optimizers. D's last bias starts at the offset, so that the
energies start at 0, and the first adversarial step finds D where its loss wants it.

With --coop_negatives D goes on to meet revised images after the start, among those it is shown as fake: "revised
negatives". G then learns as it does without them.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from coopcut.engine.position import Position
from coopcut.engine.step import Losses, StepContext, Together
from coopcut.losses.cooperative import likelihood_loss, teaching_loss
from coopcut.objectives.adversarial import Adversarial, Duel, Negatives, diagnostics
from coopcut.objectives.base import Objective
from coopcut.objectives.cooperative_advice import advice
from coopcut.objectives.replay import Replay
from coopcut.objectives.reviser import Reviser
from coopcut.options.option import Option, Options
from coopcut.sampling.langevin import Revision
from coopcut.util.errors import OptionError

COOP_OPTIONS = (
    Option("coop_epochs", 0, "epochs of the cooperative start (coopcut: 10); 0: none", low=0),
    Option("coop_iters", 0, "length of the start in steps, in place of --coop_epochs; 0: count epochs", low=0),
    Option("coop_fade", 0.0, "after the start, fade its losses out over this many times its length", low=0, high=1000),
    Option("coop_keep", 0.0, "weight that the cooperative losses keep after the start", low=0, high=1),
    Option("coop_anneal", False, "shorten the revision toward the end of the start"),
    Option("coop_reset", "none", "networks that get their initial weights again at the end of the start; G: all but D",
           ("none", "G", "D", "all")),
    Option("coop_lr_G", 1.0, "factor on the learning rate of all networks but D after the start", above=0),
    Option("coop_negatives", 0.0, "after the start, share of revised images among those that D is shown as fake", low=0,
           below=1),
    Option("coop_every", 1, "after the start, revise in every so many steps only", low=1),
    Option("coop_replay", 16, "between these steps D is shown one of the last so many revised batches; 0: none", low=0),
    Option("lambda_coop", 10.0, "weight of the teaching loss, the mean squared distance to the revision", low=0),
    Option("lambda_energy", 1.0, "weight of the squared energies; 1 makes the likelihood loss equal to lsgan's", low=0),
    Option("coop_data_noise", 0.0, "standard deviation of noise added to the real images when D is an energy", low=0),
)  # fmt: skip


class Cooperative(Objective):
    """An `Adversarial` with a cooperative start. Without one (--coop_epochs 0) it is that `Adversarial`."""

    options = (*COOP_OPTIONS, *Reviser.options)

    def __init__(
        self, opt: Options, adversarial: Adversarial, bounds: tuple[float, float] | None = (-1.0, 1.0)
    ) -> None:
        """bounds: of the values of images; None: there are none."""
        super().__init__()
        self.bounded = bounds is not None
        self.opt, self.adversarial = opt, adversarial
        self.D, self.networks = adversarial.D, adversarial.networks
        self.offset = adversarial.gan.offset  # of the scores: f = D - offset
        self.reviser = Reviser(opt, adversarial, bounds)
        self.replay = Replay(opt.coop_replay if opt.coop_every > 1 else 0)
        bias = self.D.net.score_bias
        if self.weight(Position()) > 0 and bias is not None:
            nn.init.constant_(bias, self.offset)

    @classmethod
    def check(cls, opt: Options) -> None:
        if opt.coop_negatives > 0 and opt.coop_keep > 0:
            raise OptionError(
                "--coop_keep shows D revised images already: leave --coop_negatives out, or give it alone"
            )
        if opt.coop_every > 1 and opt.coop_negatives == 0:
            raise OptionError("--coop_every is of revised negatives: add --coop_negatives, or leave it out")
        for name, default in (("coop_anneal", False), ("coop_reset", "none")):
            if getattr(opt, name) != default and not (opt.coop_epochs or opt.coop_iters):
                raise OptionError(f"--{name} is of a cooperative start: add --coop_epochs, or leave it out")

    # -- over time ------------------------------------------------------------------------------------------------

    def starting(self, position: Position) -> bool:
        """Whether the step after `position` belongs to the start."""
        if self.opt.coop_iters > 0:
            return position.step < self.opt.coop_iters
        return position.epoch <= self.opt.coop_epochs

    def weight(self, position: Position) -> float:
        """coop_weight, of the cooperative losses in the step after `position`: 1 in the start, later --coop_keep."""
        if self.starting(position):
            return 1.0
        return self.opt.coop_keep + (1 - self.opt.coop_keep) * self.fading(position)

    def fading(self, position: Position) -> float:
        """1 in the last step of the start, then falling to 0 within --coop_fade times its length."""
        if self.opt.coop_iters > 0:
            beyond, length = position.step - self.opt.coop_iters + 1, self.opt.coop_iters
        else:
            beyond, length = position.epoch - self.opt.coop_epochs, self.opt.coop_epochs
        return max(0.0, 1.0 - beyond / (self.opt.coop_fade * length + 1))

    def rate(self, network: str, position: Position) -> float:
        return self.opt.coop_lr_G if network not in self.networks and not self.starting(position) else 1.0

    def restarting(self, networks: Sequence[str]) -> Sequence[str]:
        chosen = {"D": self.networks, "G": [name for name in networks if name not in self.networks], "all": networks}
        return list(chosen.get(self.opt.coop_reset, ()))

    def restarts(self, position: Position) -> bool:
        if self.opt.coop_iters > 0:
            return bool(position.step == self.opt.coop_iters)
        return bool(position.epoch == self.opt.coop_epochs + 1 and position.samples == 0 < self.opt.coop_epochs)

    def stage(self, position: Position) -> str:
        if self.starting(position):
            return "cooperative"
        if self.fading(position) > 0:
            return "fading"
        return "mixed" if self.opt.coop_keep > 0 else self.adversarial.stage(position)

    def length(self, position: Position) -> float:
        """Of the revision after `position`: 1, or with --coop_anneal falling within the start."""
        if not (self.opt.coop_anneal and self.starting(position)):
            return 1.0
        if self.opt.coop_iters > 0:
            return 1 - position.step / self.opt.coop_iters
        return 1 - (position.epoch - 1) / self.opt.coop_epochs

    # -- in a step ------------------------------------------------------------------------------------------------

    def duel(
        self, fake: Tensor, real: Tensor, ctx: StepContext, y: Tensor | None = None
    ) -> Generator[Together, Any, Duel]:
        """As `Adversarial.duel`, with the revision of `fake` if the cooperative losses have a weight.

        In the start D is shown revised images alone.
        """
        weight, share = self.weight(ctx.position), self.opt.coop_negatives
        shown = fake
        if weight < 1:
            shown = yield from self.adversarial.shown(fake, ctx)
            yield from self.adversarial.follow(self.D.given(y), shown, real, ctx)
        if weight == 0:
            negatives = (yield from self.negatives(fake, real, ctx, y)) if share > 0 else None
            return Duel(self.adversarial, shown, real, ctx, negatives, y)
        data = real
        if self.opt.coop_data_noise > 0:
            data = real + self.opt.coop_data_noise * ctx.randn(real.shape)
        revision = self.reviser(fake, data, ctx, self.length(ctx.position), y)
        other = None
        if weight < 1:
            other = Duel(self.adversarial, shown, real, ctx, Negatives(revision.x, share) if share > 0 else None, y)
        return CooperativeDuel(self, weight, other, (fake, real, data), revision, y)

    def negatives(
        self, fake: Tensor, real: Tensor, ctx: StepContext, y: Tensor | None = None
    ) -> Generator[Together, Any, Negatives | None]:
        """Revised images for D, of this step or of an earlier one; None between revisions without --coop_replay."""
        if ctx.position.step % self.opt.coop_every:
            if self.opt.coop_replay == 0:
                return None
            earlier = yield Together(lambda like: self.replay.draw(like, ctx.rng.cpu), (fake,))
            if earlier is not None:
                return Negatives(earlier, self.opt.coop_negatives)
        revision = self.reviser(fake, real, ctx, y=y)
        if self.opt.coop_every > 1:
            yield Together(self.replay.add, (revision.x,))
        return Negatives(revision.x, self.opt.coop_negatives, revision)

    def likelihood(self, f_revised: Tensor, f_real: Tensor) -> Tensor:
        """The loss of D on the scores f of revised and real images, [B, 1, h, w] each."""
        return likelihood_loss(f_revised, f_real, self.opt.lambda_energy)

    def teaching(self, x0: Tensor, x_T: Tensor) -> Tensor:
        """The loss of G on its images and their revisions, [B, C, H, W] each, without its weight."""
        return teaching_loss(x0, x_T)

    def advice(self, losses: Mapping[str, float], position: Position) -> list[str]:
        suffix = self.adversarial.suffix
        own = {name.removesuffix(suffix): value for name, value in losses.items() if name.endswith(suffix)}
        if not self.bounded:  # nothing saturates
            own |= dict.fromkeys(("saturated", "saturated_fake", "saturated_real"), 0.0)
        return advice(self.opt, own, position)

    def state_dict(self) -> dict[str, Any]:
        return self.adversarial.state_dict() | {"replay": self.replay.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.adversarial.load_state_dict(state)
        self.replay.load_state_dict(state.get("replay", []), self.D.device)  # earlier states had none


class CooperativeDuel(Duel):
    """A duel in which `weight` of the losses is cooperative, the rest those of the `adversarial` duel, if any."""

    teaches = True

    def __init__(
        self,
        cooperative: Cooperative,
        weight: float,
        adversarial: Duel | None,
        images: tuple[Tensor, Tensor, Tensor],
        revision: Revision,
        y: Tensor | None = None,
    ) -> None:
        self.D = cooperative.D.given(y)
        self.cooperative, self.weight, self.other, self.revision = cooperative, weight, adversarial, revision
        self.fake, self.real, self.data = images  # data: the real images as the energy is shown them
        self.revised = revision.x

    def d_loss(self) -> Losses:
        """What D minimizes, minus the likelihood of the real images; the log shows how the sampler does, too."""
        coop = self.cooperative
        scores = coop.adversarial.judge(self.D, self.revision.x, self.data)
        f_revised, f_real = (each - coop.offset for each in scores)
        loss = total = coop.likelihood(f_revised, f_real)
        mixed: dict[str, Tensor] = {}
        if self.other is not None:
            adversarial = self.other.d_loss()
            total, mixed = self.weight * loss + (1 - self.weight) * adversarial.total, adversarial.logged
        logged = diagnostics(self.revision, f_revised, f_real, self.fake, self.real)
        losses = coop.adversarial.losses(total, {"D": loss.detach()} | logged)
        return Losses(total, losses.logged | mixed)

    def g_loss(self, fake: Tensor) -> Losses:
        """The teaching loss of G, weighted, and its adversarial loss."""
        teaching = self.cooperative.teaching(fake, self.revision.x)
        total = self.weight * self.cooperative.opt.lambda_coop * teaching
        logged = self.cooperative.adversarial.losses(total, {"teach": teaching.detach()}).logged
        if self.other is not None:
            adversarial = self.other.g_loss(fake)
            total, logged = total + (1 - self.weight) * adversarial.total, logged | adversarial.logged
        return Losses(total, logged)
