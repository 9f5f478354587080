"""What D meets after the cooperative start: revised negatives, a replay of them, other rates, networks begun anew."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from coopcut.engine.position import Position
from coopcut.engine.trainer import Trainer
from coopcut.objectives.replay import Replay
from coopcut.util.errors import OptionError
from tests.steps import COOP, batch, method_with, options_of, step_and_gradients, trainer_of, trainer_with
from tests.training import same

AFTER = Position(step=8)


def losses(trainer: Trainer, position: Position = AFTER) -> dict[str, float]:
    found, _ = step_and_gradients(trainer, position=position)
    return {name: float(value) for name, value in found.losses.items()}


@pytest.mark.parametrize("mode", ["lsgan", "nonsaturating", "hinge"])
def test_revised_negatives_have_their_share_of_the_fakes(mode: str) -> None:
    """D's loss is (real + share * revised + (1 - share) * fake) / 2, so its gradient is that of the three."""
    gradients = {}
    for share in (0.0, 0.25, 0.5, 0.75):
        trainer = trainer_with("--gan_mode", mode, "--coop_negatives", str(share), "--langevin_steps 2")
        output, found = step_and_gradients(trainer, position=AFTER)
        gradients[share] = found["D"]
        assert ("D_revised" in output.losses) == (share > 0)
        assert ("revised_B" in output.images) == (share > 0)
    quarter = gradients[0.5] - gradients[0.25]
    assert float(quarter.norm()) > 1e-3
    torch.testing.assert_close(gradients[0.75] - gradients[0.5], quarter, rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(gradients[0.25] - gradients[0.0], quarter, rtol=1e-2, atol=1e-5)


def test_revised_negatives_leave_the_loss_of_G_alone() -> None:
    plain, negatives = (trainer_with(f"--coop_negatives {share}") for share in (0, 0.67))
    (_, one), (_, other) = (step_and_gradients(trainer, position=AFTER) for trainer in (plain, negatives))
    assert torch.equal(one["G"], other["G"])
    assert not torch.equal(one["D"], other["D"])


def test_every_and_replay() -> None:
    """Revised in steps 0, 3, 6, ...; between them one of the last two revised batches."""
    method = method_with("--coop_negatives 0.5 --coop_every 3 --coop_replay 2 --langevin_steps 2")
    trainer, replay = trainer_of(method), method.adversarial.replay
    revised = list[torch.Tensor]()
    for step in range(9):
        output = trainer.step(batch(seed=step), Position(step=step))
        assert ("revised_B" in output.images) == (step % 3 == 0)
        assert "D_revised" in output.losses
        revised += [output.images["revised_B"]] if step % 3 == 0 else []
    assert len(revised) == 3
    assert all(torch.equal(kept, made) for kept, made in zip(replay.batches, revised[1:], strict=True))
    none_between = trainer_with("--coop_negatives 0.5 --coop_every 3 --coop_replay 0 --langevin_steps 2")
    assert ["D_revised" in losses(none_between, Position(step=step)) for step in (3, 4, 5, 6)] == [1, 0, 0, 1]


def test_replay_hands_out_what_fits() -> None:
    replay, rng = Replay(2), torch.Generator().manual_seed(0)
    batches = [torch.full((4, 3, 8, 8), float(value)) for value in range(3)]
    assert replay.draw(batches[0], rng) is None
    for images in batches:
        replay.add(images)
    drawn = [replay.draw(batches[0][:3], rng) for _ in range(20)]
    assert {float(images[0, 0, 0, 0]) for images in drawn if images is not None} == {1.0, 2.0}  # 0 has left
    assert all(images is not None and images.shape == (3, 3, 8, 8) for images in drawn)
    assert replay.draw(torch.zeros(5, 3, 8, 8), rng) is None  # a batch is not shown twice in one
    assert replay.draw(torch.zeros(2, 3, 8, 9), rng) is None


@pytest.mark.parametrize(("chosen", "names"), [("G", "GF"), ("D", "D"), ("all", "GDF")])
def test_networks_begin_anew_at_the_switch(chosen: str, names: str) -> None:
    trainer = trainer_with(COOP, "--coop_iters 2 --langevin_steps 2 --lr 1e-9 --ema 0.5 --coop_reset", chosen)
    initial = {name: first_weight(net) for name, net in trainer.networks.items()}
    for step in range(3):
        for net in trainer.networks.values():  # training, as far as such a rate goes
            next(net.parameters()).data += 1
        trainer.step(batch(), Position(step=step))
        equal = {n for n, net in trainer.networks.items() if torch.allclose(first_weight(net), initial[n], atol=1e-6)}
        assert equal == (set(names) if step == 2 else set())
    steps = {name: int(next(iter(o.state.values()))["step"]) for name, o in trainer.optimizers.optimizers.items()}
    assert steps == {name: 1 if name in names else 3 for name in steps}


def test_a_run_goes_on_through_such_a_switch_bit_for_bit() -> None:
    flags = (COOP, "--coop_iters 3 --langevin_steps 2 --coop_reset all --coop_lr_G 0.5 --ema 0.9")
    whole = trainer_with(*flags)
    steps(whole, range(5))
    first, second = trainer_with(*flags), trainer_with(*flags)
    steps(first, range(2))
    second.load_state_dict(first.state_dict(), vars(first.opt))
    steps(second, range(2, 5))
    same(whole.state_dict(), second.state_dict())


def first_weight(net: nn.Module) -> torch.Tensor:
    return next(net.parameters()).detach().clone()


def steps(trainer: Trainer, numbers: Sequence[int]) -> None:
    for step in numbers:
        trainer.step(batch(seed=step), Position(step=step))


def test_the_rate_of_all_but_D_falls_at_the_switch() -> None:
    """A step of Adam is proportional to the rate, and the schedule's rate is as before afterwards."""
    moved = {}
    for factor in (1.0, 0.25):
        trainer = trainer_with(COOP, f"--coop_iters 1 --langevin_steps 2 --coop_lr_G {factor}")
        for step in (0, 1):
            before = {name: first_weight(net) for name, net in trainer.networks.items()}
            trainer.step(batch(), Position(step=step))
            for name, net in trainer.networks.items():
                moved[factor, step, name] = first_weight(net) - before[name]
        assert trainer.lr == trainer.opt.lr
    for name in "GDF":
        torch.testing.assert_close(moved[0.25, 0, name], moved[1.0, 0, name])
        factor = 1.0 if name == "D" else 0.25
        torch.testing.assert_close(moved[0.25, 1, name], factor * moved[1.0, 1, name], rtol=1e-2, atol=1e-7)


def test_the_revision_gets_shorter_toward_the_end_of_the_start() -> None:
    flags = "--coop_iters 4 --coop_anneal True --langevin_steps 4 --langevin_step_size 1e-4"
    trainer = trainer_with(COOP, flags)
    far = [losses(trainer, Position(step=step))["displacement"] for step in range(4)]
    assert [value / far[0] for value in far] == pytest.approx([1, 0.75, 0.5, 0.25], rel=0.01)
    by_epoch = method_with(COOP, "--coop_epochs 4 --coop_anneal True").adversarial
    assert [by_epoch.length(Position(epoch=epoch)) for epoch in (1, 2, 4, 5)] == [1, 0.75, 0.25, 1]


def test_keep_and_negatives_are_not_given_together() -> None:
    with pytest.raises(OptionError, match="coop_negatives"):
        method_with("--coop_keep 0.5 --coop_negatives 0.5")
    assert options_of("--coop_negatives 0.5").coop_keep == 0


@pytest.mark.parametrize("flags", ["--coop_every 2", "--coop_anneal True", "--coop_reset D"])
def test_what_would_do_nothing_is_refused(flags: str) -> None:
    with pytest.raises(OptionError, match=flags.split()[0]):
        method_with(flags)


@pytest.mark.parametrize("name", ["R1", "R2"])
def test_penalties_of_the_slope_fall_along_a_cosine(name: str) -> None:
    trainer = trainer_with(f"--lambda_{name} 2 --R_anneal 100")
    at = [losses(trainer, Position(step=step))[f"D_{name}"] for step in (0, 50, 100, 1000)]
    assert at[0] > 0
    assert [value / at[0] for value in at] == pytest.approx([1, 0.55, 0.1, 0.1], rel=1e-4)


def test_lecam_begins_at_its_step_with_the_means_of_the_scores() -> None:
    method = method_with("--lambda_lecam 0.3 --lecam_start 2")
    trainer, D = trainer_of(method), method.networks["D"]
    real = float(D(batch()["B"]).detach().mean())
    assert "D_lecam" not in losses(trainer, Position(step=1))
    stabilizers = method.adversarial.adversarial.stabilizers
    assert float(stabilizers.anchors[0]) == pytest.approx(real, abs=1e-6)
    assert losses(trainer, Position(step=2))["D_lecam"] > 0
