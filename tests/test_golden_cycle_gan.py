"""CycleGAN computes what the published implementation computes (figures in `golden/`, see `golden/README.md`)."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from coopcut.data.batch import Batch
from coopcut.engine.position import Position
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.engine.trainer import Trainer
from coopcut.models import create_method
from tests.steps import batch_of, step_and_gradients
from tests.test_golden import fill
from tests.tools import train_options

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads((GOLDEN / "cycle_gan_public.json").read_text())
ARRAYS = np.load(GOLDEN / "cycle_gan_public.npz")
NETWORKS = ("G_A", "G_B", "D_A", "D_B")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """The figures were recorded in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def golden_trainer(case: str) -> Trainer:
    flags = ["--model", "cycle_gan", "--gpu_ids", "-1", "--load_size", "32", "--crop_size", "32", *CASES[case]["args"]]
    opt = train_options(flags)
    runtime = Runtime.from_options(opt, Peers())
    method = create_method(opt, runtime)
    for place, name in enumerate(NETWORKS):
        fill(method.networks[name].net, CASES[case]["seed"] + place)
    return Trainer(opt, method, runtime)


def golden_batch(case: str) -> Batch:
    shape = (CASES[case]["batch"], 3, 32, 32)
    seeds = (CASES[case]["seed"], CASES[case]["seed"] + 1)
    A, B = (np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32) for seed in seeds)
    return batch_of(torch.from_numpy(A).double(), torch.from_numpy(B).double())


@pytest.mark.parametrize("case", CASES)
def test_state_names_and_shapes(case: str) -> None:
    trainer = golden_trainer(case)
    for name in NETWORKS:
        ours = [[key, list(value.shape)] for key, value in trainer.networks[name].state_dict().items()]
        assert ours == CASES[case]["state"][name]


@pytest.mark.parametrize("case", CASES)
def test_images_and_gradients(case: str) -> None:
    output, gradients = step_and_gradients(golden_trainer(case), golden_batch(case))
    expected = {key.split("/")[1]: values for key, values in ARRAYS.items() if key.startswith(f"{case}/")}
    assert {name for name in output.images if not name.startswith("real")} == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(output.images[name][:, :, ::4, ::4].numpy(), values, rtol=0, atol=1e-9)
    for name, norm in CASES[case]["grad_norm"].items():
        assert float(gradients[name].norm()) == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_three_steps(case: str) -> None:
    """Losses of each step, and how far the weights of each network are from the start after the last."""
    trainer, batch = golden_trainer(case), golden_batch(case)
    start = {name: _weights(trainer, name) for name in NETWORKS}
    for number, expected in enumerate(CASES[case]["step_losses"]):
        losses = trainer.step(batch, Position(step=number)).losses
        for name, value in expected.items():
            assert float(losses.get(name, torch.zeros(()))) == pytest.approx(value, rel=1e-6), (number, name)
        assert float(losses["G"]) == pytest.approx(sum(v for n, v in expected.items() if n[0] != "D"), rel=1e-6)
    for name, distance in CASES[case]["moved"].items():
        assert float((_weights(trainer, name) - start[name]).norm()) == pytest.approx(distance, rel=1e-5), name


def _weights(trainer: Trainer, name: str) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in trainer.networks[name].parameters()])
