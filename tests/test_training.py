"""Training as a user runs it: exact continuation, the switch of phase, schedules, stopping, files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import train
from data.batch import Batch
from models import create_model
from models.coopcut import CoopCUT
from models.cut import CUT
from models.schedule import create_scheduler
from tests.tools import make_images, train_options
from util.errors import CheckpointError, NonFiniteLossError
from util.guard import FiniteGuard
from util.lock import lock_folder
from util.position import Position

TINY = [
    "--ngf",
    "4",
    "--ndf",
    "4",
    "--netF_nc",
    "8",
    "--num_patches",
    "16",
    "--netG",
    "resnet_4blocks",
    "--load_size",
    "36",
    "--crop_size",
    "32",
    "--gpu_ids",
    "-1",
    "--display_id",
    "0",
    "--print_freq",
    "1",
    "--seed",
    "3",
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    make_images(root / "trainA", 5, 40)
    make_images(root / "trainB", 7, 40)
    return root


def run(images: Path, name: str, *flags: str) -> dict[str, Any]:
    """Train in this process; returns the saved state."""
    folder = images.parent / "checkpoints"
    argv = ["--dataroot", str(images), "--checkpoints_dir", str(folder), "--name", name, *TINY, *flags]
    assert train.main(argv) == 0
    return torch.load(folder / name / "latest_state.pth", weights_only=True)


def same(a: Any, b: Any, path: str = "") -> None:
    """Assert equality, bit for bit, of nested states."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}/{i}")
    else:
        assert a == b, path


CASES = {
    "cut": ["--model", "cut", "--ema", "0.9"],
    "workers": ["--model", "cut", "--num_threads", "2", "--batch_size", "2"],
    "fastcut": ["--model", "cut", "--CUT_mode", "FastCUT", "--n_epochs", "2", "--n_epochs_decay", "1"],
    "coop": ["--model", "coopcut", "--coop_iters", "4", "--langevin_noise", "0.01", "--coop_data_noise", "0.01"],
    "coop_epochs": ["--model", "coopcut", "--coop_epochs", "1", "--ema", "0.5", "--langevin_steps", "3"],
    "pool_dropout_plateau": ["--model", "cut", "--pool_size", "2", "--no_dropout", "False", "--lr_policy", "plateau"],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("first", [3, 7])  # in the middle of the first epoch of 7 samples; at its very end
def test_interrupted_training_is_the_same_bit_for_bit(images: Path, case: str, first: int) -> None:
    flags = ["--num_threads", "0", "--n_epochs", "2", "--n_epochs_decay", "2", *CASES[case]]
    whole = run(images, "whole", *flags, "--max_iters", "9")
    run(images, "parts", *flags, "--max_iters", str(first))
    parts = run(images, "parts", "--continue_train", "--max_iters", "9")
    assert whole["position"] == parts["position"]
    assert whole["position"]["step"] == 9
    same(whole["model"], parts["model"])
    same(whole["mean_loss"], parts["mean_loss"])
    logs = [
        [
            (r["step"], r["losses"])
            for r in map(json.loads, (images.parent / f"checkpoints/{name}/losses.jsonl").read_text().splitlines())
        ]
        for name in ("whole", "parts")
    ]
    assert logs[0] == logs[1]


def test_workers_and_seed(images: Path) -> None:
    one = run(images, "one", "--num_threads", "0", "--max_iters", "4")
    two = run(images, "two", "--num_threads", "2", "--max_iters", "4")
    same(one["model"], two["model"])
    other = run(images, "other", "--num_threads", "0", "--max_iters", "4", "--seed", "4")
    assert not torch.equal(
        one["model"]["networks"]["G"]["model.1.weight"], other["model"]["networks"]["G"]["model.1.weight"]
    )


@pytest.mark.parametrize("mode", ["CUT", "FastCUT"])
def test_coopcut_without_warmup_is_cut(images: Path, mode: str) -> None:
    flags = ["--CUT_mode", mode, "--num_threads", "0", "--max_iters", "8"]
    plain = run(images, "plain", "--model", "cut", *flags)
    coop = run(images, "coop", "--model", "coopcut", "--coop_epochs", "0", *flags)
    same(plain["model"], coop["model"])


def coop_model(*flags: str) -> CoopCUT:
    opt = train_options(["--model", "coopcut", *TINY, *flags])
    torch.manual_seed(0)
    model = create_model(opt, [torch.device("cpu")])
    assert isinstance(model, CoopCUT)
    return model


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    A, B = (torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    return Batch(A, B, ["a", "b"], ["c", "d"])


def real() -> torch.Tensor:
    B = batch().B
    assert B is not None
    return B


def test_switch_has_no_jump_on_the_real_images() -> None:
    """With g = D - 1/2, LSGAN's loss on the real images is g^2 - g + 1/4 of the energy that the warm-up ends with."""
    model = coop_model("--coop_iters", "1")
    model.networks["D"].last.bias.data += 0.3  # type: ignore[union-attr, operator]
    for optimizer in model.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0
    g = (model.D(batch().B) - 0.5).detach()
    before = model.step(batch(), Position(step=0)).losses
    after = model.step(batch(), Position(step=1)).losses
    assert "f_real" in before
    assert "D_real" in after
    assert float(before["f_real"]) == pytest.approx(float(g.mean()), abs=1e-6)
    assert float(after["D_real"]) == pytest.approx(float((g.square() - g).mean()) + 0.25, rel=1e-5)
    assert float(before["f_fake"]) != pytest.approx(float(before["f_real"]), abs=1e-6)


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "nonsaturating", "hinge", "wgangp"])
def test_energies_start_at_zero_and_every_mode_takes_over(mode: str) -> None:
    model = coop_model("--coop_iters", "2", "--gan_mode", mode, "--langevin_steps", "2")
    first = model.step(batch(), Position(step=0)).losses
    assert abs(float(first["f_real"])) < 0.01
    model.step(batch(), Position(step=1))
    f_real = float(model.f(real()).detach().mean())
    scores = float(model.D(batch().B).detach().mean())
    assert scores - f_real == pytest.approx(0.5 if mode == "lsgan" else 0.0, abs=1e-6)
    after = model.step(batch(), Position(step=2))
    assert all(bool(loss.isfinite()) for loss in after.losses.values())
    assert "revised_B" not in after.images


def test_warmup_step_reports_and_shows() -> None:
    model = coop_model("--langevin_step_size", "5")
    model.networks["D"].last.weight.data.mul_(50)  # type: ignore[union-attr, operator]
    out = model.step(batch(), Position())
    assert float(out.losses["f_revised"]) > float(out.losses["f_fake"])
    assert float(out.losses["gap"]) == pytest.approx(float(out.losses["f_real"] - out.losses["f_revised"]), abs=1e-6)
    moved = (out.images["revised_B"] - out.images["fake_B"]).abs()
    assert float(moved.mean()) == pytest.approx(float(out.losses["displacement"]), rel=1e-5)
    assert float(moved.max()) <= 15 * 0.01 + 1e-6  # steps * clip
    assert float(out.losses["teach"]) == pytest.approx(float(moved.square().mean()), rel=1e-5)
    assert set(out.images) == {"real_A", "fake_B", "real_B", "idt_B", "revised_B"}


def test_discriminator_learns_only_in_its_own_update() -> None:
    model = coop_model()
    model.optimizers["D"].param_groups[0]["lr"] = 0.0
    before = {name: value.clone() for name, value in model.networks["D"].state_dict().items()}
    model.step(batch(), Position())
    same(before, dict(model.networks["D"].state_dict()))
    gradients = [p.grad.clone() for p in model.networks["D"].parameters() if p.grad is not None]
    model.revise(real())
    same(gradients, [p.grad for p in model.networks["D"].parameters() if p.grad is not None])


HEALTHY = {"f_revised": 0.1, "f_fake": 0.0, "displacement": 0.05, "saturated": 0.0, "saturated_real": 0.0, "gap": 0.1}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, None),
        ({"f_revised": -0.1}, "--langevin_step_size"),
        ({"displacement": 0.0001}, "raise --langevin_step_size"),
        ({"displacement": 0.5}, "lower --langevin_step_size"),
        ({"saturated": 0.9}, "saturates"),
        ({"gap": 3.0}, "--lambda_energy"),
    ],
)
def test_advice_names_the_option(change: dict[str, float], word: str | None) -> None:
    advice = coop_model().advice({**HEALTHY, **change}, Position(step=500))
    assert len(advice) == (word is not None)
    assert word is None or word in advice[0]


def test_phase_is_a_function_of_the_position() -> None:
    model = coop_model("--coop_epochs", "2")
    assert [model.phase(Position(epoch=e)) for e in (1, 2, 3)] == ["cooperative", "cooperative", "adversarial"]
    model = coop_model("--coop_iters", "5")
    assert [model.phase(Position(step=s)) for s in (4, 5)] == ["cooperative", "adversarial"]


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


def test_weights_that_are_not_finite_are_never_saved(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(images, "huge", "--num_threads", "0", "--max_iters", "2")
    folder = images.parent / "checkpoints/huge"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".pth", ".json")}
    # an update that breaks the weights after a loss that was finite
    monkeypatch.setattr(CUT, "update_ema", lambda self: self.networks["G"].model[1].bias.data.fill_(float("nan")))
    with pytest.raises(NonFiniteLossError, match=r"netG is no longer finite at step 3"):
        run(images, "huge", "--continue_train", "--lr", "0.1", "--max_iters", "3")
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".pth", ".json")}


def test_one_training_at_a_time(images: Path) -> None:
    run(images, "busy", "--num_threads", "0", "--max_iters", "1")
    held = lock_folder(images.parent / "checkpoints/busy")
    assert held is not None
    with pytest.raises(CheckpointError, match="in use by another training"):
        run(images, "busy", "--continue_train", "--max_iters", "2")
    os.close(held)
    run(images, "busy", "--continue_train", "--max_iters", "2")


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_revision_leaves_every_entry_of_D(norm: str) -> None:
    model = coop_model("--normD", norm, "--normG", norm)
    before = {name: value.clone() for name, value in model.networks["D"].state_dict().items()}
    model.revise(real())
    same(before, dict(model.networks["D"].state_dict()))


def test_flipped_fastcut_contrasts_with_the_unflipped_input() -> None:
    model = coop_model("--coop_epochs", "0", "--CUT_mode", "FastCUT")
    model.rng.coin = lambda: True  # type: ignore[method-assign]
    A = batch().A
    out = model.forward(A, real())
    torch.testing.assert_close(out.fake_B, model.G(A.flip(3)))
    for key, feature in zip(out.keys_A, model.G(A, model.layers, True), strict=True):
        torch.testing.assert_close(key, feature)
    straight = model.nce(out.fake_B, out.keys_A, False)
    assert float(model.nce(out.fake_B, out.keys_A, True)) != pytest.approx(float(straight), rel=1e-6)


def test_every_n_fires_for_any_batch_size() -> None:
    for size in (1, 3, 7, 10):
        position, fired = Position(), 0
        while position.images < 210:
            position.advance(size)
            fired += position.crossed(20, size)
        assert fired == position.images // 20


def test_files_of_a_run(images: Path) -> None:
    flags = ["--num_threads", "0", "--n_epochs", "2", "--n_epochs_decay", "1", "--save_epoch_freq", "2", "--ema", "0.5"]
    run(images, "files", *flags, "--save_latest_freq", "5", "--save_by_iter", "--update_html_freq", "3")
    folder = images.parent / "checkpoints/files"
    names = {path.name for path in folder.iterdir()}
    for label in ("latest", "2", "iter_5", "iter_10", "iter_20"):
        assert {f"{label}_net_{net}.pth" for net in ("G", "F", "D", "G_ema")} <= names
    assert not {name for name in names if name.startswith(("1_net", ".", "iter_7"))}
    lines = (folder / "loss_log.txt").read_text().splitlines()
    assert re.fullmatch(r"\(epoch: 1, iters: 1, time: \d+\.\d{3}, data: \d+\.\d{3}\) (\w+: -?\d+\.\d{3} )+", lines[1])
    records = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == list(range(1, 22))
    assert records[0]["phase"] == "adversarial"
    assert records[-1]["lr"] == pytest.approx(2e-4 * 1 / 2)
    page = (folder / "web/index.html").read_text()
    for epoch in (1, 2, 3):
        for label in ("real_A", "fake_B", "real_B", "idt_B"):
            assert f"images/epoch{epoch:03d}_{label}.png" in page
            assert Image.open(folder / f"web/images/epoch{epoch:03d}_{label}.png").size == (32, 32)
    saved = json.loads((folder / "train_opt.json").read_text())
    assert saved["ngf"] == 4
    assert saved["max_iters"] == "inf"


def test_page_does_not_grow_with_the_epochs(tmp_path: Path) -> None:
    from util.monitors.html import EPOCHS_PER_PAGE, HtmlPage

    page = HtmlPage(tmp_path, "<b>run</b>", 1, 64)
    sizes = []
    for epoch in range(1, 3 * EPOCHS_PER_PAGE + 1):
        page.show(Position(epoch=epoch), {"fake_B": torch.zeros(1, 3, 8, 8)})
        sizes.append(len((tmp_path / "web/index.html").read_text()))
    assert max(sizes) < 1.1 * sizes[EPOCHS_PER_PAGE - 1]
    text = (tmp_path / "web/index.html").read_text()
    assert "&lt;b&gt;run" in text
    assert "<b>run" not in text
    assert 'href="epochs_001.html"' in text
    assert (tmp_path / "web/epochs_000.html").exists()


def test_a_failing_monitor_is_dropped_and_training_goes_on(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from util.monitors.html import HtmlPage

    def fail(*arguments: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(HtmlPage, "show", fail)
    a = run(images, "failing", "--num_threads", "0", "--max_iters", "4", "--update_html_freq", "1")
    b = run(images, "without", "--num_threads", "0", "--max_iters", "4", "--no_html")
    same(a["model"], b["model"])


def test_non_finite_loss_names_loss_step_and_files(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(images, "nan", "--num_threads", "0", "--max_iters", "2")
    state = images.parent / "checkpoints/nan/latest_state.pth"
    before = state.read_bytes()
    from models import cut

    original, calls = cut.patch_nce, []

    def broken(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return original(*arguments) * (float("nan") if len(calls) > 20 else 1)

    monkeypatch.setattr(cut, "patch_nce", broken)
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_training_continues_exactly(images: Path, number: signal.Signals, code: int) -> None:
    folder = images.parent / "checkpoints"
    flags = ["--dataroot", str(images), "--checkpoints_dir", str(folder), "--name", "stopped", *TINY]
    command = [sys.executable, "train.py", *flags, "--num_threads", "1", "--model", "coopcut", "--coop_iters", "3"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # sums depend on their number
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    log, deadline = folder / "stopped/losses.jsonl", time.time() + 120
    while time.time() < deadline and (not log.is_file() or log.read_text().count("\n") < 2):
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "--continue_train" in output
    assert "Traceback" not in output
    stopped = torch.load(folder / "stopped/latest_state.pth", weights_only=True)
    steps = stopped["position"]["step"]
    assert steps >= 2
    whole = run(
        images, "whole", "--num_threads", "0", "--model", "coopcut", "--coop_iters", "3", "--max_iters", str(steps)
    )
    same(whole["model"], stopped["model"])


def test_pretrained_weights_start_a_new_run(images: Path) -> None:
    first = run(images, "first", "--num_threads", "0", "--max_iters", "3")
    folder = images.parent / "checkpoints"
    flags = ["--num_threads", "0", "--pretrained_name", "first", "--lr", "1e-30", "--max_iters", "1"]
    second = run(images, "second", *flags)
    for net in ("G", "F", "D"):
        same(first["model"]["networks"][net], second["model"]["networks"][net])
    assert second["position"]["step"] == 1
    assert (folder / "first/latest_state.pth").exists()


def test_continue_from_weights_alone_as_cut_does(images: Path) -> None:
    run(images, "old", "--num_threads", "0", "--max_iters", "3")
    (images.parent / "checkpoints/old/latest_state.pth").unlink()
    state = run(images, "old", "--continue_train", "--epoch_count", "5", "--max_iters", "2")
    assert state["position"]["epoch"] == 5
