"""--accumulation_steps: a batch in several passes gives the step of the undivided batch, and keeps less at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.engine.trainer import Trainer
from tests.processes import check_close
from tests.steps import batch, trainer_with
from tests.tools import refused

COOP = "--model coopcut --langevin_steps 2 --langevin_noise 0.1 --coop_data_noise 0.1"


@pytest.fixture
def double() -> Iterator[None]:
    """In single precision a rectifier at its kink turns another order of a sum into percents of a gradient."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trainer(flags: str) -> Trainer:
    return trainer_with("--lr 1e-5 --batch_size 5", flags)


@pytest.mark.parametrize(
    "flags",
    [
        "--CUT_mode FastCUT --pool_size 4 --gan_mode wgangp",
        f"{COOP} --langevin_stop --lambda_color 3",
        f"{COOP} --coop_epochs 0 --coop_keep 0.5 --instance_noise 0.1 --pool_size 4",
    ],
)
def test_passes_are_the_undivided_batch(flags: str, double: None) -> None:
    """5 samples as 2, 2 and 1, and 2 as 1 and 1: losses, pictures, weights, optimizers, generators."""
    whole, divided = trainer(flags), trainer(f"{flags} --accumulation_steps 3")
    for step, number in enumerate((5, 2)):
        expected, found = (each.step(batch(number, number), Position(step=step)) for each in (whole, divided))
        assert list(found.losses) == list(expected.losses)
        for name, value in expected.losses.items():
            assert float(found.losses[name]) == pytest.approx(float(value), rel=1e-6, abs=1e-10), name
        assert list(found.images) == list(expected.images)
        for name, images in expected.images.items():
            torch.testing.assert_close(found.images[name], images, rtol=0, atol=1e-8)
    check_close(divided.state_dict(), whole.state_dict(), relative=1e-6)


def test_passes_keep_less() -> None:
    """The graph of a pass holds its own samples, translation and identity, and no others."""
    seen: dict[int, list[int]] = {}
    for passes in (1, 5):
        dividing = trainer(f"--accumulation_steps {passes}")
        sizes = seen.setdefault(passes, [])
        dividing.networks["G"].register_forward_pre_hook(
            lambda module, given, sizes=sizes: sizes.append(len(given[0]) * torch.is_grad_enabled())
        )
        dividing.step(batch(5), Position())
    assert seen == {1: [10, 10], 5: [0] * 5 + [2] * 10}


def test_what_passes_would_change_is_refused(place: Path) -> None:
    common = ["--dataroot", "data", "--name", "new", "--gpu_ids", -1, "--num_threads", 0, "--accumulation_steps", 2]
    refused("train", common, "--accumulation_steps 2", "--batch_size 1")
    refused("train", [*common, "--batch_size", 2, "--no_dropout", "False"], "--accumulation_steps", "dropout")
    common += ["--batch_size", 2]
    refused("train", [*common, "--nce_includes_all_negatives_from_minibatch"], "--accumulation_steps", "negatives")
    refused("train", [*common, "--normG", "batch"], "--accumulation_steps", "batch norm")
