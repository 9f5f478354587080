"""Training that is stopped, continued or begun from weights: exactly as if in one go."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.tools import TINY
from tests.training import LOGGED, run, same

# what is special to a method; each method by itself is in test_every_method.py
CASES = {
    "workers": ["--model", "cut", "--num_threads", "2", "--batch_size", "2"],
    "fastcut": ["--CUT_mode", "FastCUT", "--n_epochs", "2", "--n_epochs_decay", "1", "--lambda_color", "5"],
    "coop_epochs": [
        "--model",
        "coopcut",
        "--coop_epochs",
        "1",
        "--langevin_noise",
        "0.01",
        "--coop_data_noise",
        "0.01",
    ],
    "dropout_plateau": ["--pool_size", "2", "--no_dropout", "False", "--lr_policy", "plateau"],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("first", [3, 7])  # in the middle of the first epoch of 7 samples; at its very end
def test_interrupted_training_is_the_same_bit_for_bit(images: Path, case: str, first: int) -> None:
    flags = ["--num_threads", "0", "--n_epochs", "2", "--n_epochs_decay", "2", *CASES[case]]
    whole = run(images, "whole", *flags, "--max_iters", "9")
    run(images, "parts", *flags, "--max_iters", str(first))
    parts = run(images, "parts", "--continue_train", "--max_iters", "9")
    assert whole["position"] == parts["position"]
    assert whole["position"]["step"] == 9
    same(whole["model"], parts["model"])
    same(whole["mean_loss"], parts["mean_loss"])
    logs = [
        [
            (r["step"], r["losses"])
            for r in map(json.loads, (images.parent / f"checkpoints/{name}/losses.jsonl").read_text().splitlines())
        ]
        for name in ("whole", "parts")
    ]
    assert logs[0] == logs[1]


def test_workers_and_seed(images: Path) -> None:
    one = run(images, "one", "--num_threads", "0", "--max_iters", "4")
    two = run(images, "two", "--num_threads", "2", "--max_iters", "4")
    same(one["model"], two["model"])
    other = run(images, "other", "--num_threads", "0", "--max_iters", "4", "--seed", "4")
    assert not torch.equal(
        one["model"]["networks"]["G"]["model.1.weight"], other["model"]["networks"]["G"]["model.1.weight"]
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_training_continues_exactly(images: Path, number: signal.Signals, code: int) -> None:
    folder = images.parent / "checkpoints"
    flags = ["--dataroot", str(images), "--checkpoints_dir", str(folder), "--name", "stopped", *TINY, *LOGGED]
    command = [sys.executable, "train.py", *flags, "--num_threads", "1", "--model", "coopcut", "--coop_iters", "3"]
    command += ["--max_iters", "100000"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on their number
    # what runs the tests in the background may have them ignore Ctrl-C, and they would pass it on
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    signal.signal(signal.SIGINT, before)
    log, deadline = folder / "stopped/losses.jsonl", time.time() + 120
    while time.time() < deadline and (not log.is_file() or log.read_text().count("\n") < 2):
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert f"{number.name}: saving before the end" in output
    assert "--max_iters=100000 --continue_train" in output  # which a run does not keep
    assert "Traceback" not in output
    stopped = torch.load(folder / "stopped/latest_state.pth", weights_only=True)
    steps = stopped["position"]["step"]
    assert steps >= 2
    whole = run(
        images, "whole", "--num_threads", "0", "--model", "coopcut", "--coop_iters", "3", "--max_iters", str(steps)
    )
    same(whole["model"], stopped["model"])


def test_pretrained_weights_start_a_new_run(images: Path) -> None:
    first = run(images, "first", "--num_threads", "0", "--max_iters", "3")
    folder = images.parent / "checkpoints"
    flags = ["--num_threads", "0", "--pretrained_name", "first", "--lr", "1e-30", "--max_iters", "1"]
    second = run(images, "second", *flags)
    for net in ("G", "F", "D"):
        same(first["model"]["networks"][net], second["model"]["networks"][net])
    assert second["position"]["step"] == 1
    assert (folder / "first/latest_state.pth").exists()


def test_continue_from_weights_alone_as_cut_does(images: Path) -> None:
    run(images, "old", "--num_threads", "0", "--max_iters", "3")
    for name in ("latest_state.pth", "train_opt.json"):  # CUT has neither
        (images.parent / "checkpoints/old" / name).unlink()
    state = run(images, "old", "--num_threads", "0", "--continue_train", "--epoch_count", "5", "--max_iters", "2")
    assert state["position"]["epoch"] == 5
