"""The lock of a run's folder: one live training at a time, and nothing that a killed one leaves behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train
from benchmarks import kill
from coopcut.engine.checkpoint.lock import lock_folder
from coopcut.util.errors import CheckpointError, OptionError
from tests.project import ROOT

HOLDS = """
import os, pathlib, subprocess, sys, time
from coopcut.engine.checkpoint.lock import lock_folder
lock_folder(pathlib.Path(sys.argv[1]))
if not os.fork():
    print(os.getpid(), flush=True)  # it runs: what is done after a fork is done
time.sleep(1000)
"""


def test_a_forked_process_does_not_keep_it(tmp_path: Path) -> None:
    """Also one that is stopped, and while the training lives it is refused to others."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            os.kill(child, signal.SIGSTOP)
            with pytest.raises(CheckpointError, match="in use by another training"):
                lock_folder(tmp_path)
            process.kill()
            process.wait()
            held = lock_folder(tmp_path)
            assert held is not None
            os.kill(child, 0)  # it is there
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    os.close(held)


def test_it_is_kept_while_children_come_and_go(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    for _ in range(2):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(CheckpointError):
            lock_folder(tmp_path)
    assert held is not None
    os.close(held)


def test_a_closed_lock_leaves_the_descriptors_of_others_alone(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    assert held is not None
    os.close(held)
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    assert file == held  # the system gives the same number again
    child = os.fork()
    if not child:
        os._exit(os.write(file, b"x") - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(file)


@pytest.mark.parametrize("error", [OSError(95, "Operation not supported"), PermissionError(13, "no locks")])
def test_a_file_system_without_locks_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise error

    monkeypatch.setattr("fcntl.flock", refuse)
    assert lock_folder(tmp_path) is None


def test_killed_and_started_again_at_once_it_trains_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last start after a kill, and the undisturbed training, are in this process: that is even sooner.

    The loading processes of the first kill are still there, stopped, when the second process starts.
    """
    for package in ("torchmetrics", "prdc"):  # for the evaluation
        pytest.importorskip(package, reason=f"the package {package} is not installed")

    def finish(training: kill.Training, steps: int) -> None:
        assert train.main([*training.flags, "--max_iters", str(steps)]) == 0

    monkeypatch.setattr(kill.Training, "finish", finish)
    assert kill.main(["--kills", "2", "--seed", "0"]) == 0  # kills after the first saving
    kills, starts, result, verdict = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"2 kills: \d saving, \d training, 0 before the first step", kills)  # a step came before each
    assert starts == "0 starts refused or failed"
    assert result.endswith(" steps; the same state, bit for bit")
    assert verdict == "good"


def test_what_a_killed_save_leaves_is_not_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill, "TRAIN", [sys.executable, "-c", "import time; time.sleep(1000)"])
    training = kill.Training(tmp_path, tmp_path, 3)
    training.run.mkdir()
    (training.run / ".latest_state.pth.1.tmp").touch()
    with training.started() as process:
        assert not training.saves()
        (training.run / f".latest_state.pth.{process.pid}.tmp").touch()
        assert training.saves()


def test_all_weights_and_figures_are_compared(tmp_path: Path) -> None:
    training = kill.Training(tmp_path, tmp_path, 3)
    training.run.mkdir()
    for name in ("latest_state", "best_net_G", "20_net_F"):
        torch.save({"w": torch.ones(1)}, training.run / f"{name}.pth")
    (training.run / "metrics.jsonl").write_text('{"KID": 1.0}\n{"KID": 2.0}\n')
    files = training.files()
    assert files.keys() == {"latest_state.pth", "best_net_G.pth", "20_net_F.pth", "metrics.jsonl"}
    assert files["metrics.jsonl"] == [{"KID": 1.0}, {"KID": 2.0}]
    assert {"--eval_freq", "--save_epoch_freq"} < set(training.flags)


def test_a_training_that_hangs_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill, "TRAIN", [sys.executable, "-c", "import time; time.sleep(1000)"])
    monkeypatch.setattr(kill, "PATIENCE", 0.1)
    training = kill.Training(tmp_path, tmp_path, 3)
    training.finish(7)
    assert training.refused == ["--max_iters 7 did not end within 0.1 s"]


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=r"^this is process 1 of 2 "):
        kill.main([])


def test_what_differs_or_fails_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"latest": {"checkpoints_dir": "a", "w": torch.tensor([0.0, 1.0]), "l": [1, 2.0]}}
    other = {"latest": {"checkpoints_dir": "b", "w": torch.tensor([-0.0, 1.0]), "l": [1, 2]}}
    assert kill.differences(one, one) == []
    assert kill.differences(one, other) == ["/latest/w", "/latest/l/1"]
    assert kill.differences(one, {}) == ["files"]
    assert kill.tell(kill.Counter(saving=3), 7, ["/latest/w"], []) == 1
    assert kill.tell(kill.Counter(saving=3), 7, [], ["in use"]) == 1
    out = capsys.readouterr().out
    assert out.count("3 kills: 3 saving, 0 training, 0 before the first step\n") == 2
    assert out.count("FAULT\n") == 2
