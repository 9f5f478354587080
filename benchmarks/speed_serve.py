"""What both sides of `benchmarks.speed` share: timing a case each time a line asks for it. Imports nothing of ours."""

import resource
import sys
import time
from collections.abc import Callable

import torch

WHO = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


def serve(run: Callable[[], object], repeats: int, cuda: bool) -> None:
    """Answer each line `run` with seconds and CPU seconds per repeat, and `memory` with the peak in bytes."""
    for line in sys.stdin:
        if line.strip() == "memory":
            most = max(resource.getrusage(who).ru_maxrss for who in WHO)
            print("answer", torch.cuda.max_memory_allocated() if cuda else most * 1024, flush=True)
        else:
            began, cpu = time.perf_counter(), _cpu_seconds()
            run()
            if cuda:
                torch.cuda.synchronize()
            seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
            print("answer", seconds / repeats, cpu / repeats, flush=True)


def _cpu_seconds() -> float:
    """Seconds of processor time so far, of this process and of those that it started and that ended."""
    used = [resource.getrusage(who) for who in WHO]  # os.times counts in hundredths of a second
    return sum(each.ru_utime + each.ru_stime for each in used)
