"""Several processes: what fails in one of them ends all, in one line and without a hang, or starts them again."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import HashStore, Store

from coopcut.engine.evaluation import read_metrics
from coopcut.engine.processes.rendezvous import name_of_start
from tests.processes import (
    PATIENCE,
    check_close,
    children,
    errors_in,
    finish,
    flags,
    losses,
    refused,
    state,
    torchrun,
    wait_for_steps,
)
from tests.tools import ROOT, make_images, run, write_image


def test_bad_input_is_one_line_and_no_hang(folder: Path) -> None:
    refused(folder, flags(folder, "r", "--batch_size 3"), "--batch_size 3 does not divide evenly among 2 processes")
    refused(folder, flags(folder, "r", "--batch_size 2 --lambda_NCE x"), "--lambda_NCE")
    (folder / "data/trainA/0.png").write_bytes(b"no image")
    refused(folder, flags(folder, "r", "--batch_size 2"), "0.png")


SCRIPT = """
import os, sys
sys.path.insert(0, {root!r})
import train
from coopcut.data import HeldOut
from coopcut.util.cli import run_script
from coopcut.util.errors import DataError
if os.environ["RANK"] == "1":
    {change}
run_script(train.main)
"""


def with_change(folder: Path, change: str) -> str:
    """A script that is train.py, but in the second process begins with the statements `change`."""
    path = folder / "changed.py"
    path.write_text(SCRIPT.format(root=str(ROOT), change=change.replace("\n", "\n    ")))
    return str(path)


DIFFERENCES = {
    "options": ('sys.argv[sys.argv.index("0.25")] = "0.5"', "different options: lr;"),
    "images": ('os.chdir("images")', "different images: domain A;"),
    "held-out": ('os.chdir("held-out")', "different images: held-out domain B;"),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_processes_that_differ_stop(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    change, says = DIFFERENCES[what]
    monkeypatch.chdir(folder)
    shutil.copytree("data", f"{what}/data")
    make_images(folder / what / {"images": "data/trainA", "held-out": "data/testB"}.get(what, "more"), 6, 40)
    argv = flags(folder, "r", "--dataroot ./data --batch_size 2 --lr 0.25 --max_iters 1 --eval_freq 1")
    code, output = finish(torchrun(with_change(folder, change), argv))
    assert code != 0
    (error,) = errors_in(output)
    assert says in error
    assert not (folder / "checkpoints").exists()


FORGETS = """
read, calls = HeldOut.read, []
def fails(self, domain, index):
    calls.append(domain)
    if domain == "A" and calls.count("A") == 3:
        raise DataError("it is gone")
    return read(self, domain, index)
HeldOut.read = fails
"""


def test_an_evaluation_that_fails_in_one_process_is_left_out_by_all(folder: Path) -> None:
    """The second process reads 2 of the 5 images at the start; the third time is in the first evaluation."""
    argv = flags(folder, "r", "--batch_size 4 --eval_freq 1 --n_epochs 1 --n_epochs_decay 1")
    code, output = finish(torchrun(with_change(folder, FORGETS), argv))
    assert code == 0, output
    assert "epoch 1 is not evaluated: process 1 of 2: it is gone" in output
    assert [line["epoch"] for line in read_metrics(folder / "checkpoints/r/metrics.jsonl")] == [2]
    assert state(folder, "r")["best"]["A2B"]["epoch"] == 2


def test_a_damaged_image_at_one_process_ends_all(folder: Path) -> None:
    for image in (folder / "data/trainB").iterdir():
        image.write_bytes(image.read_bytes()[:600])  # the header is sound
        break
    code, output = finish(torchrun("train.py", flags(folder, "r", "--batch_size 2")))
    assert code != 0
    (error,) = errors_in(output)
    assert "trainB" in error


def test_sizes_that_differ_between_processes(folder: Path) -> None:
    for i in range(0, 5, 2):
        write_image(folder / f"data/trainA/{i}.png", 48, 40)
    more = "--batch_size 2 --preprocess none --serial_batches"
    code, output = finish(torchrun("train.py", flags(folder, "r", more)))
    assert code != 0
    (error,) = errors_in(output)
    assert "different sizes" in error
    assert "48x40" in error


LONG = "--model cut --batch_size 2 --n_epochs 100000 --save_latest_freq 7"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_signal_stops_all_at_the_same_step_and_saves(folder: Path) -> None:
    process = torchrun("train.py", flags(folder, "r", LONG))
    wait_for_steps(folder, "r", 2)
    os.kill(children(process.pid)[1], signal.SIGTERM)  # the second process alone
    code, output = finish(process)
    assert code != 0
    assert "stopped by SIGTERM after step" in output
    assert errors_in(output) == []
    step = state(folder, "r")["position"]["step"]
    assert len(losses(folder, "r")) == step
    assert run("train", *flags(folder, "one", f"{LONG} --max_iters {step}")).code == 0
    check_close(state(folder, "r")["model"]["networks"], state(folder, "one")["model"]["networks"])


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_killed_process_ends_or_restarts_the_run(folder: Path, restarts: int) -> None:
    launcher = f"--max-restarts={restarts} --monitor-interval=0.1"
    process = torchrun("train.py", flags(folder, "r", LONG), launcher=launcher)
    wait_for_steps(folder, "r", 6)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    if not restarts:
        code, output = finish(process)
        assert code != 0
        assert len(errors_in(output)) <= 1
        assert state(folder, "r")["position"]["step"] >= 4
        return
    reached = len(losses(folder, "r"))
    deadline = time.time() + PATIENCE
    while time.time() < deadline and state(folder, "r")["position"]["step"] <= reached + 4:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    code, output = finish(process)
    assert "continuing" in output, output
    assert state(folder, "r")["position"]["step"] > reached + 4


def names_of_start(store: Store, size: int) -> list[str]:
    """What `size` threads, as processes of one start, agree on; the first of them comes last."""

    def name(rank: int) -> str:
        time.sleep(0.2 * (rank == 0))
        return name_of_start(store, rank, size, timedelta(seconds=20))

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(name, range(size)))


def test_a_start_is_not_mixed_up_with_an_earlier_one() -> None:
    """torchrun keeps its store when it restarts: who is early finds there what the processes before it have left."""
    store = HashStore()
    found = [names_of_start(store, size) for size in (3, 3, 2)]
    assert [len(set(names)) for names in found] == [1, 1, 1]
    assert len({names[0] for names in found}) == 3
    with pytest.raises(RuntimeError, match="2 of 3 processes are missing"):
        name_of_start(store, 0, 3, timedelta(seconds=0.05))


def test_auto_resume_starts_and_continues(folder: Path) -> None:
    for steps in (2, 4):
        assert run("train", *flags(folder, "r", f"--auto_resume --max_iters {steps}")).code == 0
        assert state(folder, "r")["position"]["step"] == steps
    assert run("train", *flags(folder, "r", "--max_iters 5")).code == 2
