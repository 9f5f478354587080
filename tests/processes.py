"""Trainings of two processes (torchrun, gloo, CPU) for the tests, and the comparison with those of one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools import ROOT, TINY

MORE = (
    "--monitor files --print_freq 1 --seed 3 --init_gain 0.3 --n_epochs 2 --n_epochs_decay 1 "
    "--lr 1e-5"  # Adam turns rounding into steps of this size; the gradients themselves are compared in exp_avg
).split()
DOUBLE = "tests/double.py"
PATIENCE = 900  # seconds: only a hang takes so long, also on a machine that is busy with other things
COOP = "--model coopcut --coop_iters 2 --langevin_steps 3 --langevin_noise 0.01 --coop_data_noise 0.01"


def flags(folder: Path, name: str, more: str) -> list[str]:
    place = ["--dataroot", str(folder / "data"), "--checkpoints_dir", str(folder / "checkpoints"), "--name", name]
    return [*place, *TINY, *MORE, *more.split()]


def torchrun(script: str, argv: list[str], launcher: str = "", **env: str) -> "subprocess.Popen[str]":
    """Start `script` on two processes; the `--` keeps torchrun from reading our flags."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += [f"--master_port={port}", *launcher.split(), "--", str(ROOT / script), *argv]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PEER_TIMEOUT": "600", "PYTHONPATH": str(ROOT)} | env
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def in_double(argv: list[str]) -> int:
    """Train in one process, in double precision; the exit code."""
    return subprocess.run([sys.executable, str(ROOT / DOUBLE), *argv], cwd=argv[1], check=False).returncode


def finish(process: "subprocess.Popen[str]", seconds: float = PATIENCE) -> tuple[int, str]:
    """Exit code and output; a hang fails the test and leaves nothing behind."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"no end: {process.communicate()[0]}") from None
    assert "SIGABRT" not in output, output
    return process.returncode, output


def state(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / name / "latest_state.pth", weights_only=True)


def losses(folder: Path, name: str) -> list[dict[str, float]]:
    text = (folder / "checkpoints" / name / "losses.jsonl").read_text()
    return [json.loads(line)["losses"] for line in text.splitlines()]


def check_close(ours: Any, theirs: Any, path: str = "", relative: float = 0.0) -> None:
    """Equal in nested states: weights of single precision within 1e-4, or with `relative` all within that share.

    Adam divides gradients by their own size: in single precision a weight whose gradient is rounding alone, as that of
    a bias before instance norm, moves at random by the learning rate in each step.
    """
    if isinstance(ours, torch.Tensor):
        assert ours.shape == theirs.shape, path
        largest = float(theirs.abs().max()) if theirs.numel() else 0.0
        tolerance = relative * largest + 1e-9 if relative else 1e-4 + (1e-3 if ours.ndim == 1 else 1e-6)
        difference = float((ours.double() - theirs.double()).abs().max()) if ours.numel() else 0.0
        assert difference <= tolerance, (path, difference, largest)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours:
            check_close(ours[key], theirs[key], f"{path}/{key}", relative)
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), path
        for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
            check_close(x, y, f"{path}/{i}", relative)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-5), path
    else:
        assert ours == theirs, path


def check_same_training(folder: Path, one: str, two: str) -> None:
    """Both in double precision. Logged figures are exchanged in single precision."""
    for record, other in zip(losses(folder, one), losses(folder, two), strict=True):
        assert record == pytest.approx(other, rel=1e-5, abs=1e-6)
    first, second = state(folder, one), state(folder, two)
    for part in ("position", "mean_loss"):
        check_close(first[part], second[part], part)
    model = [first["model"], second["model"]]
    assert {w.dtype for net in model[0]["networks"].values() for w in net.values()} == {torch.float64}
    for name in ("networks", "optimizers", "ema", "schedulers", "objectives"):
        check_close(model[0][name], model[1][name], name, relative=1e-6)
    assert all(torch.equal(model[0]["rng"][k], model[1]["rng"][k]) for k in ("cpu", "device"))


def errors_in(output: str) -> list[str]:
    return re.findall(r"^\w+\.py: error: (.*)$", output, re.M)


def refused(folder: Path, argv: list[str], says: str, **env: str) -> None:
    before = sorted(folder.rglob("*"))
    code, output = finish(torchrun("train.py", argv, **env))
    assert code != 0
    (error,) = errors_in(output)
    assert says in error
    assert sorted(folder.rglob("*")) == before


def wait_for_steps(folder: Path, name: str, steps: int) -> None:
    log, deadline = folder / f"checkpoints/{name}/losses.jsonl", time.time() + PATIENCE
    while time.time() < deadline and (not log.is_file() or log.read_text().count("\n") < steps):
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
