"""The side of ours in `benchmarks.speed`: runs one case each time it reads a line."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ready import batch_of, options, trainer_of
from benchmarks.speed_serve import serve
from coopcut.data import create_loader
from coopcut.engine.position import Position
from coopcut.inference.translator import Translator
from coopcut.networks import create_G
from coopcut.options.option import Options
from coopcut.util.cli import run_script
from coopcut.util.launch import refuse_several

FLAGS = {"cut": [], "fastcut": ["--CUT_mode", "FastCUT"], "coopcut": ["--model", "coopcut"]}


def options_of(told: dict[str, Any]) -> Options:
    """Options of a training of the case."""
    size, width, data = told["size"], told["width"], told["data"]
    flags = ["--dataroot", data, "--checkpoints_dir", f"{data}/ours", "--name", "run", "--batch_size", told["batch"]]
    flags += ["--crop_size", size, "--load_size", round(size * 286 / 256), "--ngf", width, "--ndf", width]
    flags += ["--num_threads", 1, "--gpu_ids", 0 if told["device"] == "cuda" else -1, *told["flags"].split()]
    flags += ["--amp", told["amp"]] if told["amp"] != "none" else []
    flags += FLAGS.get(told["case"], [])
    return options(flags)


def tensors(told: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of a step, the same on both sides: [B, 3, size, size] in [-1, 1]."""
    shape = (told["batch"], 3, told["size"], told["size"])
    A, B = (np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32) for seed in (0, 1))
    return torch.from_numpy(A), torch.from_numpy(B)


def step(told: dict[str, Any]) -> Callable[[], object]:
    """A training step, its batch brought to the device."""
    trainer, (A, B) = trainer_of(options_of(told)), tensors(told)
    return lambda: trainer.step(batch_of(A, B).to(trainer.runtime.device), Position())


def generator(told: dict[str, Any]) -> Callable[[], object]:
    """G's forward pass, as `test.py` does it."""
    trainer, (A, _) = trainer_of(options_of(told)), tensors(told)
    opt, device, G = trainer.opt, trainer.runtime.device, trainer.networks["G"]
    translator = Translator(G, opt.input_nc, device, amp=told["amp"], compile=opt.compile)
    return lambda: translator.translate(A)


def loading(told: dict[str, Any]) -> Callable[[], object]:
    """An epoch of the images."""
    loader, epoch = create_loader(options_of(told)), iter(range(1, 10**9))
    return lambda: sum(len(batch) for batch in loader.epoch(next(epoch)))


def test(told: dict[str, Any]) -> Callable[[], object]:
    """test.py on the images, from the start of Python to the page."""
    opt, data = options_of(told), told["data"]
    folder = Path(opt.checkpoints_dir) / "run"
    folder.mkdir(parents=True)
    torch.save(create_G(opt, opt.input_nc, opt.output_nc).state_dict(), folder / "latest_net_G.pth")
    flags = ["--dataroot", data, "--checkpoints_dir", opt.checkpoints_dir, "--name", "run", "--gpu_ids", opt.gpu_ids]
    flags += ["--ngf", str(opt.ngf), "--crop_size", str(opt.crop_size), "--results_dir", f"{data}/ours_results"]
    flags += ["--amp", told["amp"]] if told["amp"] != "none" else []
    flags += ["--compile"] if opt.compile else []
    return lambda: subprocess.run([sys.executable, "test.py", *flags], check=True, capture_output=True)


def main(argv: Sequence[str]) -> int:
    """Serve the case that the JSON in `argv` tells."""
    refuse_several()
    told = json.loads(argv[0])
    torch.set_num_threads(told["threads"])
    case = {"generator": generator, "loading": loading, "test": test}.get(told["case"], step)(told)
    number = sum(1 for _ in Path(told["data"], "testA").iterdir()) if told["case"] in ("loading", "test") else 1
    serve(case, number, told["device"] == "cuda" and told["case"] not in ("loading", "test"))
    return 0


if __name__ == "__main__":
    run_script(main)
