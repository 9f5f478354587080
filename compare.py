"""Compare methods over data sets and seeds at equal cost.

    python compare.py --runs cut coopcut "coopcut --coop_negatives 0.67" --dataroot ./datasets/digits \
        --seeds 1-8 --equal time --budget 1000 --out results/digits

Each of --runs is a method with any flags of train.py; "supervised" is cut's generator on the true counterparts, which
a test bed has (python -m coopcut.datasets.make_bed). A finished run is not done again: stop and start as you like.
"""

import coopcut.util.interrupts  # noqa: F401 (before torch)

# isort: split
import json
import logging
import multiprocessing
import os
import shlex
import signal
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from coopcut.comparison import cost, pictures, references, tables
from coopcut.comparison.judge import FIGURES, Judge
from coopcut.comparison.one_run import judge_of, quiet, run
from coopcut.comparison.plan import Candidate, Job, data_name, parse_seeds
from coopcut.models import MODELS
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import DataError, NoMemoryError, OptionError
from coopcut.util.files import write_text
from coopcut.util.launch import refuse_several

log = logging.getLogger("compare")


def main(argv: Sequence[str]) -> int:
    """Run what is missing and write the tables. Returns the exit code."""
    refuse_several()
    told = parse(argv)
    candidates = [Candidate(text, tuple(shlex.split(told.flags))) for text in told.runs]
    purposes = {MODELS[each.options(told.dataroot[0]).model].purpose for each in candidates}
    if len(purposes) > 1:
        raise OptionError("--runs: methods that translate and methods that generate have no figures in common")
    for root in told.dataroot:
        if purposes == {"translation"} and not root.is_dir():
            raise DataError(f"--dataroot {root}: no such folder")
    if purposes == {"generation"} and told.equal == "operations":
        raise OptionError("--equal operations counts those of CUT's networks: use time or steps")
    todo = planned(told, candidates)
    if not told.report:
        train([job for job in todo if not job.path.is_file()], told.jobs)
    for root in told.dataroot:
        report(told, root, [job for job in todo if job.dataroot == root])
    return 0


def parse(argv: Sequence[str]) -> Namespace:
    """The arguments. Raises `OptionError`."""
    parser = Parser(__doc__, "compare.py")
    parser.add_argument("--runs", nargs="+", required=True, metavar="METHOD", help="methods with their flags, quoted")
    parser.add_argument("--dataroot", nargs="+", type=Path, required=True, help="one or more data sets")
    parser.add_argument("--seeds", default="1-8", help="1-8, or 1,3,5 [default: 1-8]")
    parser.add_argument("--flags", default="", help="flags of train.py for all runs, quoted")
    parser.add_argument(
        "--equal",
        choices=("steps", "time", "operations"),
        default="time",
        help="what all get alike: steps, processor time as measured, or operations at CUT's defaults [default: time]",
    )
    parser.add_argument("--budget", type=int, default=1000, help="steps of the first of --runs [default: 1000]")
    parser.add_argument(
        "--primary", choices=list(FIGURES), default="KID", help="the figure that decides [default: KID]"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, a core each")
    parser.add_argument("--out", type=Path, required=True, help="folder of figures, tables and pictures")
    parser.add_argument("--report", action="store_true", help="write the tables of what is finished; no runs")
    told = parser.parse_args(list(argv))
    told.seeds = parse_seeds(told.seeds)
    for name in ("budget", "jobs"):
        if getattr(told, name) < 1:
            raise OptionError(f"--{name} {getattr(told, name)}: it must be 1 or more")
    if len(set(told.runs)) < len(told.runs):
        raise OptionError("--runs: name each method once")
    return told


def planned(told: Namespace, candidates: Sequence[Candidate]) -> list[Job]:
    """All jobs, with the steps that each candidate can afford on each data set; seed by seed, so pairs come early."""
    steps: dict[tuple[Path, str], int] = {}
    for root in told.dataroot:
        costs = None if told.equal == "steps" else costs_of(told, candidates, root)
        for each in candidates:
            steps[root, each.text] = (
                told.budget if costs is None else cost.steps_for(each.options(root), costs[each.text], told.budget)
            )
    return [
        Job(each, root, seed, steps[root, each.text], told.out)
        for seed in told.seeds
        for root in told.dataroot
        for each in candidates
    ]


def costs_of(told: Namespace, candidates: Sequence[Candidate], root: Path) -> dict[str, list[float]]:
    """The costs of the candidates, measured once and kept in --out, so that a comparison goes on as it began."""
    path = told.out / data_name(root) / f"costs_{told.equal}.json"
    kept: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    first = candidates[0]
    keys = {each.text: shlex.join([first.text, "|", *each.flags]) for each in candidates}
    missing = [each for each in candidates if keys[each.text] not in kept]
    if missing:
        chosen = [first, *(each for each in missing if each is not first)]
        found = measured(told.equal, chosen, root)
        kept |= {keys[each.text]: found[each.text] for each in missing}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(kept, indent=1) + "\n")
    costs = {each.text: kept[keys[each.text]] for each in candidates}
    for name, values in costs.items():
        log.info("%s: a step costs %s times that of %s", name, " then ".join(f"{v:.2f}" for v in values), first.text)
    return costs


def measured(equal: str, candidates: Sequence[Candidate], root: Path) -> dict[str, list[float]]:
    """What a step of each candidate costs, by stage, in time or operations."""
    if equal == "operations":
        return cost.operation_costs(candidates, root)
    torch.set_num_threads(1)
    with quiet():
        trainers = {each.text: cost.trainer_of(each.options(root)) for each in candidates}
        batches = {name: cost.first_batch(trainer.opt) for name, trainer in trainers.items()}
    return cost.time_costs(trainers, batches)


def train(todo: Sequence[Job], at_once: int) -> None:
    """Do the jobs, each in a process of its own. What ends one ends all; finished ones stay."""
    began, context = time.perf_counter(), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, context, _ignore_interrupts, max_tasks_per_child=1) as pool:
        futures = {pool.submit(one, job): job for job in todo}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                job, figures = futures[future], future.result()
                left = (time.perf_counter() - began) / done * (len(todo) - done) / 60
                shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
                log.info("%d of %d, %.0f min left: %s on %s, seed %d: %s", done, len(todo), left, job.candidate.text,
                         data_name(job.dataroot), job.seed, shown)  # fmt: skip
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise NoMemoryError("a run was killed, usually because memory ran out: lower --jobs") from None
            raise


def _ignore_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal: the first one alone answers it, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def one(job: Job) -> Mapping[str, float]:
    """A job in its process, on one core; returns its last figures."""
    torch.set_num_threads(1)
    figures: Mapping[str, float] = run(job)["figures"]
    return figures


def report(told: Namespace, root: Path, todo: Sequence[Job]) -> None:
    """Tables, plot, contact sheet and commands of a data set."""
    folder, found = told.out / data_name(root), tables.read(todo)
    if not found:
        log.info("%s: no run is finished", root)
        return
    methods = list(dict.fromkeys(job.candidate.text for job in todo))
    judge = judge_of(todo[0].candidate.options(root))
    stand_ins = references.references(judge, root) if isinstance(judge, Judge) else judge.references()
    measured = {name: judge.figures(images) for name, images in stand_ins.items()}
    table = tables.rows(found, measured, methods, told.primary)
    write_text(folder / "table.md", tables.markdown(table))
    write_text(folder / "table.tex", tables.latex(table))
    write_text(folder / "figures.csv", tables.comma_separated(found))
    write_text(folder / "table.json", json.dumps(table, indent=1) + "\n")
    commands = [f"python train.py {shlex.join(job.flags())} --name {job.path.parent.name}_{job.seed}" for job in todo]
    write_text(folder / "commands.txt", "\n".join(commands) + "\n")
    pictures.plot(found, methods, folder / "plot.png")
    strips = {name: judge.strip(images) for name, images in stand_ins.items()}
    pictures.contact_sheet(strips, todo, folder / "contact_sheet.png")
    log.info(
        "\n%s, primary figure %s\n\n%s\nin %s",
        data_name(root),
        FIGURES[told.primary][0],
        tables.markdown(table),
        folder,
    )


def command() -> None:
    """What `coopcut-compare` runs."""
    run_script(main)


if __name__ == "__main__":
    command()
