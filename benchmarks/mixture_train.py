"""A run of the 2-D mixture benchmark: its settings, the networks, and the steps of both arms.

See benchmarks/mixture.py. A length of 1 is the radius of the ring, and half the distance of neighbors in the grid.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmarks.mixture_data import DATA
from benchmarks.ready import batch_of, options, trainer_of
from coopcut.data.batch import Batch
from coopcut.engine.position import Position
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Step, StepContext, minimize
from coopcut.models import Method
from coopcut.networks.contract import Discriminator
from coopcut.objectives.adversarial import Adversarial
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.option import Option, Options

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
    lambda_energy: what suits the loss after the switch, see docs/coopcut.md.
    """
    return {"langevin_clip": 2 * DATA[data]().std, "lambda_energy": 1.0 if gan_mode == "lsgan" else 0.25}


def mlp(nc_in: int, nc_out: int, width: int) -> nn.Sequential:
    """Three hidden layers: [B, nc_in] -> [B, nc_out]."""
    net = nn.Sequential()
    for before in (nc_in, width, width):
        net.extend([nn.Linear(before, width), nn.ReLU()])
    return net.append(nn.Linear(width, nc_out))


class Critic(Discriminator):
    """Points [B, 2] -> scores [B, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = mlp(2, 1, width)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int) -> Self:
        return cls(opt.width)

    @property
    def score_bias(self) -> nn.Parameter | None:
        return self.net[-1].bias  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores


class Unbounded(Cooperative):
    """Points have no largest value."""

    bounds = None


class Points(Method):
    """A GAN of points: noise "A" [B, nz] -> [B, 2], beside real ones "B". The bias of D starts at the offset always."""

    options = (Option("nz", 2, "size of the noise", low=1), Option("width", 64, "width of both networks", low=1))
    components = (Adversarial, Cooperative)

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.G = self.networks["G"] = runtime.prepare(mlp(opt.nz, 2, opt.width))
        D = Critic(opt.width)
        self.adversarial = self.add("adversarial", Unbounded(opt, Adversarial(opt, runtime.prepare(D))))
        nn.init.constant_(D.net[-1].bias, self.adversarial.offset)  # type: ignore[arg-type]

    def step(self, batch: Batch, ctx: StepContext) -> Step:
        fake = self.G(batch["A"])
        duel = self.adversarial.duel(fake.detach(), batch["B"], ctx)
        yield minimize(duel.d_loss(fake.detach()), "D")
        yield minimize(duel.g_loss(fake), "G")
        return {"fake": fake}


class Run:
    """A training of `Points` by the engine.

    Both arms of a seed start with the same weights and see the same real samples and the same noise of G in each step.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.mixture = settings, DATA[settings.data]()
        with torch.random.fork_rng(devices=[]):
            self.trainer = trainer_of(options(self.flags()))
        self.G = self.trainer.networks["G"]
        self.rng = torch.Generator().manual_seed(3 * settings.seed + 1)  # of what both arms draw

    def flags(self) -> list[str]:
        """Those of train.py."""
        apart = {"data", "arm", "steps", "coop_steps", "coop_lr_D", "coop_lr_G", "measure_freq"}
        given = {name: value for name, value in asdict(self.settings).items() if name not in apart}
        given |= {"model": "benchmarks.mixture_train:Points", "coop_iters": self.settings.warmup, "gpu_ids": -1}
        return [f"--{name}={value}" for name, value in given.items()] + ["--preprocess=none"]

    def step(self, number: int) -> dict[str, float]:
        """The step after `number` steps: cooperative within the warm-up, else adversarial. Returns what is logged."""
        opt = self.settings
        for name, lr in (("D", opt.coop_lr_D), ("G", opt.coop_lr_G)):
            group = self.trainer.optimizers.optimizers[name].param_groups[0]
            group["lr"] = lr if number < opt.warmup and lr > 0 else opt.lr
        real = self.mixture.sample(opt.batch_size, self.rng)
        noise = torch.randn(opt.batch_size, opt.nz, generator=self.rng)
        losses = self.trainer.step(batch_of(noise, real), Position(step=number)).losses
        if number >= opt.warmup:
            return {}
        logged = {name: float(losses[name]) for name in ("displacement", "grad", "gap")}
        return logged | {"ascent": float(losses["f_revised"] - losses["f_fake"])}

    @torch.no_grad()
    def sample(self) -> Tensor:
        """The generator's samples [SAMPLES, 2], of the same noise at every call."""
        rng = torch.Generator().manual_seed(3 * self.settings.seed + 3)
        points: Tensor = self.G(torch.randn(SAMPLES, self.settings.nz, generator=rng))
        return points


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
    weights = [value for net in run.trainer.weights().values() for value in net.values()]
    return {
        "settings": asdict(settings),
        "finite": all(bool(value.isfinite().all()) for value in weights),
        "seconds": spent,
        "curve": curve,
        "samples_at_switch": at_switch,
        "samples": listed(run.sample()[:samples]),
    }


def listed(x: Tensor) -> list[list[float]]:
    return [[round(value, 4) for value in point] for point in x.tolist()]
