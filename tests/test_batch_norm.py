"""--normG batch: A and B are translated in one batch, and encoded in CUT's order, which the running statistics show."""

import copy

import torch

from coopcut.engine.position import Position
from tests.steps import batch, method_with, trainer_of


def test_passes_of_a_step_are_those_of_cut() -> None:
    """CUT: G(A and B together); then the features of fake_B, of A, of idt_B, of B."""
    method = method_with("--normG batch --nce_layers 0,4,8")
    trainer, images = trainer_of(method), batch()
    by_hand = copy.deepcopy(method.G.net)
    both = torch.cat([images["A"], images["B"]])
    with torch.no_grad():
        fake_B, idt_B = by_hand(both).split(2)
        for queries_and_keys in (fake_B, images["A"], idt_B, images["B"]):
            x = queries_and_keys
            for module in list(by_hand.model)[:9]:
                x = module(x)
    output = trainer.step(images, Position())
    torch.testing.assert_close(output.images["fake_B"], fake_B, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output.images["idt_B"], idt_B, rtol=1e-5, atol=1e-6)
    found, expected = method.G.net.state_dict(), by_hand.state_dict()
    statistics = [name for name in expected if "running" in name or "tracked" in name]
    assert len(statistics) > 10
    for name in statistics:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)
