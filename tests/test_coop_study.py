"""The study of the cooperative start: runs, resuming, tables."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import coop_study
from benchmarks.coop.arms import ARMS, SMALL
from benchmarks.coop.measure import Data
from benchmarks.coop.pictures import read_strip
from benchmarks.coop.report import arms_table, plot_sweeps, read_runs, sweep_tables, warmup_end
from benchmarks.coop.run import train
from benchmarks.coop.sweeps import (
    REDUCTIONS,
    SWITCH_SWEEPS,
    WARMUP_SWEEPS,
    arm_of,
    sweep_arms,
)
from benchmarks.coop.variants import EnergySums, ImageEnergy, TeachingSums
from benchmarks.ready import options, trainer_of
from coopcut.datasets.make_toy import Settings, make_dataset
from coopcut.models.coopcut import CoopCUT
from coopcut.objectives.cooperative import Cooperative
from coopcut.util.errors import OptionError

pytestmark = pytest.mark.slow
pytest.importorskip("torchmetrics", reason="the package torchmetrics is not installed")
pytest.importorskip("prdc", reason="the package prdc is not installed")
pytest.importorskip("matplotlib", reason="the package matplotlib is not installed")


def test_runs_are_made_once_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coop_study, "TIMED", 1)
    flags = ["--out", str(tmp_path / "out"), "--steps", "20", "--warmup", "4", "--images", "8", "--test_images", "8"]
    flags += ["--seeds", "1", "--flags", "--ngf 4 --ndf 4"]
    arms = ["--arms", "cut", "coopcut, equal time", "supervised"]
    assert coop_study.main([*flags, *arms]) == 0
    runs = read_runs(tmp_path / "out")
    assert {arm: sorted(seeds) for arm, seeds in runs.items()} == {arm: [1] for arm in arms[1:]}
    coop = runs["coopcut, equal time"][1]
    assert [row["step"] for row in runs["cut"][1]["rows"]] == list(range(2, 21, 2))
    assert "gap" in coop["rows"][0]["losses"]
    assert not any("gap" in row["losses"] for row in [*coop["rows"][4:], *runs["cut"][1]["rows"]])
    assert all(sum(row["ema"]["shown"]) == 8 for row in coop["rows"])
    assert "KID" in coop["rows"][-3]["raw"]
    assert coop["steps"] == 20 - round((coop["cost"] - 1) * 4)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.json")}
    assert coop_study.main([*flags, *arms]) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.json")} == files
    before = json.loads((tmp_path / "out" / "cut_1.json").read_text())
    (tmp_path / "out" / "cut_1.json").unlink()
    assert coop_study.main([*flags, "--arms", "cut"]) == 0
    after = json.loads((tmp_path / "out" / "cut_1.json").read_text())
    assert [row["raw"] for row in after["rows"]] == [row["raw"] for row in before["rows"]]
    assert coop_study.main(["--out", str(tmp_path / "out"), "--report", str(tmp_path)]) == 0
    assert (tmp_path / "coop_arms.png").stat().st_size > 1000
    assert (tmp_path / "coop_pictures.png").stat().st_size > 1000
    strips = tmp_path / "out" / "coopcut_equal_time_1"
    start, revised = (read_strip(strips, name) for name in ("fake_B, warm-up", "revised_B"))
    assert start.shape == (8, 3, 32, 32)
    assert 0.001 < (start - revised).abs().mean() < 0.15


def test_a_short_run_ends_with_the_warmup_and_a_variant_is_trained(tmp_path: Path) -> None:
    flags = ["--dataroot", ".", *SMALL, "--ngf", "4", "--ndf", "4", "--model", "coopcut", "--coop_iters", "10"]
    out = tmp_path / "out"
    make_dataset(tmp_path / "toy", Settings(size=32, train=8, test=8, seed=0, cue=0.25))
    data = Data.load(tmp_path / "toy")
    arms = sweep_arms()
    coop_study.one_run(data, out, "warm-up", arms["warm-up"], flags, 99)
    noise = train(data, [*flags, "--langevin_noise", "0.01"], 10)  # its pictures are more than a batch has
    assert float((noise.pictures["revised_B"] - noise.pictures["fake_B, warm-up"]).abs().mean()) > 0.005
    run = read_runs(out)["warm-up"][0]
    assert [row["step"] for row in run["rows"]] == list(range(1, 11))
    assert all("gap" in row["losses"] for row in run["rows"])
    kept, new_D = (train(data, flags, 14, variant=v).rows for v in (None, arms["switch=new optimizer of D"].variant))
    for one, other in zip(kept, new_D, strict=True):  # equal up to the switch, at step 11, and not after it
        assert (one["losses"] == other["losses"]) == (one["step"] <= 10)
    unshifted = train(data, flags, 4, variant=arms["switch=no bias shift"].variant).rows
    assert unshifted[0]["losses"]["f_real"] == pytest.approx(kept[0]["losses"]["f_real"], abs=0.2)


def test_tables_hold_means_and_paired_tests(tmp_path: Path) -> None:
    def run(arm: str, seed: int, kl: float) -> dict[str, object]:
        figures = dict.fromkeys(("covered", "KID", "coverage", "true_look", "RMSE"), 1.0) | {"reverse_KL": kl}
        losses = {"gap": 0.5, "displacement": 0.1, "f_revised": 0.3, "f_fake": 0.1}
        row = {"step": 1, "raw": figures, "ema": figures, "losses": losses, "advice": ["too far; lower it"]}
        return {"arm": arm, "seed": seed, "rows": [row]}

    cut = {seed: run("cut", seed, kl) for seed, kl in enumerate((0.5, 0.7, 0.9))}
    coop = {seed: run("coopcut", seed, kl) for seed, kl in enumerate((0.4, 0.5, 0.6))}
    table = arms_table({"cut": cut, "coopcut": coop}, list(ARMS), "EMA")
    assert "0.7 \u00b1 0.2" in table[2]
    # differences 0.1, 0.2, 0.3: t = 0.2 / (0.1 / sqrt 3) = 3.46 with 2 degrees of freedom, p = 0.074
    assert "0.5 \u00b1 0.1 (p 0.074)" in table[3]
    assert "(equal)" in table[3]
    assert warmup_end(cut[0])["gain"] == pytest.approx(0.2)
    runs = {"lambda_coop=1": cut, "warm-up": coop, "reduction=summed teaching": cut}
    sweeps = {swept: WARMUP_SWEEPS[swept] for swept in ("lambda_coop", "loss reduction")}
    rows = sweep_tables(runs, sweeps)
    assert len(rows) == 6
    assert "| `--lambda_coop 1` | 3 | 0.5 | 0.1 | 0.2 | too far (1) |" in rows[2]
    assert rows[3].startswith("| `--lambda_coop 10` | 3 |")  # the default
    assert rows[4].startswith("| `loss reduction: means` | 3 |")
    assert "| `loss reduction: summed teaching` | 3 | 0.5 |" in rows[5]
    plot_sweeps(runs, sweeps, tmp_path / "sweeps.png")
    with Image.open(tmp_path / "sweeps.png") as plot:
        width = plot.width
    plot_sweeps(runs, {"lambda_coop": sweeps["lambda_coop"]}, tmp_path / "sweeps.png")
    with Image.open(tmp_path / "sweeps.png") as plot:  # a column for each sweep
        assert plot.width == width // 2


def test_reductions_are_what_their_names_say() -> None:
    f_revised, f_real = (
        torch.tensor(values).reshape(2, 1, 1, 3) for values in ([0.0, 1, 2, 3, 4, 5], [1.0, 0, 1, 0, 1, 0])
    )
    x0, x_T = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)

    def losses(variant: type[CoopCUT]) -> tuple[float, float]:
        opt = options(["--model", "coopcut", *SMALL, "--ngf", "4", "--ndf", "4", "--lambda_energy", "0.1"])
        coop = trainer_of(opt, variant).method.objectives["adversarial"]
        assert isinstance(coop, Cooperative)
        return float(coop.likelihood(f_revised, f_real)), float(coop.teaching(x0, x_T))

    means = 2.5 - 0.5 + 0.1 * (55 / 6 + 3 / 6)
    assert losses(CoopCUT) == pytest.approx((means, 0.25))
    assert losses(TeachingSums) == pytest.approx((means, 0.25 * 48))
    assert losses(EnergySums) == pytest.approx((3 * means, 0.25))
    # sums over the patches of an image: 3 and 12, 2 and 1
    assert losses(ImageEnergy) == pytest.approx((7.5 - 1.5 + 0.1 * ((9 + 144) / 2 + (4 + 1) / 2), 0.25))
    assert set(REDUCTIONS.values()) == {TeachingSums, EnergySums, ImageEnergy}


def test_values_at_their_default_share_one_run() -> None:
    assert arm_of("coop_iters", "200") == "coopcut"
    assert arm_of("lambda_coop", "10") == arm_of("langevin_steps", "15") == "warm-up"
    assert arm_of("lambda_coop", "1") == "lambda_coop=1"
    assert (arm_of("langevin_stop", "False"), arm_of("langevin_stop", "True")) == ("coopcut", "langevin_stop=True")
    arms = [*WARMUP_SWEEPS.values(), *SWITCH_SWEEPS.values()]
    assert {arm for values in arms for arm in values.values()} == {"coopcut", *sweep_arms()}
    assert all(len(set(values.values())) == len(values) for values in arms)  # no value is the run of another


def test_unknown_arms_are_named(tmp_path: Path) -> None:
    flags = ["--out", str(tmp_path / "out")]
    for more, known in (["--arms", "cut", "cat"], "coopcut"), (["--sweep", "--arms", "cut"], "lambda_coop=1, "):
        with pytest.raises(OptionError, match=f"--arms: '{more[-1]}' is unknown; known: .*{known}"):
            coop_study.main([*flags, *more])
    assert not (tmp_path / "out").exists()


def test_every_arm_and_every_value_of_a_sweep_parses() -> None:
    for name, arm in (ARMS | sweep_arms()).items():
        opt = options([*SMALL, *("7" if flag == "WARMUP" else flag for flag in arm.flags)])
        if "=" in name and arm.variant is None:
            option, value = name.split("=")
            found = getattr(opt, option)
            assert str(found) == value or float(found) == float(value)
