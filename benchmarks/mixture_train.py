"""A run of the 2-D mixture benchmark: a method of points, trained by the engine. See benchmarks/mixture.py."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmarks.mixture_settings import Settings
from benchmarks.ready import batch_of, options, trainer_of
from coopcut.data.batch import Batch
from coopcut.data.mixtures import DATA
from coopcut.engine.position import Position
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Step, StepContext, minimize
from coopcut.models import Method
from coopcut.networks.contract import Discriminator
from coopcut.objectives.adversarial import Adversarial
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.option import Option, Options

SAMPLES = 2500  # of the generator, for the metrics


def hidden(nc_in: int, width: int) -> nn.Sequential:
    """Three hidden layers: [B, nc_in] -> [B, width]."""
    layers = [(nn.Linear(before, width), nn.ReLU()) for before in (nc_in, width, width)]
    return nn.Sequential(*(module for layer in layers for module in layer))


class Critic(Discriminator):
    """Points [B, 2] -> scores [B, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.last = hidden(2, width), nn.Linear(width, 1)

    @classmethod
    def from_options(cls, opt: Options, in_channels: int) -> Self:
        return cls(opt.width)

    @property
    def score_bias(self) -> nn.Parameter:
        return self.last.bias

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.body(x))
        return scores


class Points(Method):
    """A GAN of points: noise "A" [B, nz] -> [B, 2], beside real ones "B". The bias of D starts at the offset always."""

    options = (Option("nz", 2, "size of the noise", low=1), Option("width", 64, "width of both networks", low=1))
    components = (Adversarial, Cooperative)

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.G = self.networks["G"] = runtime.prepare(hidden(opt.nz, opt.width).append(nn.Linear(opt.width, 2)))
        D = runtime.prepare(Critic(opt.width))
        self.adversarial = self.add("adversarial", Cooperative(opt, Adversarial(opt, D), bounds=None))
        nn.init.constant_(D.net.score_bias, self.adversarial.offset)

    def step(self, batch: Batch, ctx: StepContext) -> Step:
        fake = self.G(batch["A"])
        duel = yield from self.adversarial.duel(fake.detach(), batch["B"], ctx)
        yield minimize(duel.d_loss(), "D")
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
        given["langevin_backtrack"] = False  # `Settings.passes` counts no pass after the last step
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
