"""Translation in two dimensions, in seconds a run: are all modes of the target made, each of the matching source?

    python -m benchmarks.ring_translation --seeds 1-20 --budget 2000 --out results/ring

Domain A is a ring of eight Gaussians, B the same ring turned by 15 degrees and 1.5 times as large. G(a) = a + h(a) with
a content loss, the mean of |h(a)|^2: of all maps that make B, the one that turns each mode onto its own costs least.
All methods get the processor time of --budget steps of the first; --equal steps: as many steps.
"""

import json
import logging
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.ready import batch_of, options, trainer_of
from coopcut.comparison import tables
from coopcut.comparison.cost import steps_for, time_costs
from coopcut.comparison.plan import parse_seeds
from coopcut.data.batch import Batch
from coopcut.data.mixtures import ring
from coopcut.engine.position import Position
from coopcut.engine.runtime import Runtime
from coopcut.engine.step import Losses, Step, StepContext, minimize
from coopcut.models import Method
from coopcut.networks.mlp import PointCritic, hidden
from coopcut.objectives.adversarial import Adversarial
from coopcut.objectives.cooperative import Cooperative
from coopcut.options.option import Option, Options
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.files import write_text

log = logging.getLogger("ring_translation")

MODES, TURN, SCALE, STD = 8, math.radians(15), 1.5, 0.05
SAMPLES = 2000
MEASURED = 8
FLAGS = "--batch_size 64 --lr 0.001 --ema 0.995 --preprocess none --gpu_ids -1"


class Residual(nn.Module):
    """G(a) = a + h(a), points [B, 2]; h begins small."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.h = hidden(2, width).append(nn.Linear(width, 2))

    def forward(self, a: Tensor) -> Tensor:
        return a + self.h(a)


class RingTranslation(Method):
    """A GAN that translates points, with a content loss."""

    options = (
        Option("width", 64, "width of both networks", low=1),
        Option("lambda_content", 0.1, "weight of the content loss", low=0),
    )
    components = (Adversarial, Cooperative)

    def __init__(self, opt: Options, runtime: Runtime) -> None:
        super().__init__(opt, runtime)
        self.G = self.networks["G"] = runtime.prepare(Residual(opt.width))
        D = runtime.prepare(PointCritic(2, opt.width))
        self.adversarial = self.add("adversarial", Cooperative(opt, Adversarial(opt, D), bounds=None))
        nn.init.constant_(D.net.last.bias, self.adversarial.offset)

    def step(self, batch: Batch, ctx: StepContext) -> Step:
        """Update D, then G."""
        A = batch["A"]
        fake = self.G(A)
        duel = yield from self.adversarial.duel(fake.detach(), batch["B"], ctx)
        yield minimize(duel.d_loss(), "D")
        content = self.opt.lambda_content * (fake - A).square().mean()
        losses = duel.g_loss(fake) + Losses(content, {"content": content.detach()})
        yield minimize(losses.labeled("G"), "G")
        return {"fake": fake}


def main(argv: Sequence[str]) -> int:
    """Run what is missing, print the table. Returns the exit code."""
    parser = Parser(__doc__, "benchmarks.ring_translation")
    parser.add_argument(
        "--runs", nargs="+", default=["gan", "coop --coop_iters 300"], help='flags of each method after a name: "gan"'
    )
    parser.add_argument("--seeds", default="1-20", help="[default: 1-20]")
    parser.add_argument("--flags", default="", help="flags of train.py for all runs")
    parser.add_argument("--budget", type=int, default=2000, help="steps of the first of --runs [default: 2000]")
    parser.add_argument("--equal", choices=("steps", "time"), default="time", help="[default: time]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    told = parser.parse_args(list(argv))
    torch.set_num_threads(1)
    flags = {name: [*shlex.split(FLAGS), *shlex.split(told.flags), *shlex.split(name)[1:]] for name in told.runs}
    costs: dict[str, list[float]] = {}
    if told.equal == "time":
        A, _, B = domains(64, torch.Generator().manual_seed(0))
        costs = time_costs(
            {n: trainer_of(options_of(own, 0)) for n, own in flags.items()}, dict.fromkeys(flags, batch_of(A, B))
        )
    found: tables.Found = {name: {} for name in told.runs}
    for seed in parse_seeds(told.seeds):
        for name in told.runs:
            opt = options_of(flags[name], seed)
            steps = steps_for(opt, costs[name], told.budget) if costs else told.budget
            path = told.out / f"{shlex.join(flags[name]).replace('/', '_')[-120:]}_{steps}" / f"{seed}.json"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, json.dumps(train(opt, steps)) + "\n")
            found[name][seed] = json.loads(path.read_text(encoding="utf-8"))
        log.info("seed %d done", seed)
    for name, values in costs.items():
        log.info("%s: a step costs %s", name, ", ".join(f"{value:.2f}" for value in values))
    log.info("%s", tables.markdown(tables.rows(found, references(), told.runs, "matching")))
    return 0


def options_of(flags: Sequence[str], seed: int) -> Options:
    return options(["--model", "benchmarks.ring_translation:RingTranslation", *flags, "--seed", seed])


def domains(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Points of A [count, 2], the modes that they are of [count], and unpaired points of B [count, 2]."""
    A, B = ring(MODES, STD), target()
    modes = torch.randint(MODES, (count,), generator=rng)
    return A.means[modes] + STD * torch.randn(count, 2, generator=rng), modes, B.sample(count, rng)


def target() -> Any:
    """The mixture of domain B."""
    mixture = ring(MODES, STD)
    turn = torch.tensor([[math.cos(TURN), math.sin(TURN)], [-math.sin(TURN), math.cos(TURN)]])
    return type(mixture)(SCALE * mixture.means @ turn, SCALE * STD)


def train(opt: Options, steps: int) -> dict[str, Any]:
    """A run: its figures along the way."""
    with torch.random.fork_rng(devices=[]):
        trainer = trainer_of(opt)
    rng, rows, seconds = torch.Generator().manual_seed(opt.seed), list[dict[str, Any]](), 0.0
    for step in range(steps):
        for optimizer in trainer.optimizers.optimizers.values():  # constant for half of the run, then to 0
            optimizer.param_groups[0]["lr"] = opt.lr * min(1.0, 2 * (1 - step / steps))
        A, _, B = domains(opt.batch_size, rng)
        began = time.process_time()
        trainer.step(batch_of(A, B), Position(step=step))
        seconds += time.process_time() - began
        if (step + 1) * MEASURED // steps > step * MEASURED // steps:
            rows.append({"step": step + 1, "seconds": seconds, "figures": measure(trainer.trained("G"))})
    return {"seed": opt.seed, "steps": steps, "rows": rows}


@torch.no_grad()
def measure(G: nn.Module) -> dict[str, float]:
    """matching: share of the points that end within 3 std of the mode that is theirs. modes, quality: of the target."""
    A, modes, _ = domains(SAMPLES, torch.Generator().manual_seed(0))
    made = G(A)
    found = target().measure(made)
    off = (made - target().means[modes]).norm(dim=1)
    return {
        "matching": float((off <= 3 * SCALE * STD).double().mean()),
        "modes": found["modes"],
        "quality": found["high_quality"],
        "reverse_KL": found["reverse_kl"],
    }


def true_map() -> Tensor:
    """The matrix [2, 2] that turns and scales points of A, from the right."""
    matrix: Tensor = torch.linalg.lstsq(ring(MODES, STD).means, target().means).solution
    return matrix


def references() -> Mapping[str, Mapping[str, float]]:
    """The input unchanged, and the true map."""
    true = nn.Linear(2, 2, bias=False)
    true.weight.data = true_map().T
    return {"input unchanged": measure(nn.Identity()), "true map": measure(true)}


if __name__ == "__main__":
    run_script(main)
