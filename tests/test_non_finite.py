"""Losses and weights that are not finite stop a training and are never saved."""

from pathlib import Path
from typing import Any

import pytest
import torch

from coopcut.engine.guard import FiniteGuard
from coopcut.engine.optimizers import Optimizers
from coopcut.util.errors import NonFiniteLossError
from tests.training import run


def test_weights_that_are_not_finite_are_never_saved(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(images, "huge", "--num_threads", "0", "--max_iters", "2")
    folder = images.parent / "checkpoints/huge"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".pth", ".json")}
    # an update that breaks the weights after a loss that was finite
    take_step = Optimizers.step

    def breaks(self: Optimizers, names: Any, shard: Any) -> None:
        take_step(self, names, shard)
        if "G" in names:
            self.optimizers["G"].param_groups[0]["params"][0].data.fill_(float("nan"))

    monkeypatch.setattr(Optimizers, "step", breaks)
    with pytest.raises(NonFiniteLossError, match=r"netG is no longer finite at step 3"):
        run(images, "huge", "--continue_train", "--lr", "0.1", "--max_iters", "3")
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".pth", ".json")}


def test_non_finite_loss_names_loss_step_and_files(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(images, "nan", "--num_threads", "0", "--max_iters", "2")
    state = images.parent / "checkpoints/nan/latest_state.pth"
    before = state.read_bytes()
    from coopcut.objectives import contrastive

    original, calls = contrastive.patch_nce, []

    def broken(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return original(*arguments) * (float("nan") if len(calls) > 20 else 1)

    monkeypatch.setattr(contrastive, "patch_nce", broken)
    with pytest.raises(
        NonFiniteLossError, match=r"loss (G|NCE|NCE_Y) is nan at step 5, images .*trainA.*\.png.*trainB"
    ):
        run(images, "nan", "--continue_train", "--max_iters", "9")
    assert state.read_bytes() == before


def test_guard_judges_every_step() -> None:
    guard = FiniteGuard()
    guard.check({"a": torch.tensor(1.0)}, 1, ["x"])
    with pytest.raises(NonFiniteLossError, match=r"loss b is inf at step 2, images y\.png"):
        guard.check({"a": torch.tensor(1.0), "b": torch.tensor(float("inf"))}, 2, ["y.png"])
