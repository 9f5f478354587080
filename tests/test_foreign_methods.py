"""A method of another project: found by path or entry point, and given all that the engine does by its parts alone."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.tools import TINY, losses_of, refused, run, translate

CODE = '''
from coopcut.models import Method
from coopcut.objectives.adversarial import Adversarial
from coopcut.objectives.cooperative import Cooperative
from coopcut.engine.step import Losses, minimize
from coopcut.networks import NET_G
from coopcut.options.option import Option


class Near(Method):
    """Translations that look real and stay near their source."""

    options = (NET_G, Option("lambda_near", 2.0, "weight of the distance", low=0))
    components = (Adversarial, Cooperative)

    def __init__(self, opt, runtime):
        super().__init__(opt, runtime)
        self.G = self.add_generator()
        self.adversarial = self.add("adversarial", Cooperative(opt, Adversarial(opt, self.discriminator("B"))))

    def step(self, batch, ctx):
        fake = self.G(batch["A"])
        duel = yield from self.adversarial.duel(fake.detach(), batch["B"], ctx)
        yield minimize(duel.d_loss(), "D")
        near = (fake - batch["A"]).abs().mean()
        total = Losses(self.opt.lambda_near * near, {"near": near.detach()}) + duel.g_loss(fake)
        yield minimize(total.labeled("G"), "G")
        return {"real_A": batch["A"], "fake_B": fake, "real_B": batch["B"]}


def function(opt, runtime): ...
'''


@pytest.fixture
def foreign(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`place`, with a package that Python can import, and what an installation notes of its entry points."""
    site = place / "site"
    (site / "theirs").mkdir(parents=True)
    (site / "theirs" / "__init__.py").touch()
    (site / "theirs" / "near.py").write_text(CODE)
    (site / "theirs" / "broken.py").write_text("import nothing_of_that_name\n")
    notes = site / "theirs-1.0.dist-info"
    notes.mkdir()
    (notes / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (notes / "entry_points.txt").write_text("[coopcut.methods]\nnear = theirs.near:Near\n")
    monkeypatch.syspath_prepend(site)
    yield place
    for name in [name for name in sys.modules if name.split(".")[0] == "theirs"]:
        del sys.modules[name]


@pytest.mark.parametrize("model", ["near", "theirs.near:Near"])
def test_a_foreign_method_trains_with_a_cooperative_start_resumes_and_translates(foreign: Path, model: str) -> None:
    more = "--coop_iters 2 --coop_fade 1 --ema 0.9 --batch_size 2 --accumulation_steps 2 --lambda_near 3 --seed 1"
    flags = ["--dataroot", "data", "--model", model, *TINY_WITHOUT_F, *more.split(), "--print_freq", 2]
    for name, steps in (("whole", 4), ("tiny", 2)):
        outcome = run("train", *flags, "--name", name, "--max_iters", steps)
        assert (outcome.code, outcome.err) == (0, ""), outcome
    assert run("train", "--name", "tiny", "--continue_train", "--gpu_ids", -1, "--max_iters", 4).code == 0
    whole, parts = (torch.load(f"checkpoints/{n}/latest_state.pth", weights_only=True) for n in ("whole", "tiny"))
    for network in ("G", "D"):
        for key, value in whole["model"]["networks"][network].items():
            assert torch.equal(value, parts["model"]["networks"][network][key]), (network, key)
    for record in losses_of(foreign / "checkpoints" / "whole"):
        kind = {"teach", "f_revised"} if record["step"] <= 2 else {"teach", "D_fake", "G_GAN"}
        assert kind | {"near", "G"} <= record["losses"].keys()
    translate("--dataroot", "data")
    assert len(list(Path("results").rglob("fake_B/*.png"))) == 3
    text = run("train", "--model", model, "--help").out
    assert "--lambda_near X" in text
    assert "--coop_epochs N" in text
    assert "--lambda_NCE" not in text


TINY_WITHOUT_F = [flag for flag in TINY if flag not in ("--netF_nc", "8", "--num_patches", "16")]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("far", ("--model: 'far' is not one of", "near")),
        ("theirs.nowhere:Near", ("theirs.nowhere:Near cannot be imported", "No module named 'theirs.nowhere'")),
        ("theirs.near:Far", ("theirs.near:Far cannot be imported", "has no attribute 'Far'")),
        ("theirs.broken:Near", ("cannot be imported", "No module named 'nothing_of_that_name'")),
        ("theirs.near:function", ("theirs.near:function is not a subclass of coopcut.models.Method",)),
        ("coopcut.models:Method", ("coopcut.models:Method is not a subclass",)),
    ],
)
def test_what_is_no_method_is_refused(foreign: Path, model: str, says: tuple[str, ...]) -> None:
    refused("train", ["--dataroot", "data", "--name", "new", "--model", model], *says)
