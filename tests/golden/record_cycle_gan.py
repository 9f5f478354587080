"""Record the figures of the published CycleGAN: python tests/golden/record_cycle_gan.py CHECKOUT

CHECKOUT is one of github junyanz/pytorch-CycleGAN-and-pix2pix, of which `models`, `options` and `util` are needed.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
NETWORKS = ("G_A", "G_B", "D_A", "D_B")
SMALL = ["--ngf", "4", "--ndf", "4", "--netG", "resnet_6blocks"]
CASES: dict[str, dict[str, Any]] = {
    "published": {"args": [], "batch": 1, "seed": 21},
    "no_identity": {"args": "--lambda_identity 0 --lambda_A 7 --lambda_B 13 --pool_size 0", "batch": 2, "seed": 31},
    "vanilla": {"args": "--gan_mode vanilla --lambda_identity 0.2", "batch": 2, "seed": 41},
}
SIZE, STEPS, SHOWN = 32, 3, 4  # pixels; training steps; every so many pixels are kept


def fill(net: torch.nn.Module, seed: int) -> None:
    """The weights of README.md, for the network in its place."""
    values = {name: value for name, value in net.state_dict().items() if value.is_floating_point()}
    for index, name in enumerate(sorted(values)):
        drawn = np.random.RandomState(1000 * seed + index).standard_normal(values[name].numel()) * 0.05
        values[name].copy_(torch.from_numpy(drawn.astype(np.float32)).reshape(values[name].shape))


def vector(tensors: Any) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def record(case: dict[str, Any], model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and images of three steps."""
    nets = {name: getattr(model, f"net{name}") for name in NETWORKS}
    for place, net in enumerate(nets.values()):
        fill(net, case["seed"] + place)
    shape = (case["batch"], 3, SIZE, SIZE)
    A, B = (np.random.RandomState(case["seed"] + n).uniform(-1, 1, shape).astype(np.float32) for n in (0, 1))
    model.set_input(
        {"A": torch.from_numpy(A).double(), "B": torch.from_numpy(B).double(), "A_paths": [], "B_paths": []}
    )
    start, steps, images, slopes = {n: vector(net.parameters()).clone() for n, net in nets.items()}, [], {}, {}
    for step in range(STEPS):
        model.optimize_parameters()
        steps.append({name: float(getattr(model, f"loss_{name}")) for name in model.loss_names})
        if step == 0:
            shown = {name: getattr(model, name) for name in model.visual_names if not name.startswith("real")}
            images = {name: image.detach()[:, :, ::SHOWN, ::SHOWN].numpy() for name, image in shown.items()}
            slopes = {name: float(vector(p.grad for p in net.parameters()).norm()) for name, net in nets.items()}
    figures = {
        "state": {name: [[k, list(v.shape)] for k, v in net.state_dict().items()] for name, net in nets.items()},
        "step_losses": steps,
        "grad_norm": slopes,
        "moved": {name: float((vector(net.parameters()) - start[name]).norm()) for name, net in nets.items()},
    }
    return figures, images


def main(checkout: str) -> None:
    sys.path.insert(0, checkout)
    models, options = importlib.import_module("models"), importlib.import_module("options.train_options")

    torch.set_default_dtype(torch.float64)
    figures: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for name, case in CASES.items():
        args = [*SMALL, *(case["args"].split() if case["args"] else [])]
        sys.argv = ["train.py", "--dataroot", "none", "--model", "cycle_gan", "--gpu_ids", "-1", *args]
        found, images = record(case, models.create_model(options.TrainOptions().parse()))
        figures[name] = case | {"args": args, "size": SIZE} | found
        arrays |= {f"{name}/{image}": values for image, values in images.items()}
    (HERE / "cycle_gan_public.json").write_text(json.dumps(figures, indent=1) + "\n")
    np.savez_compressed(HERE / "cycle_gan_public.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
