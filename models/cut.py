"""CUT and FastCUT (Park et al., "Contrastive learning for unpaired image-to-image translation", ECCV 2020)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coopcut.engine.base_model import StepOutput, frozen
from coopcut.engine.passes import Pass, check_passes, joined
from coopcut.engine.position import Position
from coopcut.engine.processes.collectives import gather
from coopcut.losses.gan import GAN_LOSSES, gradient_penalty
from coopcut.models.registry import MODELS
from coopcut.networks import create_D, create_G, nce_layers
from coopcut.objectives.color_balance import ColorBalance, mean_colors
from coopcut.objectives.contrastive import ContrastiveModel, Forward, flip
from coopcut.objectives.image_pool import ImagePool
from coopcut.options.option import Option, Options
from coopcut.util.errors import DataError, OptionError


def cut_mode(text: str) -> str:
    """`--CUT_mode` in any spelling that CUT takes."""
    return {"cut": "CUT", "fastcut": "FastCUT"}.get(text.lower(), text)


CUT_OPTIONS = (
    Option("CUT_mode", "CUT", "CUT, or FastCUT: no identity term, lambda_NCE 10, flips, 150 + 50 epochs",
           ("CUT", "FastCUT"), parse=cut_mode, fixed=True),
    Option("lambda_GAN", 1.0, "weight of the adversarial loss", low=0),
    Option("instance_noise", 0.0, "standard deviation of noise on all images that the discriminator is shown in the "
           "adversarial losses; images are in [-1, 1]", low=0),
    Option("lambda_color", 0.0, "weight of the squared difference between the mean colors of translations and of "
           "target images, each over many steps; --normD instance hides them from the discriminator", low=0),
    Option("lambda_NCE", 1.0, "weight of the contrastive loss (FastCUT: 10)", low=0),
    Option("nce_idt", True, "contrastive loss on the identity G(B) too (FastCUT: False)"),
    Option("nce_layers", "0,4,8,12,16", "layers of the generator whose features are contrasted", fixed=True),
    Option("nce_includes_all_negatives_from_minibatch", False, "negatives from all images of the minibatch"),
    Option("netF", "mlp_sample", "projection of the features", fixed=True),
    Option("netF_nc", 256, "width of the projection [channels]", low=1, high=65536, fixed=True),
    Option("nce_T", 0.07, "temperature of the contrastive loss", above=0),
    Option("num_patches", 256, "patches per layer", low=1),
    Option("flip_equivariance", False, "flip half of the inputs and their features back (FastCUT: True)"),
)  # fmt: skip


SMALLEST = 8  # pixels: the generator's reflection padding at a quarter of the size


@MODELS.register("cut")
class CUT(ContrastiveModel):
    """One-sided translation: adversarial loss on G(A), contrastive losses between A and G(A), and B and G(B)."""

    divides = True

    @classmethod
    def options(cls) -> Sequence[Option]:
        return CUT_OPTIONS

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
        if opt.lambda_NCE > 0 and opt.input_nc != opt.output_nc:
            raise OptionError(
                f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ: the contrastive loss encodes both "
                "domains with one network; give both the same, or --lambda_NCE 0 --nce_idt False"
            )
        if opt.nce_idt and opt.input_nc != opt.output_nc:
            raise OptionError("--nce_idt translates target images too and needs --input_nc equal to --output_nc")
        nce_layers(opt)
        check_passes(opt)

    def __init__(self, opt: Options, devices: Sequence[torch.device]) -> None:
        super().__init__(opt, devices)
        G, D = create_G(opt), create_D(opt)
        self.min_size = max(int(D.min_size), SMALLEST)  # type: ignore[arg-type]
        if opt.preprocess.endswith("crop") and round(opt.crop_size / 4) * 4 < self.min_size:
            raise OptionError(
                f"--crop_size {opt.crop_size} is too small for --netD {opt.netD}, which needs {self.min_size} pixels"
            )
        self.add_generator(G)
        self.D = self.add_network("D", D)
        self.add_optimizer("D", D.parameters())
        self.gan = GAN_LOSSES[opt.gan_mode]
        self.pool = ImagePool(opt.pool_size, self.rng.cpu)
        self.balance = ColorBalance(opt.output_nc, self.device)
        self.flipped = False  # whether this step's inputs are

    def phase(self, position: Position) -> str:
        return "adversarial"

    def step(self, batch: Any, position: Position) -> StepOutput:
        """Update D, then G and F (Park et al. 2020, eq. 5)."""
        passes = self.translated(batch)
        self.choose_shown(passes)
        losses = self.update(["D"], passes, self.discriminator_loss)
        with frozen(self.networks["D"]):
            losses |= self.update(["G", "F"], passes, self.generator_loss)
        self.update_ema()
        return StepOutput(losses, self.images(passes))

    # -- the parts of a step --------------------------------------------------------------------------------------

    def translated(self, batch: Any) -> list[Pass]:
        """The passes of a step with their translations. A single one keeps the graph, several compute it again.

        Raises `DataError` for images that the discriminator cannot judge.
        """
        for images, paths in ((batch.A, batch.A_paths), (batch.B, batch.B_paths)):
            if min(images.shape[2:]) < self.min_size:
                size = f"{images.shape[3]}x{images.shape[2]}"
                raise DataError(
                    f"{paths[0]}: {size} pixels after --preprocess; the discriminator (--netD) needs {self.min_size}"
                )
        passes, self.flipped = self.take(batch), self.flips()
        for part in passes:
            if len(passes) == 1:
                part.forward = self.forward(part.real_A, part.real_B, self.flipped)
                part.fake_B = part.forward.fake_B.detach()
            else:
                with torch.no_grad():
                    part.fake_B = self.G(flip(part.real_A, self.flipped))
        if self.opt.lambda_color > 0:
            fakes, reals = ([getattr(part, name) for part in passes] for name in ("fake_B", "real_B"))
            self.balance.update(self.colors(fakes), self.colors(reals))
        return passes

    def colors(self, parts: Sequence[Tensor]) -> Tensor:
        """The mean color of each image of the whole batch, [B, C], of which `parts` are this process's."""
        return gather(torch.cat([mean_colors(images) for images in parts]), self.share)

    def flips(self) -> bool:
        """Whether this step's inputs are flipped: half of the steps with --flip_equivariance."""
        return bool(self.opt.flip_equivariance) and self.rng.coin()

    def choose_shown(self, passes: Sequence[Pass]) -> None:
        """What D is shown as translations: those of now, or with --pool_size some older ones.

        The buffer is that of the whole batch in every process.
        """
        shown = joined([part.fake_B for part in passes])
        if self.pool.size > 0:
            shown = self.pool.query(gather(shown, self.share))[self.share.start : self.share.stop]
        for part, images in zip(passes, shown.split([len(part.real_A) for part in passes]), strict=True):
            part.shown_B = images

    def discriminator_loss(self, part: Pass) -> tuple[Tensor, dict[str, Tensor]]:
        """What the discriminator minimises on real images and detached translations, and its parts."""
        fake, real = part.shown_B, part.real_B
        assert fake is not None
        fake_scores, real_scores = self.judge(self.noisy(fake), self.noisy(real))
        D_fake, D_real = self.gan.fake(fake_scores), self.gan.real(real_scores)
        loss = (D_fake + D_real) * 0.5
        losses = {"D_real": D_real.detach(), "D_fake": D_fake.detach()}
        if self.gan.gradient_penalty > 0:
            where = self.share.rand((len(fake), 1, 1, 1), self.rng.device, self.rng.device.device)
            with self.full_precision("D"):
                penalty = gradient_penalty(self.D, *_same_size(real, fake), where)
            loss = loss + 0.5 * self.gan.gradient_penalty * penalty  # as the critic's own terms
            losses["D_gp"] = penalty.detach()
        return loss, losses

    def judge(self, *images: Tensor) -> list[Tensor]:
        """D's scores for each of several batches; in one pass if the sizes and D's norm allow it."""
        if self.opt.normD == "batch" or len({batch.shape[1:] for batch in images}) > 1:
            return [self.D(batch) for batch in images]
        return list(self.D(torch.cat(images)).split([len(batch) for batch in images]))

    def adversarial_loss(self, fake_B: Tensor) -> Tensor:
        """What the generator minimises to look real, weighted."""
        if self.opt.lambda_GAN == 0:
            return fake_B.new_zeros(())
        return self.gan.generator(self.D(self.noisy(fake_B))) * self.opt.lambda_GAN

    def noisy(self, images: Tensor) -> Tensor:
        """Instance noise (Sonderby et al., "Amortised MAP inference for image super-resolution", ICLR 2017).

        Real images and translations then overlap for D, which wins less easily and keeps a gradient for G.
        """
        if self.opt.instance_noise == 0:
            return images
        noise = self.share.randn(images.shape, self.rng.device, images.device)
        return images + self.opt.instance_noise * noise

    def generator_loss(self, part: Pass) -> tuple[Tensor, dict[str, Tensor]]:
        """What generator and projection minimise: the adversarial and the contrastive losses."""
        out = self.outputs(part)
        NCE, losses = self.contrastive_loss(out)
        color, more = self.color_loss(out.fake_B)
        G_GAN = self.adversarial_loss(out.fake_B)
        loss = NCE + G_GAN + color
        return loss, {"G_GAN": G_GAN.detach(), "G": loss.detach()} | losses | more

    def color_loss(self, fake_B: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator minimises to keep the mean color of the target images, weighted, and how far it is."""
        if self.opt.lambda_color == 0:
            return fake_B.new_zeros(()), {}
        return self.balance.loss(fake_B) * self.opt.lambda_color, {"color": self.balance.distance()}

    def outputs(self, part: Pass) -> Forward:
        """The generator's outputs for a pass, with their graph, which the pass then no longer holds."""
        out: Forward = part.forward or self.forward(part.real_A, part.real_B, self.flipped)
        part.forward, part.idt_B = None, None if out.idt_B is None else out.idt_B.detach()
        return out

    def images(self, passes: Sequence[Pass]) -> dict[str, Tensor]:
        """The pictures of a step, by the names of CUT's pages."""
        pictures = {name: [getattr(part, name) for part in passes] for name in ("real_A", "fake_B", "real_B", "idt_B")}
        return {name: joined(parts) for name, parts in pictures.items() if parts[0] is not None}

    # -- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"pool": self.pool.state_dict(), "colors": self.balance.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.pool.load_state_dict(state["pool"], self.device)
        if "colors" in state and self.opt.lambda_color > 0:  # else the means would be old ones if it came back
            self.balance.load_state_dict(state["colors"], self.device)


def _same_size(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The common upper left part of both, for penalties at points between them."""
    h, w = min(real.shape[2], fake.shape[2]), min(real.shape[3], fake.shape[3])
    return real[:, :, :h, :w], fake[:, :, :h, :w]
