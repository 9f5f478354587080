"""The switches of the process that a run sets."""

import subprocess
import sys

import pytest

from tests.project import ROOT

FAULTS = """
import ctypes, resource, sys, torch
from coopcut.engine.device import set_up
if sys.argv[1] == "keep":
    set_up(0, False, torch.device("cpu"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(2**24).fill_(1)  # 64 MiB
print(int(hasattr(ctypes.CDLL(None), "mallopt")), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc is what is told")
def test_memory_that_is_kept_is_not_cleared_again_by_the_kernel() -> None:
    """Pages that are met for the first time: those of a few tensors instead of those of twenty."""
    told = {}
    for what in ("plain", "keep"):
        command = [sys.executable, "-c", FAULTS, what]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
        told[what] = [int(word) for word in said.stdout.split()]
    if not told["keep"][0]:
        pytest.skip("this C library has no mallopt")
    assert told["keep"][1] < 0.6 * told["plain"][1]
