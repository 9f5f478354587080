"""Time and memory of training and translating, beside the public CUT or an earlier commit of ours.

    python -m benchmarks.speed --reference PATH  # of github.com/taesungp/contrastive-unpaired-translation
    python -m benchmarks.speed --earlier 69d3f98

Each case runs in a process of its own for each side (`speed_ours.py`, `speed_reference.py`). After the warm-up the
sides take turns, one repeat each, so that what else the machine does falls on both; the table has the medians.
Without either only ours is timed.
The ratio of CPU times suffers less than that of times when something else uses the processors; workers that load images
are not in it.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.arguments import add_machine, natural, parse, positive
from benchmarks.worktree import ROOT, worktree
from coopcut.engine.precision import DTYPES
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import OptionError, UserError
from coopcut.util.files import write_text
from coopcut.util.launch import refuse_several

CASES = {
    "cut": "training step, CUT",
    "fastcut": "training step, FastCUT",
    "coopcut": "training step, warm-up of CoopCUT",
    "generator": "generator, forward",
    "loading": "loading of an image pair",
    "test": "test.py, per image",
}
OURS_ALONE = ("coopcut",)


class Side:
    """A process that runs one case, ours or the reference, each time it is told to."""

    def __init__(
        self, case: str, options: argparse.Namespace, data: Path, reference: str | None = None, root: Path = ROOT
    ) -> None:
        """root: the checkout of ours."""
        script = ["-m", "benchmarks.speed_reference", reference] if reference else ["-m", "benchmarks.speed_ours"]
        told = {
            name: getattr(options, name) for name in ("size", "width", "batch", "device", "threads", "amp", "flags")
        }
        argv = [sys.executable, *script, json.dumps(told | {"case": case, "data": str(data)})]
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "PYTHONPATH": str(root)}
        self.process = subprocess.Popen(
            argv,
            cwd=data if reference else root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, what: str) -> list[float]:
        """`run`: seconds and CPU seconds of one repeat. `memory`: the most bytes that the case needed so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: said below
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return [float(number) for number in line.split()[1:]]
        code = self.process.wait()
        if code < 0:
            raise UserError(f"the process of the case was ended by signal {-code}: lower size or batch")
        sys.exit(code or 1)  # it has said why

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(case: str, options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Medians of seconds per repeat, all repeats, and peak bytes, for each side."""
    sides = {"ours": Side(case, options, data)}
    if options.earlier:
        sides["reference"] = Side(case, options, data, root=options.earlier)
    elif options.reference and case not in OURS_ALONE:
        sides["reference"] = Side(case, options, data, options.reference)
    names = list(sides)
    seconds: dict[str, list[list[float]]] = {name: [] for name in names}
    for repeat in range(options.warm_up + options.repeats):
        for name in names if repeat % 2 == 0 else names[::-1]:
            value = sides[name].ask("run")
            if repeat >= options.warm_up:
                seconds[name].append(value)
    result: dict[str, Any] = {}
    for name, side in sides.items():
        result[name] = {
            "median_s": statistics.median(wall for wall, _ in seconds[name]),
            "median_cpu_s": statistics.median(cpu for _, cpu in seconds[name]),
            "all_s": seconds[name],
            "peak_bytes": side.ask("memory")[0],
        }
        side.end()
    return result


def make_data(folder: Path, options: argparse.Namespace) -> None:
    """JPEG pictures of 4/3 of the size, smooth as photographs are, and the weights of an untrained generator."""
    rng = np.random.default_rng(0)
    for name, number in {
        "trainA": options.images,
        "trainB": options.images,
        "testA": options.images,
        "testB": 1,
    }.items():
        (folder / name).mkdir(parents=True)
        for i in range(number):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            coarse.resize((options.size * 4 // 3, options.size * 4 // 3), Image.Resampling.BICUBIC).save(
                folder / name / f"{i}.jpg", quality=90
            )


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    gpu = torch.cuda.get_device_name(0) if options.device == "cuda" else None
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "gpu": gpu,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "options": vars(options),
    }


def table(results: dict[str, dict[str, Any]], reference: str = "") -> str:
    """Milliseconds, ratio to the reference, and peak memory of each case."""
    named = reference or "CUT"
    lines = [
        f"| case | ours [ms] | {named} [ms] | {named} / ours | the same, CPU time | memory ours [MiB] | "
        f"memory {named} [MiB] |",
        "|---|" + "---:|" * 6,
    ]
    for case, sides in results.items():
        ours, other = sides["ours"], sides.get("reference")
        cells = [CASES[case], f"{1e3 * ours['median_s']:.1f}", *[""] * 3]
        if other:
            ratios = [other[name] / ours[name] for name in ("median_s", "median_cpu_s")]
            cells[2:] = [f"{1e3 * other['median_s']:.1f}", *(f"{ratio:.2f}" for ratio in ratios)]
        cells += [f"{side['peak_bytes'] / 2**20:.0f}" if side else "" for side in (ours, other)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Measure the chosen cases, print the table, write the JSON."""
    refuse_several()
    parser = Parser(__doc__, "benchmarks.speed")
    parser.add_argument("--reference", help="folder of a checkout of the public CUT")
    parser.add_argument("--earlier", metavar="COMMIT", help="an earlier commit of ours, in place of --reference")
    parser.add_argument("--cases", default=",".join(CASES), help="some of: " + ", ".join(CASES))
    parser.add_argument("--size", type=positive, default=256, help="side of the images [pixels]")
    parser.add_argument("--batch", type=positive, default=1, help="batch of the steps and of the generator")
    parser.add_argument("--repeats", type=positive, default=7)
    parser.add_argument("--warm_up", type=natural, default=2, help="repeats before those that count")
    parser.add_argument("--images", type=positive, default=16, help="images for loading and test.py")
    add_machine(parser)
    parser.add_argument(
        "--amp", choices=("none", *DTYPES), default="none", help="--amp of ours; the reference computes in float32"
    )
    parser.add_argument("--flags", default="", help="further options of train.py for ours, in quotes")
    parser.add_argument("--json", help="file to write the figures to")
    options = parse(parser, argv)
    options.reference = options.reference and str(Path(options.reference).resolve())
    unknown = set(options.cases.split(",")) - set(CASES)
    if unknown:
        raise OptionError(f"--cases: unknown '{', '.join(sorted(unknown))}'; known: {', '.join(CASES)}")
    if options.reference and not Path(options.reference, "models/cut_model.py").is_file():
        raise OptionError(f"--reference {options.reference}: no checkout of CUT, it lacks models/cut_model.py")
    results = {}
    named = options.earlier
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        data = Path(folder)
        options.earlier = stack.enter_context(worktree(named)) if named else None
        make_data(data, options)
        for case in options.cases.split(","):
            results[case] = measure(case, options, data)
            print(f"{CASES[case]}: {1e3 * results[case]['ours']['median_s']:.1f} ms", file=sys.stderr)
    options.earlier = named
    print(table(results, named))
    if options.json:
        found = {"machine": machine(options), "results": results}
        write_text(Path(options.json), json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    run_script(main)
