"""--lambda_color: the mean color of translations follows that of the target images."""

import pytest
import torch

from coopcut.engine.position import Position
from coopcut.objectives.color_balance import RATES, ColorBalance, mean_colors
from tests.steps import COOP, batch, batch_of, options_of, trainer_with


@pytest.mark.slow
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


def balance_of(channels: int, rates: tuple[float, float] = RATES) -> ColorBalance:
    return ColorBalance(options_of("--lambda_color 1"), channels, torch.device("cpu"), rates)


def test_mean_colors_are_those_of_all_steps_and_later_of_the_last_ones() -> None:
    balance = balance_of(1, (0.25, 0.125))
    for value in (1.0, 2.0, 3.0, 4.0):
        balance.update(torch.tensor([[value], [value + 2]]), torch.tensor([[-value]]))
    assert balance.fake.item() == pytest.approx(3.5)  # of 2, 3, 4 and 5
    assert balance.real.item() == pytest.approx(-2.5)
    balance.update(torch.tensor([[7.5]]), torch.tensor([[-2.5]]))
    assert balance.fake.item() == pytest.approx(4.5)  # a quarter of the way from 3.5 to 7.5
    assert balance.real.item() == pytest.approx(-2.5)
    balance.update(torch.tensor([[4.5]]), torch.tensor([[-3.3]]))
    assert balance.real.item() == pytest.approx(-2.5 - 0.8 / 6)  # still a mean over all steps
    assert balance.distance().item() == pytest.approx((7 + 0.8 / 6) ** 2)


def test_the_mean_of_the_translations_follows_faster() -> None:
    """They change with the generator: after 600 black steps and 100 white ones, 1 - .99^100 and 1 - .998^100."""
    balance = balance_of(1)
    for value in [0.0] * 600 + [1.0] * 100:
        balance.update(torch.full((1, 1), value), torch.full((1, 1), value))
    assert float(balance.fake) == pytest.approx(1 - 0.99**100, rel=1e-4)
    assert float(balance.real) == pytest.approx(1 - 0.998**100, rel=1e-4)


def test_damaged_means_are_refused() -> None:
    balance = balance_of(3)
    sound = balance.state_dict()
    for change in ({"fake": torch.zeros(1)}, {"steps": "many"}, {"real": "white"}):
        with pytest.raises((ValueError, TypeError)):
            balance.load_state_dict(sound | change)
    balance.load_state_dict(sound | {"steps": torch.tensor(7)})
    assert balance.steps == 7


def test_the_color_term_has_the_gradient_of_the_squared_difference_of_the_means() -> None:
    images = torch.rand(2, 3, 4, 5, requires_grad=True)
    target = torch.tensor([[0.1, 0.9, 0.5]])
    balance = balance_of(3)
    balance.update(mean_colors(images.detach()), target)
    squared = (images.mean(dim=(0, 2, 3)) - target[0]).square().sum()
    torch.testing.assert_close(balance.distance(), squared.detach())
    (expected,) = torch.autograd.grad(squared, images)
    loss = balance.loss(images).total
    torch.testing.assert_close(loss, squared)
    (gradient,) = torch.autograd.grad(loss, images)
    torch.testing.assert_close(gradient, expected)
