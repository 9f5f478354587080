"""Random changes before D (DiffAugment), and their probability (ADA)."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from coopcut.engine.position import Position
from coopcut.objectives.augment import PACE, Augment, color, cutout, translation
from coopcut.util.errors import OptionError
from tests.steps import batch, context, trainer_with
from tests.tools import train_options


def fixed(*numbers: float) -> Any:
    """Draws these numbers for every image."""
    return lambda n: torch.tensor(numbers).expand(n, 3)


def images(number: int = 2, side: int = 8) -> Tensor:
    return torch.rand(number, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_color() -> None:
    x = images()
    torch.testing.assert_close(color(x, fixed(0.5, 0.5, 0.5)), x)  # brightness + 0, saturation * 1, contrast * 1
    torch.testing.assert_close(color(x, fixed(0.75, 0.5, 0.5)), x + 0.25)
    gray = x.mean(1, keepdim=True).expand_as(x)
    torch.testing.assert_close(color(x, fixed(0.5, 0.0, 0.5)), gray)
    mean = x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(color(x, fixed(0.5, 0.5, 0.0)), (x - mean) * 0.5 + mean)


def test_translation() -> None:
    """An eighth of 8 pixels is 1: moves are -1, 0 or 1, and what comes in is 0."""
    x = images()
    assert torch.equal(translation(x, fixed(0.5, 0.5, 0)), x)
    down = translation(x, fixed(0.0, 0.5, 0))
    assert torch.equal(down[:, :, 1:], x[:, :, :-1])
    assert float(down[:, :, 0].abs().max()) == 0
    left = translation(x, fixed(0.5, 0.99, 0))
    assert torch.equal(left[..., :-1], x[..., 1:])
    assert float(left[..., -1].abs().max()) == 0


def test_cutout() -> None:
    x = images().abs() + 0.1
    hole = cutout(x, fixed(0.5, 0.5, 0)) == 0
    assert int(hole[0, 0].sum()) == 16
    assert bool(hole[0, :, 2:6, 2:6].all())
    corner = cutout(x, fixed(0.0, 0.0, 0)) == 0
    assert int(corner[0, 0].sum()) == 4


def test_gradients_pass() -> None:
    x = images().requires_grad_(True)
    for kind in (color, translation, cutout):
        (gradient,) = torch.autograd.grad(kind(x, lambda n: torch.rand(n, 3)).sum(), x)
        assert float(gradient.abs().max()) > 0


def test_how_often() -> None:
    trainer = trainer_with("--augment cutout --augment_p 0.25")
    augment, ctx = Augment(trainer.opt), context(trainer, batch(400))
    changed = (augment(batch(400)["B"], ctx) != batch(400)["B"]).flatten(1).any(dim=1)
    assert float(changed.float().mean()) == pytest.approx(0.25, abs=0.06)
    assert torch.equal(Augment(train_options([]))(images(), ctx), images())


def run(steps: Iterator[Any]) -> None:
    for request in steps:
        request.function(*request.tensors)


def test_the_probability_adapts() -> None:
    augment = Augment(train_options("--augment color --augment_p 0 --ada_target 0.6".split()))
    sure, unsure = torch.ones(500, 1, 2, 2), torch.cat([torch.ones(250, 1, 2, 2), -torch.ones(250, 1, 2, 2)])
    run(augment.adapt(sure))
    run(augment.adapt(sure))
    assert augment.p == pytest.approx(1000 / PACE)
    run(augment.adapt(unsure))
    assert augment.p == pytest.approx(500 / PACE)
    for _ in range(3):
        run(augment.adapt(unsure))
    assert augment.p == 0
    other = Augment(train_options("--augment color --ada_target 0.6".split()))
    assert other.p == 1
    other.load_state_dict(augment.state_dict())
    assert other.p == 0


def test_a_step_adapts_once_however_it_is_divided() -> None:
    flags = "--model coopcut --coop_iters 1 --augment color,translation,cutout --augment_p 0.5 --ada_target 0.1"
    flags += " --batch_size 4 --lr 1e-5"
    whole, divided = trainer_with(flags), trainer_with(flags, "--accumulation_steps 2")
    for step in range(3):
        for trainer in (whole, divided):
            trainer.step(batch(4, step), Position(step=step))
    ours, theirs = (each.state_dict()["objectives"]["adversarial"]["augment"]["p"] for each in (whole, divided))
    assert ours == theirs
    assert abs(ours - 0.5) in (pytest.approx(8 / PACE), 0)  # the start does not look at it
    for name, weight in whole.networks["G"].state_dict().items():
        torch.testing.assert_close(divided.networks["G"].state_dict()[name], weight, rtol=1e-3, atol=1e-4)


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match="--augment: 'flip' is not one of color, translation, cutout"):
        train_options(["--augment", "color,flip"])
    with pytest.raises(OptionError, match="add --augment"):
        train_options(["--ada_target", "0.6"])
