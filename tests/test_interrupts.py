"""Ctrl-C while torch is still loading, and SIGTERM where nothing else answers it: one line and an exit code."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT

RAISES_ITSELF = "import os, signal, time\nos.kill(os.getpid(), signal.{})\ntime.sleep(60)\n"
TERMINATED = f"""
from coopcut.util.cli import run_script
def main(argv):
    try:
        exec({RAISES_ITSELF.format("SIGTERM")!r})
    finally:
        print("cleaned up", flush=True)
run_script(main)
"""


def ended(command: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | environment
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("script", ["train.py", "test.py", "evaluate.py"])
def test_ctrl_c_while_torch_is_loading(script: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(RAISES_ITSELF.format("SIGINT"))
    (tmp_path / "numpy.py").write_text("import torch")  # what evaluate.py begins with
    done = ended([sys.executable, script, "--name", "r"], PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"{script}: error: interrupted before anything started\n"


def test_other_errors_keep_their_traceback() -> None:
    done = ended([sys.executable, "-c", "import coopcut.util.interrupts\n1 / 0"])
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_sigterm_cleans_up_and_is_told_of() -> None:
    done = ended([sys.executable, "-c", TERMINATED])
    assert (done.returncode, done.stdout) == (143, "cleaned up\n")
    assert done.stderr == "-c: error: terminated; saved files are unchanged\n"


def test_sigterm_ends_one_of_several_processes_at_once() -> None:
    """The others got it too and would not answer, were they asked whether all agree."""
    several = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    done = ended([sys.executable, "-c", TERMINATED], **several)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")


UNKILLABLE = """
import multiprocessing, os, sys, time
from coopcut.util.cli import run_script
def wait(parent):
    for _ in range(400):
        if os.getppid() != parent:
            return
        time.sleep(0.05)
    print("it was waited for", flush=True)
def main(argv):
    child = multiprocessing.get_context("fork").Process(target=wait, args=(os.getpid(),), daemon=True)
    child.start()
    child._popen.terminate = lambda: None
    print("begun")
    {}
run_script(main)
"""


@pytest.mark.parametrize(
    ("ending", "code", "says"),
    [
        ("return 3", 3, ""),
        ("raise OSError(5, 'Input/output error', 'a.png')", 2, "-c: error: a.png: Input/output error\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_a_process_that_cannot_be_killed_is_not_waited_for(ending: str, code: int, says: str) -> None:
    """As one that reads from a dead disk; Python joins its children before it ends."""
    done = ended([sys.executable, "-c", UNKILLABLE.format(ending)])
    assert (done.returncode, done.stdout) == (code, "begun\n")
    assert done.stderr.endswith(says)
    assert done.stderr.startswith("Traceback" if code == 1 else says)
