"""Does the cooperative start help? cut, FastCUT and coopcut on the toy set with its known looks, over several seeds.

    python -m benchmarks.coop_study                   # the arms: equal steps, equal time, and a supervised ceiling
    python -m benchmarks.coop_study --sweep           # each setting of the warm-up by itself
    python -m benchmarks.coop_study --report docs/study  # tables (printed) and plots, of whatever is finished

A run that is finished is not done again, so that the study can be stopped and started at any time. Each run writes
one JSON with its options, its figures along the way, and the losses between them.
"""

import json
import logging
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.coop.arms import ARMS, SMALL, WARMUP, Arm
from benchmarks.coop.pictures import read_strip, save_strips, sheet
from benchmarks.coop.report import VIEWS, arms_table, plot_arms, plot_sweeps, read_runs, sweep_tables
from benchmarks.coop.run import Data, train
from benchmarks.coop.sweeps import SWITCH_SWEEPS, WARMUP_SWEEPS, sweep_arms
from benchmarks.ready import batch_of, options, trainer_of
from coopcut.datasets.make_toy import Settings, make_dataset
from coopcut.engine.position import Position
from coopcut.images.io import save_image
from coopcut.options.option import Options
from coopcut.options.saved import to_dict
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import OptionError
from coopcut.util.files import write_text
from coopcut.util.launch import refuse_several

log = logging.getLogger("coop_study")
CUE = 0.25  # how much of its look a horse shows: with all of it plain CUT drops few looks
TIMED = 30  # pairs of steps


def main(argv: Sequence[str]) -> int:
    """Run what is missing, or report. Returns the exit code."""
    refuse_several()
    parser = Parser(__doc__, "benchmarks.coop_study")
    parser.add_argument("--out", type=Path, default=Path("results/coop_study"), help="folder of the runs")
    parser.add_argument("--steps", type=int, default=1000, help="steps of a run [default: 1000]")
    parser.add_argument("--warmup", type=int, default=WARMUP, help=f"of which the warm-up [default: {WARMUP}]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="[default: 1 2 3 4 5]")
    parser.add_argument("--arms", nargs="+", help="of the study, or with --sweep of the sweeps [default: all]")
    parser.add_argument("--images", type=int, default=400, help="training images of a domain [default: 400]")
    parser.add_argument("--test_images", type=int, default=64, help="[default: 64]")
    parser.add_argument("--sweep", action="store_true", help="vary each setting of the warm-up instead")
    parser.add_argument("--flags", default="", help="further flags of train.py for all runs (a larger --ngf, say)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU, for a run")
    parser.add_argument(
        "--report", type=Path, metavar="FOLDER", help="print the tables, write the plots there; no runs"
    )
    opt = parser.parse_args(list(argv))
    if opt.report is not None:
        report(opt.out, opt.report)
        return 0
    arms = chosen(sweep_arms() if opt.sweep else ARMS, opt.arms)
    torch.set_num_threads(opt.threads)
    folder = opt.out / "toy"
    make_dataset(folder, Settings(size=32, train=opt.images, test=opt.test_images, seed=0, cue=CUE))
    todo = [(seed, name, arm) for seed in opt.seeds for name, arm in arms.items()]  # seed by seed: pairs come first
    todo = [(seed, name, arm) for seed, name, arm in todo if not path_of(opt.out, name, seed).exists()]
    data = Data.load(folder)
    for done, (seed, name, arm) in enumerate(todo, 1):
        log.info("%d of %d: %s, seed %d", done, len(todo), name, seed)
        flags = [*SMALL, *opt.flags.split(), *(str(opt.warmup) if flag == "WARMUP" else flag for flag in arm.flags)]
        one_run(data, opt.out, name, arm, [*flags, "--seed", str(seed)], opt.steps)
    return 0


def chosen(arms: Mapping[str, Arm], names: Sequence[str] | None) -> dict[str, Arm]:
    """Those of the names, or all. Raises `OptionError`."""
    for name in names or ():
        if name not in arms:
            raise OptionError(f"--arms: '{name}' is unknown; known: {', '.join(arms)}")
    return {name: arms[name] for name in names or arms}


def path_of(out: Path, arm: str, seed: int) -> Path:
    """The file of a run."""
    return out / f"{arm.replace(', ', '_').replace(' ', '_')}_{seed}.json"


def one_run(data: Data, out: Path, name: str, arm: Arm, flags: Sequence[str], steps: int) -> None:
    """Train, measure, write."""
    opt = options(flags)
    cost = cooperative_cost(data, opt) if arm.equal_time else 1.0
    if arm.equal_time:
        kept = opt.coop_keep > 0  # then all steps are cooperative
        steps = round(steps / cost) if kept else steps - round((cost - 1) * opt.coop_iters)
    if arm.short:
        steps = opt.coop_iters
    result = train(data, flags, steps, arm.supervised, arm.variant, decay=not arm.short)
    run = {"arm": name, "seed": opt.seed, "steps": steps, "cost": cost, "options": to_dict(opt), "rows": result.rows}
    path = path_of(out, name, opt.seed)
    save_strips(path.with_suffix(""), result.pictures)
    write_text(path, json.dumps(run, indent=1) + "\n")
    log.info("%s", {key: round(value, 3) for key, value in result.rows[-1]["ema"].items() if key != "shown"})


def cooperative_cost(data: Data, opt: Options) -> float:
    """Time of a cooperative step over that of a step of CUT: ratio of the medians of alternating steps.

    With --coop_keep it is a step after the warm-up, which has both losses.
    """
    plain = Options(**vars(opt) | {"coop_epochs": 0, "coop_iters": 0, "coop_keep": 0.0})
    trainers = trainer_of(opt), trainer_of(plain)
    A, B = (data.images[split][: opt.batch_size] for split in ("trainA", "trainB"))
    batch = batch_of(A, B).to(trainers[0].runtime.device)
    where = Position(step=opt.coop_iters if opt.coop_keep > 0 else 0)
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * TIMED + 4):
        began = time.perf_counter()
        output = trainers[number % 2].step(batch, where)
        float(output.losses["G"])  # waits for the device
        if number >= 4:
            seconds[number % 2].append(time.perf_counter() - began)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def report(out: Path, folder: Path) -> None:
    """Tables on the console, plots in `folder`."""
    runs = read_runs(out)
    for view in VIEWS:
        log.info("\n%s\n\n%s", view, "\n".join(arms_table(runs, list(ARMS), view)))
    for arm in (arm for arm in ARMS if ARMS[arm].equal_time and arm in runs):
        costs = [run["cost"] for run in runs[arm].values()]
        log.info("\n%s: a cooperative step takes %.2f times that of CUT", arm, statistics.median(costs))
    plot_arms(runs, [arm for arm in ARMS if not ARMS[arm].equal_time], folder / "coop_arms.png")
    save_image(gallery(out, runs), folder / "coop_pictures.png")
    for name, sweeps in (("warmup", WARMUP_SWEEPS), ("switch", SWITCH_SWEEPS)):
        log.info("\nsweeps, %s (EMA)\n\n%s", name, "\n".join(sweep_tables(runs, sweeps)))
        plot_sweeps(runs, sweeps, folder / f"coop_sweeps_{name}.png")


def gallery(out: Path, runs: Mapping[str, Mapping[int, Any]]) -> Image.Image:
    """The first test images, what the warm-up of coopcut makes of them, and the ends of the arms; the least seed."""
    rows: dict[str, Tensor] = {}
    for arm in (arm for arm in ARMS if arm in runs):
        strips = path_of(out, arm, min(runs[arm])).with_suffix("")
        rows |= {"real_A": read_strip(strips, "testA"), "true counterpart": read_strip(strips, "testB")}
        if arm == "coopcut":
            rows |= {name: read_strip(strips, name) for name in ("fake_B, warm-up", "revised_B")}
        rows[arm] = read_strip(strips, "fake_B, ema")
    return sheet(rows)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    run_script(main)
