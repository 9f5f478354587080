"""The revision of images by short-run Langevin dynamics on the scores of a discriminator."""

from dataclasses import replace

import torch
from torch import Tensor

from coopcut.engine.step import StepContext
from coopcut.objectives.adversarial import Adversarial
from coopcut.options.option import Option, Options
from coopcut.sampling.langevin import Langevin, Revision


class Reviser:
    """Moves images up f(x) = D(x) - offset, the negative energy of `objectives.cooperative`."""

    options = (
        Option("langevin_steps", 15, "Langevin steps per revision", low=1, high=10000),
        Option("langevin_displacement", 0.1, "mean change of a value over all steps, at most; images are in [-1, 1]",
               above=0, high=2),
        Option("langevin_adaptive", True, "a step is as long as the slope needs to reach the score of the real image "
               "beside it, and an image that has reached it rests; False: images move all of the displacement",
               earlier=False),
        Option("langevin_backtrack", True, "undo a step that lowers an image's score and halve its later ones",
               earlier=False),
        Option("langevin_step_size", 0.0, "fixed factor on the gradient of the scores' sum (delta^2 / 2), in place of "
               "a displacement; 0: none", low=0),
        Option("langevin_stop", False, "with steps that are not adaptive: an image that scores as high as the real "
               "image beside it rests"),
        Option("langevin_reference", 0.0, "standard deviation of a normal reference density about gray, which the "
               "density is a factor on (CoopNets: 0.016); 0: none", low=0),
        Option("langevin_noise", 0.0, "standard deviation of a step's noise (delta); images are in [-1, 1]", low=0),
        Option("langevin_clip", 0.05, "largest change of a value by the gradient in a step; 0: no limit", low=0),
    )  # fmt: skip

    def __init__(
        self, opt: Options, adversarial: Adversarial, bounds: tuple[float, float] | None = (-1.0, 1.0)
    ) -> None:
        self.D, self.offset = adversarial.D, adversarial.gan.offset
        self.precision = 1 / opt.langevin_reference**2 if opt.langevin_reference > 0 else 0.0
        adaptive = bool(opt.langevin_adaptive and opt.langevin_step_size == 0)
        self.stops = bool(opt.langevin_stop or adaptive)
        self.langevin = Langevin(
            steps=opt.langevin_steps,
            step_size=opt.langevin_step_size,
            noise=opt.langevin_noise,
            clip=opt.langevin_clip,
            displacement=0.0 if opt.langevin_step_size > 0 else opt.langevin_displacement,
            bounds=bounds,
            adaptive=adaptive,
            backtrack=opt.langevin_backtrack,
        )

    def f(self, images: Tensor, y: Tensor | None = None) -> Tensor:
        """Minus the energy of each patch of images (of the classes y [B]): [B, C, H, W] -> [B, 1, h, w].

        With --langevin_reference s the energy has |x|^2 / 2 s^2 besides (Xie et al. 2016), spread over the patches.
        """
        scores: Tensor = self.D.given(y)(images) - self.offset
        if self.precision > 0:
            norms = images.square().flatten(1).sum(1).view(-1, 1, 1, 1)
            scores = scores - self.precision / 2 * norms / scores[0].numel()
        return scores

    def __call__(
        self, fake: Tensor, real: Tensor, ctx: StepContext, length: float = 1.0, y: Tensor | None = None
    ) -> Revision:
        """`fake` moved up the scores of D, whose weights rest meanwhile; `length` of the way, in (0, 1].

        y [B]: the class of each image, if D is told.

        With --langevin_stop each only until it scores as its image of `real` does: image by image, so that neither
        other processes nor micro-batches change what becomes of one.
        """
        with self.D.frozen(), self.D.exact():
            ceiling = None
            if self.stops:
                with torch.no_grad():
                    ceiling = self.f(real, y).flatten(1).mean(dim=1)
            found = shortened(self.langevin, length).revise(lambda images: self.f(images, y), fake, ceiling, ctx.randn)
            if self.precision == 0:
                return found
            with torch.no_grad():  # for the log, in which the other scores have no reference either
                return replace(found, f_start=(self.D.given(y)(fake) - self.offset).mean())


def shortened(langevin: Langevin, length: float) -> Langevin:
    """The same sampler with `length` of its steps, at least one, each as long as before."""
    if length == 1:
        return langevin
    steps = max(1, round(langevin.steps * length))
    return replace(langevin, steps=steps, displacement=langevin.displacement * steps / langevin.steps)
