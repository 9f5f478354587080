"""--lambda_color: the mean color of translations follows that of the target images."""

import pytest
import torch

from coopcut.engine.position import Position
from tests.steps import COOP, batch, batch_of, trainer_with


def test_the_mean_color_of_the_target_is_kept_where_it_is_asked_for() -> None:
    """A discriminator with instance norm does not see it, in the warm-up no more than after."""
    distances = {}
    for weight in ("0", "100"):
        torch.manual_seed(0)
        trainer = trainer_with(COOP, "--coop_iters 10 --langevin_steps 2 --lr 0.002 --lambda_color", weight)
        target = batch()["B"] * 0.1 + torch.tensor([0.6, -0.5, 0.1])[:, None, None]
        images = batch_of(batch()["A"], target)
        outputs = [trainer.step(images, Position(step=step)) for step in range(50)]
        assert {"color" in output.losses for output in outputs} == {weight != "0"}
        last = {name: float(loss) for name, loss in outputs[-1].losses.items()}
        whole = last["G_GAN"] + (last["NCE"] + last["NCE_Y"]) / 2 + float(weight) * last.get("color", 0)
        assert last["G"] == pytest.approx(whole, rel=1e-5)  # what --lr_policy plateau watches
        seen = torch.stack([output.images["fake_B"].mean(dim=(0, 2, 3)) for output in outputs[20:]])
        distances[weight] = float((seen.mean(dim=0) - target.mean(dim=(0, 2, 3))).square().sum())
    assert distances["100"] < 0.1 * distances["0"], distances


def test_means_of_colors_that_were_not_kept_up_are_forgotten() -> None:
    kept, without, again = (trainer_with("--lambda_color", weight) for weight in "202")
    kept.step(batch(), Position())
    without.load_state_dict(kept.state_dict(), vars(kept.opt))
    again.load_state_dict(without.state_dict(), vars(without.opt))
    objectives = [trainer.method.objectives["color"] for trainer in (kept, without, again)]
    assert [objective.state_dict()["steps"] for objective in objectives] == [1, 0, 0]
