"""What the engine does for every registered method: resume, divide, compute in bfloat16, translate."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import train
from coopcut.engine.position import Position
from coopcut.engine.processes.peers import Peers
from coopcut.engine.runtime import Runtime
from coopcut.engine.trainer import Trainer
from coopcut.models import MODELS, create_method
from tests.processes import DOUBLE, MORE, check_close, check_same_training, finish, in_double, torchrun
from tests.steps import batch, step_and_gradients
from tests.tools import METHODS, run, tiny, train_options
from tests.training import same

COMMON = ["--seed", "3", "--print_freq", "1", "--init_gain", "0.3", "--ema", "0.9"]


def trainer_of(model: str, *flags: str) -> Trainer:
    torch.manual_seed(0)
    opt = train_options([*tiny(model), *COMMON, "--lr", "1e-5", *flags])
    runtime = Runtime.from_options(opt, Peers())
    return Trainer(opt, create_method(opt, runtime), runtime)


@pytest.fixture
def double() -> Iterator[None]:
    """In single precision a rectifier at its kink turns another order of a sum into percents of a gradient."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("model", METHODS)
def test_it_resumes_bit_for_bit(images: Path, model: str) -> None:
    """From within its cooperative start and from within its fading, if it has them."""
    checkpoints = images.parent / "checkpoints"
    place = ["--dataroot", str(images), "--checkpoints_dir", str(checkpoints)]
    flags = [*place, *tiny(model), *COMMON, "--pool_size", "2", "--batch_size", "2"]
    assert train.main([*flags, "--name", "whole", "--max_iters", "6"]) == 0
    assert train.main([*flags, "--name", "parts", "--max_iters", "1"]) == 0
    for steps in ("3", "6"):
        assert train.main([*place, "--name", "parts", "--continue_train", "--gpu_ids", "-1", "--max_iters", steps]) == 0
    whole, parts = (
        torch.load(checkpoints / name / "latest_state.pth", weights_only=True) for name in ("whole", "parts")
    )
    for part in ("model", "position", "mean_loss"):
        same(whole[part], parts[part], part)


@pytest.mark.parametrize("model", METHODS)
def test_micro_batches_are_the_undivided_batch(model: str, double: None) -> None:
    flags = ["--batch_size", "5", "--pool_size", "4", "--instance_noise", "0.1"]
    whole, divided = trainer_of(model, *flags), trainer_of(model, *flags, "--accumulation_steps", "3")
    for step, number in enumerate((5, 2, 4)):
        expected, found = (each.step(batch(number, number), Position(step=step)) for each in (whole, divided))
        check_close({n: float(v) for n, v in found.losses.items()}, {n: float(v) for n, v in expected.losses.items()})
        check_close(found.images, expected.images)
    check_close(divided.state_dict(), whole.state_dict(), relative=1e-6)


@pytest.mark.parametrize("model", METHODS)
def test_bf16_is_near_float32(model: str) -> None:
    (half, _), (plain, _) = (step_and_gradients(trainer_of(model, "--amp", amp)) for amp in ("bf16", "none"))
    assert list(half.losses) == list(plain.losses)
    for name in half.losses:
        assert half.losses[name].dtype == torch.float32
    steered_by = MODELS[model].steered_by
    assert float(half.losses[steered_by]) == pytest.approx(float(plain.losses[steered_by]), rel=0.05)


@pytest.mark.parametrize("model", METHODS)
def test_two_processes_train_as_one(folder: Path, model: str) -> None:
    place = ["--dataroot", str(folder / "data"), "--checkpoints_dir", str(folder / "checkpoints")]
    argv = [*place, *tiny(model), *MORE, *"--ema 0.9 --pool_size 3 --batch_size 4 --max_iters 4 --name".split()]
    assert in_double([*argv, "one"]) == 0
    code, output = finish(torchrun(DOUBLE, [*argv, "two"]))
    assert code == 0, output
    check_same_training(folder, "one", "two")


@pytest.mark.parametrize("model", METHODS)
def test_all_that_it_exports_runs(place: Path, model: str) -> None:
    assert run("train", "--dataroot", "data", "--name", "r", *tiny(model), "--max_iters", 1).code == 0
    for name, export in MODELS[model].exports.items():
        data = ["--num_test", 5] if export.samples else ["--dataroot", "data"]
        outcome = run("test", *data, "--name", "r", "--gpu_ids", -1, "--num_threads", 0, "--export", name)
        assert (outcome.code, outcome.err) == (0, ""), outcome
        number = 5 if export.samples else len(list((place / f"data/test{export.source}").iterdir()))
        folder = Path("results/r") / f"test_latest{MODELS[model].suffix(name)}" / "images" / "fake_B"
        assert len(list(folder.glob("*.png"))) == number
