"""Two processes beside one: how far gradients and weights differ, and why: python -m benchmarks.processes

Each model takes two steps on noise, in one process and in two (torchrun, gloo, CPU), from the same weights, with the
same batches of 4, at CUT's rate. Every column is the largest difference between the two, as a share of the largest
value of its tensor, and the largest of those of a network:

    gradient, step 1        of the first step
    SGD                     weights after two steps of plain SGD in place of Adam, at the same rate
    Adam, double precision  weights after two steps in double precision
    Adam                    weights after two steps in single precision, as in training
    two passes              one process that divides its batch (--accumulation_steps 2) beside one that does not
    other images            one process whose images differ by rounding beside one whose do not

A bias before instance norm has no effect, its gradient is 0 but for rounding, and its weights are rounding too. Such
tensors, found in double precision, have rows of their own; their weights are a share of the largest of the network.
A minute or two on two cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import train
from benchmarks.arguments import natural, positive
from coopcut.data.batch import Batch
from coopcut.util.arguments import Parser
from coopcut.util.cli import run_script
from coopcut.util.errors import UserError
from coopcut.util.launch import find_place, refuse_several

ROOT = Path(__file__).resolve().parents[1]
MODELS = {
    "CUT": "--model cut",
    "FastCUT": "--model cut --CUT_mode FastCUT",
    "CoopCUT": "--model coopcut --coop_iters 2 --langevin_noise 0.01",
}
ARMS: dict[str, tuple[int, str, str]] = {  # steps, what is changed, flags
    "gradient": (1, "", ""),
    "exact gradient": (1, "double", ""),
    "sgd": (2, "sgd", ""),
    "double": (2, "double", ""),
    "adam": (2, "", ""),
    "control passes": (2, "", "--accumulation_steps 2"),  # the controls in one process alone
    "control images": (2, "images", ""),
}
COLUMNS = ("gradient, step 1", "SGD", "Adam, double precision", "Adam", "two passes", "other images")
ZERO = ", gradient 0"
BATCH, ROUNDING = 4, 2**-23
NOTHING = 1e-9  # a gradient this small beside the largest of its network, in double precision, is 0


def main(argv: Sequence[str]) -> int:
    """Train, compare, print a table."""
    parser = Parser(__doc__, "benchmarks.processes")
    parser.add_argument("--size", type=positive, default=64, help="side of the images [pixels]")
    parser.add_argument("--width", type=positive, default=16, help="--ngf and --ndf [channels]")
    parser.add_argument("--seed", type=natural, default=0, help="of weights and images")
    parser.add_argument("--tensors", action="store_true", help="print a row for each tensor")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)  # what a process that trains is told
    options = parser.parse_args(list(argv))
    if options.work:
        train_all(options)
        return 0
    refuse_several()
    with tempfile.TemporaryDirectory() as folder:
        options.work = Path(folder)
        draw_images(options)
        for processes in (1, 2):
            start(options, processes)
        print_table(options)
    return 0


def draw_images(options: argparse.Namespace) -> None:
    """Eight images of colored noise for each domain."""
    rng = np.random.default_rng(options.seed)
    for domain in ("trainA", "trainB"):
        (options.work / domain).mkdir()
        for number in range(2 * BATCH):
            coarse = rng.integers(0, 256, (options.size // 4, options.size // 4, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((options.size, options.size), Image.Resampling.BICUBIC)
            image.save(options.work / domain / f"{number}.png")


def start(options: argparse.Namespace, processes: int) -> None:
    """Let so many processes do all the trainings. Raises `UserError` if they fail."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    command += ["benchmarks.processes", f"--work={options.work}", f"--seed={options.seed}"]
    command += [f"--size={options.size}", f"--width={options.width}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{processes} processes failed: {' '.join((done.stdout + done.stderr).split())[-2000:]}")


# -- in the processes that train ----------------------------------------------------------------------------------


def train_all(options: argparse.Namespace) -> None:
    """Every model in every arm."""
    size = find_place().size
    for model, flags in MODELS.items():
        for arm, (steps, change, more) in ARMS.items():
            if size > 1 and arm.startswith("control"):
                continue
            argv = ["--dataroot", str(options.work), "--checkpoints_dir", str(options.work / f"runs{size}")]
            argv += ["--name", f"{model} {arm}", *more.split(), "--max_iters", str(steps)]
            argv += ["--ngf", str(options.width), "--ndf", str(options.width), "--netF_nc", "64"]
            argv += ["--load_size", str(options.size), "--crop_size", str(options.size), "--netG", "resnet_4blocks"]
            argv += ["--num_threads", "0", "--gpu_ids", "-1", "--monitor", "none", "--seed", str(options.seed)]
            with changed(change):
                train.main([*argv, "--batch_size", str(BATCH), *flags.split()])


@contextmanager
def changed(change: str) -> Iterator[None]:
    """Within the block: "sgd" in place of Adam, "double" precision, or "images" that differ by rounding."""
    to, before = Batch.to, torch.get_default_dtype()
    generator = torch.Generator().manual_seed(0)

    def moved(images: Tensor) -> Tensor:
        if change == "double":
            return images.double()
        signs = torch.randint(-1, 2, images.shape, generator=generator)
        return images * (1 + ROUNDING * signs) if change == "images" else images

    def altered(self: Batch, device: torch.device) -> Batch:
        batch = to(self, device)
        return replace(batch, tensors={name: moved(images) for name, images in batch.tensors.items()})

    def sgd(parameters: Any, lr: float, **others: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr)

    adam = sgd if change == "sgd" else torch.optim.Adam
    with mock.patch.object(Batch, "to", altered), mock.patch("torch.optim.Adam", adam):
        torch.set_default_dtype(torch.float64 if change == "double" else before)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


# -- the comparison -----------------------------------------------------------------------------------------------


def print_table(options: argparse.Namespace) -> None:
    """A row for each network, and one for its tensors whose gradient is 0; or a row for each tensor."""
    print(f"| model | {'tensor' if options.tensors else 'network'} | " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---:|" * len(COLUMNS))
    for model in MODELS:
        for net in ("G", "F", "D"):
            rows: dict[str, list[list[float]]] = {}
            for name, zero, figures in differences(options.work, model, net):
                label = f"{name}{ZERO if zero else ''}" if options.tensors else f"{net}{ZERO if zero else ''}"
                rows.setdefault(label, []).append(figures)
            for label, found in rows.items():
                cells = [f"{max(values):.0e}" for values in zip(*found, strict=True)]
                print(f"| {model} | {label} | {' | '.join(cells)} |", flush=True)


def differences(work: Path, model: str, net: str) -> Iterator[tuple[str, bool, list[float]]]:
    """For each tensor of a network its name, whether its gradient is 0, and the figures of the columns."""
    one = {arm: load(work, 1, f"{model} {arm}") for arm in ARMS}
    two = {arm: load(work, 2, f"{model} {arm}") for arm in ARMS if not arm.startswith("control")}
    names = [name for name in one["adam"]["networks"][net] if not name.endswith(".filt")]
    exact = gradients(one["exact gradient"], net)
    steepest = max(float(gradient.abs().max()) for gradient in exact)
    largest = max(float(weights(one["adam"], net, name).abs().max()) for name in names)
    pairs = [(one["sgd"], two["sgd"]), (one["double"], two["double"]), (one["adam"], two["adam"])]
    pairs += [(one["adam"], one["control passes"]), (one["adam"], one["control images"])]
    rounded = zip(gradients(one["gradient"], net), gradients(two["gradient"], net), strict=True)
    for name, gradient, both in zip(names, exact, rounded, strict=True):
        zero = float(gradient.abs().max()) < NOTHING * steepest
        found = [far(*both, 0.0)]
        for first, second in pairs:
            moved = weights(first, net, name), weights(second, net, name)
            found.append(far(*moved, largest if zero else 0.0))
        yield name, zero, found


def far(one: Tensor, two: Tensor, scale: float) -> float:
    """The largest difference, over `scale` or else over the largest value."""
    return float((one - two).abs().max()) / (scale or float(one.abs().max()))


def load(work: Path, processes: int, run: str) -> dict[str, Any]:
    """The model's part of a saved state."""
    state = torch.load(work / f"runs{processes}" / run / "latest_state.pth", weights_only=True)
    return dict(state["model"])


def weights(state: dict[str, Any], net: str, name: str) -> Tensor:
    values: Tensor = state["networks"][net][name]
    return values.double()


def gradients(state: dict[str, Any], net: str) -> list[Tensor]:
    """Of the first step, of which Adam keeps a share."""
    (group,) = state["optimizers"][net]["param_groups"]
    moments = state["optimizers"][net]["state"].values()
    return [each["exp_avg"].double() / (1 - group["betas"][0]) for each in moments]


if __name__ == "__main__":
    run_script(main)
