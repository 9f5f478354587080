"""Several processes (torchrun, gloo, CPU) train and translate as one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import HashStore, Store

from tests.tools import ROOT, make_images, names_in, pixels, run, write_image
from util.rendezvous import name_of_start
from util.share import Share

_TINY = (
    "--ngf 4 --ndf 4 --netF_nc 8 --num_patches 16 --netG resnet_4blocks --load_size 36 --crop_size 32 --gpu_ids -1 "
    "--monitor files --print_freq 1 --seed 3 --num_threads 0 --init_gain 0.3 --n_epochs 2 --n_epochs_decay 1 "
    "--lr 1e-5"  # Adam turns rounding into steps of this size; the gradients themselves are compared in exp_avg
)
TINY = _TINY.split()
COOP = "--model coopcut --coop_iters 2 --langevin_steps 3 --langevin_noise 0.01 --coop_data_noise 0.01"
CASES = {
    "cut": "--model cut --ema 0.9 --lr_policy plateau",
    "fastcut": "--model cut --CUT_mode FastCUT --n_epochs 2 --n_epochs_decay 1",
    "coop": COOP,
    "pool": "--model cut --pool_size 3",
    "negatives": "--model cut --nce_includes_all_negatives_from_minibatch --gan_mode wgangp",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_images(tmp_path / "data/trainA", 5, 40)
    make_images(tmp_path / "data/trainB", 7, 40)
    make_images(tmp_path / "data/testA", 5, 40)
    return tmp_path


def flags(folder: Path, name: str, more: str) -> list[str]:
    place = ["--dataroot", str(folder / "data"), "--checkpoints_dir", str(folder / "checkpoints"), "--name", name]
    return [*place, *TINY, *more.split()]


def torchrun(script: str, argv: list[str], launcher: str = "", **env: str) -> "subprocess.Popen[str]":
    """Start `script` on two processes; the `--` keeps torchrun from reading our flags."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += [f"--master_port={port}", *launcher.split(), "--", str(ROOT / script), *argv]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PEER_TIMEOUT": "60", "PYTHONPATH": str(ROOT)} | env
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def finish(process: "subprocess.Popen[str]", seconds: float = 120) -> tuple[int, str]:
    """Exit code and output; a hang fails the test and leaves nothing behind."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"no end: {process.communicate()[0]}") from None
    return process.returncode, output


def state(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / name / "latest_state.pth", weights_only=True)


def losses(folder: Path, name: str) -> list[dict[str, float]]:
    text = (folder / "checkpoints" / name / "losses.jsonl").read_text()
    return [json.loads(line)["losses"] for line in text.splitlines()]


def check_close(ours: Any, theirs: Any, path: str = "") -> None:
    """Equal to float rounding in nested states.

    Adam divides gradients by their own size: a weight whose gradient is rounding alone, as that of a bias before
    instance norm, moves at random by the learning rate in each step.
    """
    if isinstance(ours, torch.Tensor):
        assert ours.shape == theirs.shape, path
        noise = 1e-3 if ours.ndim == 1 else 1e-6
        tolerance = 1e-2 * float(theirs.abs().max()) + noise if "optimizers" in path else 1e-4 + noise
        difference = float((ours.double() - theirs.double()).abs().max()) if ours.numel() else 0.0
        assert difference <= tolerance, (path, difference)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours:
            check_close(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), path
        for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
            check_close(x, y, f"{path}/{i}")
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-3), path
    else:
        assert ours == theirs, path


def check_same_training(folder: Path, one: str, two: str) -> None:
    for record, other in zip(losses(folder, one), losses(folder, two), strict=True):
        assert record == pytest.approx(other, rel=1e-3, abs=1e-4)
    first, second = state(folder, one), state(folder, two)
    for part in ("position", "mean_loss"):
        check_close(first[part], second[part], part)
    model = [first["model"], second["model"]]
    for name in ("networks", "optimizers", "ema", "schedulers", "pool"):
        check_close(model[0][name], model[1][name], name)
    assert all(torch.equal(model[0]["rng"][k], model[1]["rng"][k]) for k in ("cpu", "device"))


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one(folder: Path, case: str) -> None:
    """7 samples in batches of 4: the last one of an epoch has 3, which two processes share as 2 and 1."""
    more = f"{CASES[case]} --batch_size 4 --max_iters 4"
    assert run("train", *flags(folder, "one", more)).code == 0
    code, output = finish(torchrun("train.py", flags(folder, "two", more)))
    assert code == 0, output
    assert output.count("run ") == 1, output
    check_same_training(folder, "one", "two")


def test_a_checkpoint_moves_between_numbers_of_processes(folder: Path) -> None:
    """Batches of 2 end with one of a single sample, which the second process only accompanies."""
    more = f"{COOP} --batch_size 2 --lr_policy plateau"
    assert run("train", *flags(folder, "one", f"{more} --max_iters 6")).code == 0
    code, output = finish(torchrun("train.py", flags(folder, "moved", f"{more} --max_iters 3")))
    assert code == 0, output
    assert run("train", *flags(folder, "moved", f"{more} --max_iters 5 --continue_train")).code == 0
    code, output = finish(torchrun("train.py", flags(folder, "moved", f"{more} --max_iters 6 --continue_train")))
    assert code == 0, output
    check_same_training(folder, "one", "moved")
    assert not [key for key in state(folder, "moved")["options"] if "world" in key or "rank" in key]


@pytest.mark.parametrize("total", [1, 2, 5, 8])
@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_shares_cover_each_sample_once(total: int, parts: int) -> None:
    shares = [Share.of(total, part, parts) for part in range(parts)]
    counted = [i for share in shares for i in range(share.start, share.start + share.counted)]
    assert counted == list(range(total))
    assert all(share.stop > share.start for share in shares)
    assert sum(share.weight for share in shares) == pytest.approx(1)
    whole = Share.whole(total).randn((total, 2), torch.Generator().manual_seed(0), torch.device("cpu"))
    for share in shares:
        part = share.randn((1, 2), torch.Generator().manual_seed(0), torch.device("cpu"))
        assert torch.equal(part, whole[share.start : share.stop])


def errors_in(output: str) -> list[str]:
    return re.findall(r"^\w+\.py: error: (.*)$", output, re.M)


def refused(folder: Path, argv: list[str], says: str, **env: str) -> None:
    before = sorted(folder.rglob("*"))
    code, output = finish(torchrun("train.py", argv, **env))
    assert code != 0
    (error,) = errors_in(output)
    assert says in error
    assert sorted(folder.rglob("*")) == before


def test_bad_input_is_one_line_and_no_hang(folder: Path) -> None:
    refused(folder, flags(folder, "r", "--batch_size 3"), "--batch_size 3 cannot be divided over 2 processes")
    refused(folder, flags(folder, "r", "--batch_size 2 --lambda_NCE x"), "--lambda_NCE")
    (folder / "data/trainA/0.png").write_bytes(b"no image")
    refused(folder, flags(folder, "r", "--batch_size 2"), "0.png")


DIFFERENT = """
import os, sys
if os.environ["RANK"] == "1":
    sys.argv[sys.argv.index({old!r})] = {new!r}
sys.path.insert(0, {root!r})
import train
from util.cli import run_script
run_script(train.main)
"""


@pytest.mark.parametrize("what", ["options", "images"])
def test_processes_that_differ_stop(folder: Path, what: str) -> None:
    make_images(folder / "other/trainA", 6, 40)
    make_images(folder / "other/trainB", 7, 40)
    old, new = ("0.25", "0.5") if what == "options" else (str(folder / "data"), str(folder / "other"))
    script = folder / "differs.py"
    script.write_text(DIFFERENT.format(old=old, new=new, root=str(ROOT)))
    code, output = finish(torchrun(str(script), flags(folder, "r", "--batch_size 2 --lr 0.25 --max_iters 1")))
    assert code != 0
    (error,) = errors_in(output)
    assert ("different options: lr" if what == "options" else "dataroot") in error
    assert not (folder / "checkpoints").exists()


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
    assert "different size" in error
    assert "48x40" in error


def wait_for_steps(folder: Path, name: str, steps: int) -> None:
    log, deadline = folder / f"checkpoints/{name}/losses.jsonl", time.time() + 90
    while time.time() < deadline and (not log.is_file() or log.read_text().count("\n") < steps):
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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
    deadline = time.time() + 90
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


def test_translating_is_divided_and_the_first_process_makes_the_page(folder: Path) -> None:
    assert run("train", *flags(folder, "r", "--max_iters 1")).code == 0
    (folder / "data/testA/2.png").write_bytes(b"no image")
    base = ["--dataroot", str(folder / "data"), "--checkpoints_dir", str(folder / "checkpoints"), "--name", "r"]
    base += ["--gpu_ids", "-1", "--num_threads", "0", "--batch_size", "2"]
    assert run("test", *base, "--results_dir", folder / "one").code == 1
    code, output = finish(torchrun("test.py", [*base, "--results_dir", str(folder / "two")]))
    assert code == 1, output
    assert output.count("skipped: ") == 1
    one, two = folder / "one/r/test_latest", folder / "two/r/test_latest"
    assert names_in(one) == names_in(two)
    assert (one / "index.html").read_text() == (two / "index.html").read_text()
    for name in names_in(one / "images"):
        assert (pixels(one / "images" / name) == pixels(two / "images" / name)).all()
