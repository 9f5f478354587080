"""Peak memory of a training step by size, batch, model and precision: python -m benchmarks.memory

On the CPU it is the peak of resident memory of a process that makes two steps, less the peak before them, with the
networks made; on a GPU what PyTorch allocated. Each figure takes two steps, at 512 pixels some minutes on a CPU.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import add_machine, parse, positive
from benchmarks.speed import Side
from coopcut.engine.precision import DTYPES
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.launch import refuse_several

ROWS = {
    "CUT": ("cut", ""),
    "CUT, `--selective_checkpointing`": ("cut", "--selective_checkpointing"),
    "CUT, `--activation_checkpointing`": ("cut", "--activation_checkpointing"),
    "FastCUT": ("fastcut", ""),
    "CoopCUT, warm-up": ("coopcut", ""),
}


def main(argv: Sequence[str]) -> int:
    """Measure and print a table, a row at a time."""
    refuse_several()
    parser = Parser(__doc__, "benchmarks.memory")
    parser.add_argument(
        "--sizes", type=positive, nargs="+", default=[128, 256, 512], help="sides of the images [pixels]"
    )
    parser.add_argument("--batches", type=positive, nargs="+", default=[1, 4], help="images [default: 1 4]")
    parser.add_argument("--precisions", nargs="+", choices=("none", *DTYPES), default=["none", "bf16"])
    parser.add_argument("--passes", action="store_true", help="batches above 1 with --accumulation_steps too")
    add_machine(parser)
    options = parse(parser, argv)
    columns = [(size, batch) for size in options.sizes for batch in options.batches]
    print(f"| MiB | --amp | {' | '.join(f'{size} px, batch {batch}' for size, batch in columns)} |")
    print("|---|---|" + "---:|" * len(columns))
    for name, (case, flags) in rows(options).items():
        for amp in options.precisions:
            cells = []
            for size, batch in columns:
                more = flags.replace("BATCH", str(batch))
                cells.append(f"{peak(options, case, more, amp, size, batch) / 2**20:.0f}")
            print(f"| {name} | {amp} | {' | '.join(cells)} |", flush=True)
    return 0


def rows(options: argparse.Namespace) -> dict[str, tuple[str, str]]:
    """Names of the rows, with case and flags."""
    passes = {"CUT, `--accumulation_steps` the batch": ("cut", "--accumulation_steps BATCH")}
    return ROWS | (passes if options.passes else {})


def peak(options: argparse.Namespace, case: str, flags: str, amp: str, size: int, batch: int) -> float:
    """Bytes."""
    told = argparse.Namespace(**vars(options) | {"size": size, "batch": batch, "amp": amp, "flags": flags})
    with tempfile.TemporaryDirectory() as folder:
        for name in ("trainA", "trainB"):
            Path(folder, name).mkdir()
        side = Side(case, told, Path(folder), None)
        before = side.ask("memory")[0]
        for _ in range(2):
            side.ask("run")
        after = side.ask("memory")[0]
        side.end()
    return after if options.device == "cuda" else after - before


if __name__ == "__main__":
    run_script(main)
