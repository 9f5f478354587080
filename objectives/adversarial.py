"""The duel of a generator and its discriminator (Goodfellow et al. 2014), with patches as in Isola et al. 2017."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from coopcut.engine.position import Position
from coopcut.engine.precision import Network
from coopcut.engine.step import Losses, StepContext, Together
from coopcut.losses.gan import GAN_LOSSES, gradient_penalty, matched
from coopcut.networks import NET_D
from coopcut.networks.taps import is_pure
from coopcut.objectives.augment import Augment
from coopcut.objectives.base import Objective
from coopcut.objectives.image_pool import ImagePool
from coopcut.objectives.stabilizers import Called, Stabilizers
from coopcut.options.option import Option, Options
from coopcut.sampling.langevin import Revision, saturated
from coopcut.util.errors import OptionError

DUEL = (
    Option("gan_mode", "lsgan", "adversarial loss", tuple(GAN_LOSSES), fixed=True),
    Option("label_smoothing", 0.0, "probability with which D's loss takes a real image for a fake one", low=0,
           high=0.5),
    Option("lambda_GAN", 1.0, "weight of the adversarial loss of the generator", low=0),
    Option("pool_size", 0, "also show D up to this many earlier translations; 0: only new ones", low=0),
    Option("instance_noise", 0.0, "standard deviation of noise added to all images for D; images are in [-1, 1]",
           low=0),
    *Augment.options,
    *Stabilizers.options,
)  # fmt: skip


class Adversarial(Objective):
    """A discriminator D, and what it and a generator minimize in their duel.

    name: D, or D_<suffix> where there are several; the names of what is logged then end with _<suffix>, too.
    """

    options: ClassVar[Sequence[Option]] = (NET_D, *DUEL)

    @classmethod
    def check(cls, opt: Options) -> None:
        Augment.check(opt)
        if opt.label_smoothing > 0 and (opt.gan_mode == "wgangp" or GAN_LOSSES[opt.gan_mode].relative):
            raise OptionError(f"--label_smoothing has no meaning with --gan_mode {opt.gan_mode}: leave it out")

    def __init__(self, opt: Options, D: Network[Any], name: str = "D") -> None:
        """D: a `Discriminator` or a `Critic`."""
        super().__init__()
        self.D, self.networks, self.suffix = D, {name: D}, name[1:]
        self.gan = GAN_LOSSES[opt.gan_mode].smoothed(opt.label_smoothing)
        self.weight, self.noise = float(opt.lambda_GAN), float(opt.instance_noise)
        self.pure = is_pure(D.net)  # else real images and translations are normalized apart, as in CUT
        self.pool = ImagePool(opt.pool_size)
        self.augment = Augment(opt)
        self.stabilizers = Stabilizers(opt, D.device)

    def stage(self, position: Position) -> str:
        return "adversarial"

    def shown(self, fake: Tensor, ctx: StepContext) -> Generator[Together, Any, Tensor]:
        """What D is shown as fake: `fake` [b, C, H, W], or with --pool_size some older ones.

        The buffer is that of the whole batch, the same in every process.
        """
        if self.pool.size == 0:
            return fake
        older: Tensor = yield Together(lambda images: self.pool.query(images, ctx.rng.cpu), (fake,))
        return older

    def duel(
        self, fake: Tensor, real: Tensor, ctx: StepContext, y: Tensor | None = None
    ) -> Generator[Together, Any, "Duel"]:
        """The duel of a step over images of the generator, without gradient, and real ones: [b, C, H, W] each.

        y [b]: the class of each of either, if D is told.
        """
        shown = yield from self.shown(fake, ctx)
        yield from self.follow(self.D.given(y), shown, real, ctx)
        return Duel(self, shown, real, ctx, y=y)

    def follow(self, D: Called, shown: Tensor, real: Tensor, ctx: StepContext) -> Generator[Together, Any, None]:
        """Let what adapts follow D's scores of a step."""
        yield from self.stabilizers.follow(D, shown, real)
        if self.augment.target > 0:
            with torch.no_grad():
                scores = D(self.seen(real, ctx)) - self.gan.offset
            yield from self.augment.adapt(scores)

    def judge(self, D: Called, *images: Tensor) -> list[Tensor]:
        """D's scores for each of several batches; in one pass if the sizes and D's norm allow it."""
        if not self.pure or len({batch.shape[1:] for batch in images}) > 1:
            return [D(batch) for batch in images]
        return list(D(torch.cat(images)).split([len(batch) for batch in images]))

    def noisy(self, images: Tensor, ctx: StepContext) -> Tensor:
        """Instance noise (Sonderby et al., "Amortised MAP inference for image super-resolution", ICLR 2017).

        Real images and translations then overlap for D, which wins less easily and keeps a gradient for G.
        """
        return images if self.noise == 0 else images + self.noise * ctx.randn(images.shape)

    def seen(self, images: Tensor, ctx: StepContext) -> Tensor:
        """Images as D sees them in the duel: augmented, with noise."""
        return self.noisy(self.augment(images, ctx), ctx)

    def losses(self, total: Tensor, logged: Mapping[str, Tensor]) -> Losses:
        """A loss with the names of what is logged."""
        return Losses(total, {f"{name}{self.suffix}": value for name, value in logged.items()})

    def state_dict(self) -> dict[str, Any]:
        own: dict[str, Any] = {"pool": self.pool, "stabilizers": self.stabilizers, "augment": self.augment}
        return {name: part.state_dict() for name, part in own.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.pool.load_state_dict(state["pool"], self.D.device)
        if "stabilizers" in state:  # earlier states had none
            self.stabilizers.load_state_dict(state["stabilizers"])
        if "augment" in state:
            self.augment.load_state_dict(state["augment"])


@dataclass(frozen=True)
class Negatives:
    """Images [b, C, H, W] that D is shown as fake besides the generator's, and their share of the loss, in (0, 1)."""

    images: Tensor
    share: float
    revision: Revision | None = None  # that made them of the generator's images of this step


def diagnostics(revision: Revision, f_revised: Tensor, f_real: Tensor, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
    """How a revision of `fake` images does, for the log; f: scores less the offset, of any shape."""
    f_real, f_revised = f_real.detach().mean(), f_revised.detach().mean()
    return {
        "f_real": f_real,
        "f_fake": revision.f_start,
        "f_revised": f_revised,
        "gap": f_real - f_revised,
        "grad": revision.gradient,
        "displacement": revision.displacement,
        "saturated": revision.saturated,
        "saturated_fake": saturated(fake),
        "saturated_real": saturated(real),
    }


class Duel:
    """The duel of a step over one micro-batch: what D is `shown` as fake, `negatives` besides, and real images.

    revised: what became of the generator's images where they were revised.
    """

    teaches = False  # whether it is a cooperative one
    revised: Tensor | None = None

    def __init__(
        self,
        adversarial: Adversarial,
        shown: Tensor,
        real: Tensor,
        ctx: StepContext,
        negatives: Negatives | None = None,
        y: Tensor | None = None,
    ) -> None:
        self.adversarial, self.shown, self.real, self.ctx, self.negatives = adversarial, shown, real, ctx, negatives
        self.D = adversarial.D.given(y)
        if negatives is not None and negatives.revision is not None:
            self.revised = negatives.images

    def d_loss(self) -> Losses:
        """What D minimizes on real images and on those it is shown as fake: half the sum of both, as in CUT."""
        a, ctx, shown = self.adversarial, self.ctx, self.shown
        others = [] if self.negatives is None else [self.negatives.images]
        scores = a.judge(self.D, *(a.seen(images, ctx) for images in (shown, *others, self.real)))
        D_real, D_fake = a.gan.discriminator(scores[-1], scores[0])
        logged = {"D_real": D_real.detach(), "D_fake": D_fake.detach()}
        if self.negatives is not None:
            share = self.negatives.share
            D_real_too, D_revised = a.gan.discriminator(scores[-1], scores[1])
            D_real, D_fake = share * D_real_too + (1 - share) * D_real, share * D_revised + (1 - share) * D_fake
            logged["D_revised"] = D_revised.detach()
            if (revision := self.negatives.revision) is not None:
                logged |= diagnostics(revision, scores[1] - a.gan.offset, scores[-1] - a.gan.offset, shown, self.real)
        loss = (D_fake + D_real) * 0.5
        if a.gan.gradient_penalty > 0:
            where = ctx.rand((len(shown), 1, 1, 1))
            with self.D.exact():
                penalty = gradient_penalty(self.D, *_same_size(self.real, shown), where)
            loss = loss + 0.5 * a.gan.gradient_penalty * penalty  # as the critic's own terms
            logged["D_gp"] = penalty.detach()
        scale = 2.0 if a.gan.relative else 1.0  # its loss is no half of a sum
        found = a.stabilizers.loss(self.D, (shown, self.real), (scores[0], scores[-1]), ctx)
        penalties = {name: scale * penalty for name, penalty in found.items()}
        loss = sum(penalties.values(), loss)
        return a.losses(loss, logged | {name: penalty.detach() for name, penalty in penalties.items()})

    def g_loss(self, fake: Tensor) -> Losses:
        """What G minimizes to look real, weighted; `fake` with its graph. D's weights get no gradient of it."""
        a = self.adversarial
        if a.weight == 0:
            G_GAN = fake.new_zeros(())
        else:
            with self.D.frozen():
                scores = self.D(a.seen(fake, self.ctx))
                if a.gan.relative:
                    with torch.no_grad():
                        others = self.D(a.seen(self.real, self.ctx))
                    scores = matched(scores, others) - matched(others, scores)
                G_GAN = a.gan.generator(scores) * a.weight
        return a.losses(G_GAN, {"G_GAN": G_GAN.detach()})


def _same_size(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The common upper left part of both, for penalties at points between them."""
    h, w = min(real.shape[2], fake.shape[2]), min(real.shape[3], fake.shape[3])
    return real[:, :, :h, :w], fake[:, :, :h, :w]
