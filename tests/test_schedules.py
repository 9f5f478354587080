"""Learning rates, and what happens every so many images."""

import json
from pathlib import Path

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.engine.schedule import create_scheduler
from tests.tools import TINY, train_options
from tests.training import run


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("linear", [1, 1, 1, 2 / 3, 1 / 3, 0]),
        ("step", [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ("cosine", [1, 0.75, 0.25, 0, 0.25, 0.75]),
        ("plateau", [1, 1, 1, 1, 1, 1, 1, 0.2]),
    ],
)
def test_learning_rates(policy: str, expected: list[float]) -> None:
    flags = ["--n_epochs", "3", "--n_epochs_decay", "2", "--lr_policy", policy, "--lr_decay_iters", "2", "--lr", "1"]
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = create_scheduler(optimizer, train_options([*TINY, *flags]))
    rates = []
    for _ in expected:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(1.0) if policy == "plateau" else scheduler.step()  # type: ignore[arg-type]
    assert rates == pytest.approx(expected, abs=1e-9)


def test_continued_with_other_rates(images: Path) -> None:
    flags = ["--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "0"]
    ended = run(images, "longer", *flags)
    assert ended["model"]["optimizers"]["G"]["param_groups"][0]["lr"] == 0.0
    more = run(images, "longer", "--continue_train", "--n_epochs", "3", "--lr", "0.001", "--beta1", "0.4")
    records = map(json.loads, (images.parent / "checkpoints/longer/losses.jsonl").read_text().splitlines())
    assert [r["lr"] for r in records] == pytest.approx([2e-4] * 7 + [1e-3] * 14)
    assert more["model"]["optimizers"]["D"]["param_groups"][0]["betas"] == (0.4, 0.999)


def test_epoch_count_on_continuing_does_not_shift_the_schedule(images: Path) -> None:
    flags = ["--num_threads", "0", "--n_epochs", "2", "--n_epochs_decay", "2"]
    run(images, "counted", *flags, "--max_iters", "9")
    state = run(images, "counted", "--continue_train", "--epoch_count", "2", "--max_iters", "10")
    assert state["model"]["optimizers"]["G"]["param_groups"][0]["lr"] == 2e-4
    assert json.loads((images.parent / "checkpoints/counted/train_opt.json").read_text())["epoch_count"] == 1


def test_every_n_fires_for_any_batch_size() -> None:
    for size in (1, 3, 7, 10):
        position, fired = Position(), 0
        while position.images < 210:
            position.advance(size)
            fired += position.crossed(20, size)
        assert fired == position.images // 20
