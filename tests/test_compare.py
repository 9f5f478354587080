"""compare.py: what is run, what it may cost, what the tables say, and that a finished run is not done again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel

import compare
import train
from coopcut import Translator
from coopcut.comparison import cost, tables
from coopcut.comparison.plan import Candidate, Job, parse_seeds, steps_per_epoch
from coopcut.datasets.beds.digits import digits
from coopcut.datasets.beds.folder import Settings, write_bed
from coopcut.images.io import read_image
from coopcut.util.errors import OptionError
from tests.tools import ROOT, TINY_NETWORKS, make_images, train_options
from tests.visdom_tools import until

FLAGS = " ".join([*TINY_NETWORKS, "--preprocess none --batch_size 2 --gpu_ids -1 --netD n_layers --n_layers_D 1"])


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("beds") / "digits"
    write_bed(root, *digits(Settings(size=16, images=6, target=5, test=10)))
    return root


def run(bed: Path, out: Path, *flags: str) -> int:
    told = ["--dataroot", str(bed), "--out", str(out), "--flags", FLAGS, "--jobs", "1", *flags]
    return compare.main(told)


def test_seeds() -> None:
    assert parse_seeds("1-3,7") == [1, 2, 3, 7]
    for wrong in ("", "a", "1-", "2,2", "3-1"):
        with pytest.raises(OptionError, match="--seeds"):
            parse_seeds(wrong)


def test_steps_that_a_budget_pays_for() -> None:
    """A start of 100 steps at 1.5 and the rest at 2: 1000 pay for 100 + 425. A start that is too long is cut."""
    opt = train_options("--model coopcut --coop_iters 100".split())
    assert cost.steps_for(opt, [1.5, 2.0], 1000) == 525
    assert cost.steps_for(opt, [1.5, 2.0], 90) == 60
    assert cost.steps_for(train_options(["--model", "cut"]), [1.25], 1000) == 800
    assert cost.steps_for(train_options(["--model", "cut"]), [3.0], 1) == 1


def test_operations_count_what_a_revision_adds(bed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T steps of the revision are T passes of D and T gradients by its input: the cost grows in a straight line."""
    candidates = [
        Candidate("cut"),
        *(Candidate(f"cut --coop_negatives 0.5 --langevin_steps {steps}") for steps in (2, 4, 6)),
    ]
    plain = cost._at_defaults
    small = [*FLAGS.split(), "--load_size", "64", "--crop_size", "64"]
    monkeypatch.setattr(cost, "_at_defaults", lambda candidate: [*plain(candidate), *small])
    found = cost.operation_costs(candidates, bed)
    one, two, three, four = (found[each.text][0] for each in candidates)
    assert one == 1
    assert three - two == pytest.approx(four - three, rel=1e-6)
    assert three > two > one


def test_a_job_is_a_training_of_its_steps(bed: Path, tmp_path: Path) -> None:
    job = Job(Candidate("coopcut --coop_iters 4", ("--batch_size", "2")), bed, 3, 10, tmp_path)
    assert steps_per_epoch(job.candidate.options(bed)) == 3
    opt = train_options(job.flags())
    assert (opt.model, opt.seed, opt.max_iters, opt.coop_iters) == ("coopcut", 3, 10, 4)
    assert (opt.n_epochs, opt.n_epochs_decay) == (2, 2)  # 4 epochs hold 12 steps
    others = [
        Job(Candidate("coopcut --coop_iters 5", ("--batch_size", "2")), bed, 3, 10, tmp_path),
        Job(Candidate("coopcut --coop_iters 4", ("--batch_size", "3")), bed, 3, 10, tmp_path),
        Job(Candidate("coopcut --coop_iters 4", ("--batch_size", "2")), bed, 3, 11, tmp_path),
    ]
    assert len({each.path for each in (job, *others)}) == 4


def made(values: list[float], steps: int = 10) -> dict[int, Any]:
    """Runs whose KID falls from 1 to a value."""
    rows = [[{"step": steps // 2, "seconds": 1.0, "figures": {"KID": 1.0}},
             {"step": steps, "seconds": 2.0, "figures": {"KID": value}}] for value in values]  # fmt: skip
    return {seed: {"steps": steps, "rows": row} for seed, row in enumerate(rows, 1)}


def test_table_of_means_and_paired_tests() -> None:
    base, ours = [0.4, 0.5, 0.6, 0.45], [0.3, 0.45, 0.5, 0.46]
    rows = tables.rows({"cut": made(base), "new": made(ours, 8)}, {"input": {"KID": 2.0}}, ["cut", "new"], "KID")
    assert [row["method"] for row in rows] == ["input", "cut", "new"]
    assert rows[2]["KID"] == pytest.approx(np.mean(ours))
    assert rows[2]["KID sd"] == pytest.approx(np.std(ours, ddof=1))
    assert rows[2]["KID p"] == pytest.approx(float(ttest_rel(ours, base).pvalue))
    assert (rows[2]["KID better"], rows[2]["KID pairs"]) == (3, 4)
    assert rows[1][tables.AREA] == pytest.approx((1 + np.mean(base)) / 2)
    text = tables.markdown(rows)
    assert "| `new` | 4 | 8 | 0.427 ± 0.088 (p 0.11, 3/4) | 0.714 |" in text
    assert r"\texttt{new} & $0.427 \pm 0.088$ \\" in tables.latex(rows)


def test_a_comparison_and_its_going_on(bed: Path, tmp_path: Path) -> None:
    methods = ["--runs", "cut", "cut --coop_negatives 0.5 --langevin_steps 2", "supervised"]
    length = ["--equal", "steps", "--budget", "8", "--primary", "RMSE"]
    assert run(bed, tmp_path, *methods, *length, "--seeds", "1") == 0
    folder = tmp_path / "digits"
    files = sorted(folder.glob("*/1.json"))
    assert len(files) == 3
    for path in files:
        found = json.loads(path.read_text())
        assert [row["step"] for row in found["rows"]] == list(range(1, 9))
        assert {"KID", "RMSE", "accuracy", "covered"} <= set(found["rows"][-1]["figures"])
        assert np.diff([row["seconds"] for row in found["rows"]]).min() > 0
        assert path.with_suffix(".png").is_file()
    for name in ("table.md", "table.tex", "table.json", "figures.csv", "plot.png", "contact_sheet.png"):
        assert (folder / name).stat().st_size > 50
    assert len((folder / "figures.csv").read_text().splitlines()) == 1 + 3 * 8
    commands = (folder / "commands.txt").read_text().splitlines()
    assert len(commands) == 3
    assert "--coop_negatives 0.5" in commands[1]
    before = {path: path.stat().st_mtime_ns for path in files}
    files[0].unlink()
    assert run(bed, tmp_path, *methods, *length, "--seeds", "1") == 0
    assert [path.stat().st_mtime_ns == before[path] for path in files] == [False, True, True]


def test_a_run_is_what_train_py_makes_of_its_command(bed: Path, place: Path) -> None:
    """The weights of the command in commands.txt translate to the picture of the run."""
    job = Job(Candidate("cut", tuple(FLAGS.split())), bed, 5, 3, place / "out")
    compare.one(job)
    assert train.main([*job.flags(), "--name", "again", "--display_id", "0", "--no_html"]) == 0
    translator = Translator.load(place / "checkpoints/again")
    strip = np.asarray(read_image(job.path.with_suffix(".png"), 3))
    for number in range(8):
        image = read_image(bed / f"testA/{number:05d}.png", 3)
        assert np.array_equal(np.asarray(translator(image)), strip[:, 16 * number : 16 * (number + 1)])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_comparison_leaves_no_half_run(bed: Path, tmp_path: Path, number: int, code: int) -> None:
    told = ["--runs", "cut", "--seeds", "1-2", "--equal", "steps", "--budget", "1000000", "--jobs", "2"]
    command = [sys.executable, "compare.py", *told, "--dataroot", str(bed), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--flags", FLAGS], cwd=ROOT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        until(lambda: len(list(tmp_path.glob("compare-*/run/train_opt.json"))) == 2, 120)
        process.send_signal(number)
        said = process.communicate(timeout=60)[0]  # ends when the last process has closed it
    assert (process.returncode, "Traceback" in said) == (code, False), said
    assert list(tmp_path.rglob("*.png")) == list((tmp_path / "out").rglob("*.json")) == []
    assert list(tmp_path.glob("compare-*")) == []


def test_equal_time_is_measured_once(bed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = [Candidate("cut", tuple(FLAGS.split())), Candidate("cut --langevin_steps 3", tuple(FLAGS.split()))]
    told = compare.parse(["--runs", "cut", "--dataroot", str(bed), "--out", str(tmp_path), "--equal", "time"])
    threads = torch.get_num_threads()
    first = compare.costs_of(told, methods, bed)
    torch.set_num_threads(threads)
    assert first["cut"] == [1.0]
    monkeypatch.setattr(cost, "time_costs", None)
    assert compare.costs_of(told, methods, bed) == first


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--budget", "0"], "--budget 0"),
        (["--seeds", "x"], "--seeds x"),
        (["--runs", "cut", "cut"], "--runs"),
        (["--runs", "cyt"], "cyt"),
        (["--runs", "cut --lr -1"], "--lr"),
    ],
)
def test_mistakes_are_told_before_any_run(bed: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        run(bed, tmp_path / "out", "--runs", "cut", *flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", ["ring:4", "images"])
def test_generators_are_compared(tmp_path: Path, data: str) -> None:
    """Points by their modes, images by KID."""
    flags = "--batch_size 4 --gpu_ids -1"
    if data == "images":
        make_images(tmp_path / "images", 5, 8)
        data, flags = str(tmp_path / "images"), f"{flags} --crop_size 8 --ngf 4 --ndf 4 --nz 6"
    told = ["--runs", "gan", "coopgan --coop_iters 2 --langevin_steps 2", "--dataroot", data, "--seeds", "1"]
    length = ["--equal", "steps", "--budget", "8", "--jobs", "1", "--out", str(tmp_path / "out")]
    assert compare.main([*told, *length, "--flags", flags, "--primary", "KID" if "images" in data else "modes"]) == 0
    folder = tmp_path / "out" / ("images" if "images" in data else "ring_4")
    table = {row["method"]: row for row in json.loads((folder / "table.json").read_text())}
    if "images" in data:
        assert table["real images"]["KID"] < table["mean image"]["KID"]
        assert np.isfinite(table["gan"]["KID"])
    else:
        assert table["the mixture itself"]["modes"] == 4
        assert table["one point"]["modes"] == 1
        assert 0 <= table["gan"]["quality"] <= 1
    assert len(list(folder.glob("*/*.json"))) == len(list(folder.glob("*/*.png"))) == 2
    assert (folder / "contact_sheet.png").stat().st_size > 50


def test_what_cannot_be_compared(bed: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="methods that translate and methods that generate"):
        compare.main(["--runs", "cut", "gan --domain B", "--dataroot", str(bed), "--out", str(tmp_path / "out")])
    with pytest.raises(OptionError, match="--equal operations counts those of CUT's networks"):
        compare.main(["--runs", "gan", "--dataroot", "ring:8", "--equal", "operations", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
