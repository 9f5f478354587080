"""A run of the 2-D mixture benchmark: its settings, the networks, and the steps of both arms.

See benchmarks/mixture.py. A length of 1 is the radius of the ring, and half the distance of neighbours in the grid.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from coopcut.engine.base_model import frozen
from torch import Tensor, nn

from benchmarks.mixture_data import DATA
from coopcut.losses.cooperative import likelihood_loss, teaching_loss
from coopcut.losses.gan import GAN_LOSSES
from coopcut.sampling.langevin import Revision, revise

ARMS = ("gan", "coopinit")
SAMPLES = 2500  # of the generator, for the metrics


@dataclass(frozen=True)
class Settings:
    """All that a run depends on. The names are those of the options of `train.py`; lr_D and lr_G: 0 stands for lr."""

    data: str = "ring"
    gan_mode: str = "nonsaturating"
    arm: str = "gan"
    seed: int = 0
    steps: int = 3000
    coop_steps: int = 400
    langevin_steps: int = 15
    langevin_step_size: float = 0.1
    langevin_noise: float = 0.0
    langevin_clip: float = 0.0
    lambda_coop: float = 10.0
    lambda_energy: float = 0.25
    coop_data_noise: float = 0.0
    batch_size: int = 256
    lr: float = 1e-3
    coop_lr_D: float = 0.0
    coop_lr_G: float = 0.0
    beta1: float = 0.5
    beta2: float = 0.999
    width: int = 64
    nz: int = 2
    measure_freq: int = 100

    def matters(self) -> dict[str, Any]:
        """The settings that change what the arm does or reports: those of the sampler change nothing in `gan`."""
        coop = ("langevin_", "lambda_", "coop_lr", "coop_data") if self.arm == "gan" else ()
        return {name: value for name, value in asdict(self).items() if not name.startswith(coop)}

    @property
    def warmup(self) -> int:
        """Number of cooperative steps."""
        return self.coop_steps if self.arm == "coopinit" else 0

    def passes(self, step: int) -> int:
        """Passes of a batch through a network, forward and backward, in the first `step` steps.

        An adversarial step has 4: D on real, on fake, and on fake for G, and G. A cooperative step has D on real, on
        revised and `langevin_steps` times in the sampler, and G. All networks are of one size.
        """
        coop = min(step, self.warmup)
        return coop * (self.langevin_steps + 3) + (step - coop) * 4

    def steps_of_equal_cost(self) -> int:
        """The most steps of this arm that make no more passes than `gan` makes in all its steps."""
        coop, budget = self.langevin_steps + 3, 4 * self.steps
        return min(self.warmup, budget // coop) + max(budget - self.warmup * coop, 0) // 4


def fitting(data: str, gan_mode: str) -> dict[str, float]:
    """The defaults that depend on the task.

    langevin_clip: 2 standard deviations of a mode, since the revision overshoots where it crosses a mode in one step.
    lambda_energy: what suits the loss after the switch, see docs/coopcut.md, "The switch".
    """
    return {"langevin_clip": 2 * DATA[data]().std, "lambda_energy": 1.0 if gan_mode == "lsgan" else 0.25}


def mlp(nc_in: int, nc_out: int, width: int) -> nn.Sequential:
    """Three hidden layers: [B, nc_in] -> [B, nc_out]."""
    net = nn.Sequential()
    for before in (nc_in, width, width):
        net.extend([nn.Linear(before, width), nn.ReLU()])
    return net.append(nn.Linear(width, nc_out))


class Run:
    """G: noise [B, nz] -> [B, 2], D: [B, 2] -> scores [B, 1], and the two kinds of a step, as `coopcut` has them.

    Both arms of a seed start with the same weights and see the same real samples and the same noise of G in each step.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.gan = settings, GAN_LOSSES[settings.gan_mode]
        self.mixture = DATA[settings.data]()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.G, self.D = mlp(settings.nz, 2, settings.width), mlp(2, 1, settings.width)
        last = self.D[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, self.gan.offset)  # in both arms: f starts at 0
        betas = (settings.beta1, settings.beta2)
        self.optimizer_G = torch.optim.Adam(self.G.parameters(), settings.lr, betas, fused=True)
        self.optimizer_D = torch.optim.Adam(self.D.parameters(), settings.lr, betas, fused=True)
        # one generator for what both arms draw, one for what the sampler draws, one for the metrics
        self.rng, self.sampler_rng = (torch.Generator().manual_seed(3 * settings.seed + i) for i in (1, 2))

    def f(self, x: Tensor) -> Tensor:
        """Minus the energy: [B, 2] -> [B, 1]."""
        return self.D(x) - self.gan.offset

    def step(self, number: int) -> dict[str, float]:
        """The step after `number` steps: cooperative within the warm-up, else adversarial. Returns what is logged."""
        opt = self.settings
        warmup = number < opt.warmup
        for optimizer, lr in ((self.optimizer_D, opt.coop_lr_D), (self.optimizer_G, opt.coop_lr_G)):
            optimizer.param_groups[0]["lr"] = lr if warmup and lr > 0 else opt.lr
        real = self.mixture.sample(opt.batch_size, self.rng)
        fake = self.G(torch.randn(opt.batch_size, opt.nz, generator=self.rng))
        return self.cooperative_step(real, fake) if warmup else self.adversarial_step(real, fake)

    def adversarial_step(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """One step of D, then of G. real, fake: [B, 2]."""
        loss_D = (self.gan.fake(self.D(fake.detach())) + self.gan.real(self.D(real))) * 0.5
        descend(self.optimizer_D, loss_D)
        with frozen(self.D):
            descend(self.optimizer_G, self.gan.generator(self.D(fake)))
        return {}

    def cooperative_step(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Revision, one step of D by maximum likelihood, one of G by MCMC teaching. real, fake: [B, 2]."""
        opt = self.settings
        revision = self.revise(fake)
        if opt.coop_data_noise > 0:
            real = real + opt.coop_data_noise * torch.randn(real.shape, generator=self.sampler_rng)
        f_revised, f_real = self.f(revision.x), self.f(real)
        descend(self.optimizer_D, likelihood_loss(f_revised, f_real, opt.lambda_energy))
        descend(self.optimizer_G, opt.lambda_coop * teaching_loss(fake, revision.x))
        return {
            "displacement": float(revision.displacement),
            "grad": float(revision.gradient),
            "gap": float((f_real.mean() - f_revised.mean()).detach()),
            "ascent": float(f_revised.mean().detach() - revision.f_start),
        }

    def revise(self, fake: Tensor) -> Revision:
        opt = self.settings
        with frozen(self.D):
            return revise(
                self.f,
                fake,
                steps=opt.langevin_steps,
                step_size=opt.langevin_step_size,
                noise=opt.langevin_noise,
                clip=opt.langevin_clip,
                bounds=None,
                generator=self.sampler_rng,
            )

    @torch.no_grad()
    def sample(self) -> Tensor:
        """The generator's samples [SAMPLES, 2], of the same noise at every call."""
        rng = torch.Generator().manual_seed(3 * self.settings.seed + 3)
        return self.G(torch.randn(SAMPLES, self.settings.nz, generator=rng))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def train(settings: Settings, samples: int = 500) -> dict[str, Any]:
    """A whole run: its settings, the curve of the figures, processor seconds, and `samples` of the last samples.

    It is measured every `measure_freq` steps, at the switch (in `gan` at the same step), at equal cost, and at the end.
    """
    run, curve, spent = Run(settings), [], 0.0
    marks = {settings.coop_steps, settings.steps_of_equal_cost(), settings.steps}
    at_switch: list[list[float]] = []
    logged: Mapping[str, float] = {}
    for step in range(settings.steps + 1):
        if step in marks or step % settings.measure_freq == 0:
            figures = run.mixture.measure(run.sample()) | dict(logged)
            curve.append({"step": step, "passes": settings.passes(step), "seconds": spent} | figures)
        if step == settings.coop_steps:
            at_switch = listed(run.sample()[:samples])
        if step < settings.steps:
            start = time.process_time()
            logged = run.step(step)
            spent += time.process_time() - start
    finite = all(bool(p.isfinite().all()) for p in (*run.G.parameters(), *run.D.parameters()))
    return {
        "settings": asdict(settings),
        "finite": finite,
        "seconds": spent,
        "curve": curve,
        "samples_at_switch": at_switch,
        "samples": listed(run.sample()[:samples]),
    }


def listed(x: Tensor) -> list[list[float]]:
    return [[round(value, 4) for value in point] for point in x.tolist()]
