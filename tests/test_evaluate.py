"""evaluate.py as the command line calls it: two folders, its files; one line for bad input."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.evaluation import evaluate, figures_of
from tests.tools import ROOT, make_images, refused, run, truncate, write_image

for _package in ("torchmetrics", "prdc"):
    pytest.importorskip(_package, reason=f"the package {_package} is not installed")

pytestmark = pytest.mark.usefixtures("real_and_fake")


def test_two_folders() -> None:
    out = evaluate("--real", "real", "--fake", "fake", "--json", "m.json").out
    head, names, row = out.splitlines()[:3]
    for part in ("10 images of 24x24 in real", "10 images of 24x24 in fake", "bicubic of Pillow to 32x32", "builtin"):
        assert part in head
    for part in ("torchmetrics", "prdc", "SHA-256 2ba7497e", "KID subsets: 1 of 10 images", "seed 0", "k = 5"):
        assert part in head
    assert names.split() == ["images", "FID", "KID", "precision", "recall", "density", "coverage"]
    assert row.split()[:2] == ["translations", "10"]
    found = figures_of()
    assert row.split()[2] == f"{found['figures']['translations']['FID']:.3f}"
    assert found["setting"]["real_images"] == 10
    assert (found["paired"], found["looks"]) == ({}, None)
    again = evaluate("--real", "real", "--fake", "fake", "--json", "n.json")
    assert figures_of("n.json") == found  # repeatable, the second time from the cache
    assert again.out.splitlines()[0] == head
    assert not Path("metrics.json").exists()  # nothing is written that was not asked for


def test_identical_folders() -> None:
    outcome = evaluate("--real", "real", "--fake", "real", "--json", "m.json")
    assert "the same folder" in outcome.err
    assert figures_of()["figures"]["translations"]["FID"] == pytest.approx(0, abs=1e-6)
    assert outcome.out.splitlines()[2].split()[2] == "0.000"


def test_small_sets_are_told_of() -> None:
    assert "10 images for 248 dimensions: FID is biased" in evaluate("--real", "real", "--fake", "fake").err


def test_table_of_pairs() -> None:
    for folder, value in (("truth", 100), ("t", 104), ("inputs", 0), ("train", 90)):
        Path(folder).mkdir()
        for number in (1, 2):
            suffix = {"truth": "_B", "train": "_B"}.get(folder, "_A")
            Image.new("RGB", (4, 6), (value,) * 3).save(Path(folder) / f"{number}{suffix}.png")
    flags = ["--results", "t", "--truth", "truth", "--inputs", "inputs", "--train", "train"]
    rows = [line.split() for line in evaluate(*flags).out.splitlines() if "%" in line]
    assert rows[0][-7:-2] == ["4.00", "100.0", "%", "100.0", "%"]
    assert rows[1][-7:-2] == ["100.00", "0.0", "%", "0.0", "%"]
    assert rows[2][-7:-2] == ["10.00", "0.0", "%", "100.0", "%"]


def test_detectors_in_words() -> None:
    shutil.copytree("fake", "inputs")
    out = evaluate("--real", "real", "--fake", "fake", "--inputs", "inputs", "--json", "m.json").out
    assert "WRONG equals the input: the outputs differ from the inputs by 0.0 of 255" in out
    assert "ok    ignores the input" in out
    fires = {finding["name"]: finding["fires"] for finding in figures_of()["findings"]}
    assert fires["equals the input"] is True
    assert not any(fire for name, fire in fires.items() if name != "equals the input")


def test_one_bad_file_is_named_and_skipped() -> None:
    truncate(Path("fake/3.png"))
    outcome = evaluate("--real", "real", "--fake", "fake", "--truth", "real", "--json", "m.json", code=1)
    assert outcome.err.count("fake/3.png") == 1
    assert figures_of()["setting"]["fake_images"] == 9
    assert "fake/3.png" in figures_of()["skipped"][0]
    assert figures_of()["paired"]["translations"]["images"] == 9


def test_gray_images_and_no_counterpart() -> None:
    write_image(Path("fake/0.png"), 30, 20, channels=1)
    write_image(Path("fake/other.png"), 30, 20)
    outcome = evaluate("--real", "real", "--fake", "fake", "--truth", "real")
    assert "gray images, read as RGB: 0 of 10 real, 1 of 11 fake" in outcome.err
    assert "1 of 11 images have no counterpart: other" in outcome.err
    assert "of 30x20 to 24x24" not in outcome.out  # sorted by area
    assert "11 images of 24x24 to 30x20 in fake" in outcome.out


def test_plot(real_and_fake: Path) -> None:
    pytest.importorskip("matplotlib", reason="the package matplotlib is not installed")
    evaluate("--real", "real", "--fake", "fake", "--plot", "p/m.png")
    with Image.open("p/m.png") as img:
        assert img.width > 500


# -- a run ------------------------------------------------------------------------------------------------------------


BOTH = ["--real", "real", "--fake", "fake"]
REFUSALS: dict[str, tuple[list[Any], tuple[str, ...]]] = {
    "nothing": ([], ("--fake", "--name")),
    "no real": (["--fake", "fake"], ("--real", "missing")),
    "no folder": (["--real", "none", "--fake", "fake"], ("none: no such folder",)),
    "empty": (["--real", "empty", "--fake", "fake"], ("empty: no images",)),
    "one image": (["--real", "real", "--fake", "one"], ("--fake", "one: holds 1 image", "at least 2")),
    "features": ([*BOTH, "--features", "vgg"], ("--features 'vgg'", "builtin", "inception")),
    "no weights": ([*BOTH, "--features", "inception", "--weights", "w.pth"], ("--weights w.pth does not exist",)),
    "wrong weights": ([*BOTH, "--features", "inception", "--weights", "one/0.png"], ("SHA-256", "6726825d")),
    "weights of builtin": ([*BOTH, "--weights", "w.pth"], ("--weights w.pth", "--features inception")),
    "size": ([*BOTH, "--feature_size", 3], ("--feature_size 3", "32")),
    "subset": ([*BOTH, "--kid_subset", 1], ("--kid_subset: '1' must be a whole number from 2",)),
    "subsets": ([*BOTH, "--kid_subsets", 0], ("--kid_subsets: '0' must be a whole number from 1",)),
    "nearest": ([*BOTH, "--nearest", 0], ("--nearest: '0' must be a whole number from 1",)),
    "seed": ([*BOTH, "--seed", -1], ("--seed: '-1' must be a whole number from 0",)),
    "plot": ([*BOTH, "--plot", "m.gif"], ("--plot m.gif", ".png")),
    "plot folder": ([*BOTH, "--plot", "folder.png"], ("--plot folder.png", "folder", "name a file")),
    "json folder": ([*BOTH, "--json", "one"], ("--json one", "folder", "name a file")),
    "no name": (["--fake", "fake", "--real", ""], ("--real", "empty", "leave it out")),
    "empty name": (["--name", ""], ("--name", "empty", "leave it out")),
    "lpips": ([*BOTH, "--lpips_weights", "w.pth"], ("--lpips_weights", "--truth")),
    "phase": ([*BOTH, "--phase", "val"], ("--phase", "add --name")),
    "unpaired": ([*BOTH, "--unpaired"], ("--unpaired", "add --name")),
    "large features": ([*BOTH, "--feature_size", 5000], ("--feature_size 5000", "2048")),
    "no train": ([*BOTH, "--train", "none"], ("none: no such folder",)),
    "empty train": ([*BOTH, "--train", "empty"], ("empty: no images",)),
    "two results": (["--name", "r", "--fake", "fake"], ("--name", "--fake", "leave one")),
    "no run": (["--name", "r"], ("checkpoints/r", "found: none")),
    "no names": (["--fake", "fake", "--truth", "names"], ("fake", "counterpart")),
    "gpu": ([*BOTH, "--gpu_ids", "99"], ("--gpu_ids",)),
    "flag": ([*BOTH, "--fid"], ("--fid",)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    flags, says = REFUSALS[case]
    Path("empty").mkdir()
    Path("folder.png").mkdir()
    make_images(Path("one"), 1, 24)
    write_image(Path("names/x.png"), 9, 9)
    write_image(Path("names/y.png"), 9, 9)
    if "inception" in flags:
        pytest.importorskip("torch_fidelity", reason="the package torch-fidelity is not installed")
    outcome = run("evaluate", *flags)
    errors = [line for line in outcome.err.splitlines() if not line.startswith("warning: 2 ")]
    assert (outcome.code, len([line for line in errors if "error" in line])) == (2, 1), outcome
    for word in says:
        assert word in errors[-1], errors


WITHOUT_MEMORY = """
import runpy, sys
import coopcut.metrics.features
def fail(*arguments):
    raise MemoryError
coopcut.metrics.features.Features.__call__ = fail
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_out_of_memory_names_what_takes_less() -> None:
    code = WITHOUT_MEMORY.replace("sys.argv[0]", repr(str(ROOT / "evaluate.py")))
    command = [sys.executable, "-c", code, *BOTH, "--gpu_ids", "-1"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    said = "out of memory (MemoryError): try --feature_size 64 or fewer or smaller images; saved files are unchanged"
    assert done.stderr.splitlines()[-1].partition("error: ")[2] == said


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    refused("evaluate", BOTH, "torchmetrics", "not installed", "pip install -e '.[metrics]'")
