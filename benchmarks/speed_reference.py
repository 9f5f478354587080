"""The public CUT in `benchmarks.speed`: python -m benchmarks.speed_reference CHECKOUT JSON.

Of ours it imports the timing alone; packages of the same names as ours (models, data, ...) are those of the checkout.
"""

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed_serve import serve


def options_of(told: dict[str, Any]) -> Any:
    """CUT's own options for the case; what it prints and writes goes elsewhere."""
    TrainOptions = importlib.import_module("options.train_options").TrainOptions
    size, width, data = told["size"], told["width"], told["data"]
    flags = f"--dataroot {data} --checkpoints_dir {data}/reference --name run --batch_size {told['batch']} "
    flags += f"--crop_size {size} --load_size {round(size * 286 / 256)} --ngf {width} --ndf {width} --display_id 0 "
    flags += f"--num_threads 1 --gpu_ids {0 if told['device'] == 'cuda' else -1} --model cut "
    flags += f"--CUT_mode {'FastCUT' if told['case'] == 'fastcut' else 'CUT'}"
    sys.argv = ["train.py", *flags.split()]  # CUT reads --CUT_mode, on which other defaults depend, from here alone
    return TrainOptions().parse()


def tensors(told: dict[str, Any]) -> dict[str, Any]:
    """The images of a step, the same on both sides, as CUT's loader gives them."""
    shape = (told["batch"], 3, told["size"], told["size"])
    A, B = (torch.from_numpy(np.random.RandomState(s).uniform(-1, 1, shape).astype(np.float32)) for s in (0, 1))
    return {"A": A, "B": B, "A_paths": ["a"], "B_paths": ["b"]}


def step(told: dict[str, Any]) -> Callable[[], object]:
    """A training step as CUT's train.py does it."""
    create_model = importlib.import_module("models").create_model
    opt, batch = options_of(told), tensors(told)
    model = create_model(opt)
    model.data_dependent_initialize(batch)
    model.setup(opt)
    model.parallelize()

    def run() -> None:
        model.set_input(batch)
        model.optimize_parameters()

    return run


def generator(told: dict[str, Any]) -> Callable[[], object]:
    """G's forward pass."""
    create_model = importlib.import_module("models").create_model
    model = create_model(options_of(told))
    G, A = model.netG, tensors(told)["A"].to(model.device)

    def run() -> None:
        with torch.no_grad():
            G(A)

    return run


def loading(told: dict[str, Any]) -> Callable[[], object]:
    """An epoch of the images."""
    create_dataset = importlib.import_module("data").create_dataset
    loader = create_dataset(options_of(told))
    return lambda: [len(batch["A"]) for batch in loader]


def test(told: dict[str, Any], checkout: str) -> Callable[[], object]:
    """CUT's test.py on the images."""
    data, device = told["data"], 0 if told["device"] == "cuda" else -1
    options_of(told)  # makes its folder
    weights = Path(data, "ours/run/latest_net_G.pth")
    while not weights.is_file():  # the other side writes them
        time.sleep(0.1)
    time.sleep(0.5)
    shutil.copyfile(weights, Path(data, "reference/run/latest_net_G.pth"))
    flags = f"--dataroot {data} --checkpoints_dir {data}/reference --name run --gpu_ids {device} --ngf {told['width']} "
    flags += f"--crop_size {told['size']} --load_size {told['size']} --results_dir {data}/reference_results "
    flags += "--num_test 100000 --model cut --CUT_mode CUT"
    argv = [sys.executable, f"{checkout}/test.py", *flags.split()]
    return lambda: subprocess.run(argv, check=True, capture_output=True)


if __name__ == "__main__":
    checkout, told = sys.argv[1], json.loads(sys.argv[2])
    sys.path[0] = checkout
    torch.set_num_threads(told["threads"])
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        name = told["case"]
        if name == "test":
            case = test(told, checkout)
        else:
            case = {"generator": generator, "loading": loading}.get(name, step)(told)
    number = sum(1 for _ in Path(told["data"], "testA").iterdir()) if name in ("loading", "test") else 1
    serve(case, number, told["device"] == "cuda" and name not in ("loading", "test"))
