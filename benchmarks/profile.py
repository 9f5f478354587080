"""Where the time of a training step goes, and how far it is from what the machine can do: python -m benchmarks.profile

The peak is that of one large product of matrices, measured here in the same precision. Operations of a step are those
of its convolutions and products of matrices, a multiplication and its addition counted as two.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.arguments import add_machine, parse, positive
from benchmarks.speed_ours import FLAGS, step
from coopcut.engine.precision import DTYPES
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.launch import refuse_several

# A group takes the operators whose name holds one of its words, unless an earlier group has them.
GROUPS = {
    "convolutions, gradients": ("convolution_backward",),
    "convolutions, forward": ("conv",),
    "normalization": ("norm",),
    "padding and resampling": ("pad", "upsample"),
    "products of matrices": ("mm", "linear", "matmul"),
    "optimizer": ("adam", "foreach"),
    "copies and conversions": ("copy", "contiguous", "cat", "_to", "clone", "fill", "zero"),
}
REST = "rest (activations, sums, losses)"


def main(argv: Sequence[str]) -> int:
    """Profile one step, time several, and print both tables."""
    refuse_several()
    parser = Parser(__doc__, "benchmarks.profile")
    parser.add_argument("--case", choices=sorted(FLAGS), default="cut")
    parser.add_argument("--size", type=positive, default=256, help="side of the images [pixels]")
    parser.add_argument("--batch", type=positive, default=1)
    parser.add_argument("--repeats", type=positive, default=3, help="steps that are timed")
    add_machine(parser)
    parser.add_argument("--amp", choices=("none", *DTYPES), default="none")
    parser.add_argument("--flags", default="", help="further options of train.py, in quotes")
    options = parse(parser, argv)
    torch.set_num_threads(options.threads)
    run = step(vars(options) | {"data": "."})
    run()
    with FlopCounterMode(display=False) as counted:
        run()
    operations = counted.get_total_flops()
    seconds = _seconds(run, options.repeats, options.device)
    peak = _peak(options)
    print(f"{options.case}, {options.size} pixels, batch {options.batch}, --amp {options.amp}, {options.device}")
    rate = operations / seconds
    print(f"operations: {operations / 1e9:.0f} GFLOP; a step: {seconds:.3f} s, {rate / 1e9:.0f} GFLOP/s")
    print(f"peak (product of matrices): {peak / 1e9:.0f} GFLOP/s; share of it: {100 * rate / peak:.0f} %")
    print("\n".join(table(_shares(run, options.device))))
    return 0


def _seconds(run: Callable[[], object], repeats: int, device: str) -> float:
    """The median time of `run`."""
    times = []
    for _ in range(repeats):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _peak(options: argparse.Namespace) -> float:
    """Operations per second of a product of matrices."""
    side = 8192 if options.device == "cuda" else 2048
    x = torch.randn(side, side, device=options.device, dtype=DTYPES.get(options.amp, torch.float32))
    _seconds(lambda: x @ x, 2, options.device)
    return 2 * side**3 / _seconds(lambda: x @ x, 7, options.device)


def _shares(run: Callable[[], object], device: str) -> dict[str, float]:
    """Seconds of the groups of operators in one run."""
    cuda = device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        run()
    return grouped(
        {
            event.key: (event.self_device_time_total if cuda else event.self_cpu_time_total) / 1e6
            for event in profiler.key_averages()
            if event.device_type == DeviceType.CPU  # operators; kernels would count their time a second time
        }
    )


def grouped(seconds: dict[str, float]) -> dict[str, float]:
    """Seconds by operator -> by group."""
    found = dict.fromkeys([*GROUPS, REST], 0.0)
    for name, value in seconds.items():
        group = next((g for g, words in GROUPS.items() if any(word in name.lower() for word in words)), REST)
        found[group] += value
    return found


def table(found: dict[str, float]) -> list[str]:
    """Markdown, the largest group first."""
    total = sum(found.values())
    rows = sorted(found.items(), key=lambda item: -item[1])
    lines = [f"| {group} | {seconds:.2f} | {100 * seconds / total:.0f} % |" for group, seconds in rows]
    return ["| part | s | share |", "|---|---:|---:|", *lines]


if __name__ == "__main__":
    run_script(main)
