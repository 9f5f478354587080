"""evaluate.py as the command line calls it: two folders, a result, a run; its files; one line for bad input."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from datasets.make_toy import Settings, make_dataset
from options.option import Options
from tests.tools import ROOT, TINY, Outcome, make_images, refused, run, truncate, write_image
from util.results import Results

for _package in ("torchmetrics", "prdc"):
    pytest.importorskip(_package, reason=f"the package {_package} is not installed")

SMALL = ["--feature_size", 32]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with 10 real and 10 fake images of the same names; the user's cache is elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    make_images(folder / "real", 10, 24, seed=1)
    make_images(folder / "fake", 10, 24, seed=2)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set; read-only."""
    folder = tmp_path_factory.mktemp("drawn") / "toy"
    make_dataset(folder, Settings(size=32, train=8, test=8))
    return folder


def evaluate(*flags: Any, code: int = 0) -> Outcome:
    outcome = run("evaluate", *flags, *SMALL)
    assert outcome.code == code, outcome
    return outcome


def figures_of(path: str = "m.json") -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=lambda text: pytest.fail(text))


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


def test_plot(here: Path) -> None:
    pytest.importorskip("matplotlib", reason="the package matplotlib is not installed")
    evaluate("--real", "real", "--fake", "fake", "--plot", "p/m.png")
    with Image.open("p/m.png") as img:
        assert img.width > 500


# -- a run ------------------------------------------------------------------------------------------------------------


def make_run(toy: Path, name: str = "r", direction: str = "AtoB") -> Path:
    """A result as if `test.py` had translated perfectly, and the options of its run."""
    (here := Path("checkpoints") / name).mkdir(parents=True)
    (here / "train_opt.json").write_text(json.dumps({"dataroot": str(toy), "direction": direction}))
    results = Path("results") / name / "test_latest"
    source, target = ("A", "B") if direction == "AtoB" else ("B", "A")
    shutil.copytree(toy / f"test{target}", results / "images/fake_B")
    shutil.copytree(toy / f"test{source}", results / "images/real_A")
    return results


def test_a_run_by_name(toy: Path) -> None:
    pytest.importorskip("matplotlib", reason="the package matplotlib is not installed")
    results = make_run(toy)
    out = evaluate("--name", "r").out
    assert "looks covered 8 of 8; reverse KL to the target 0.000 nats; true look 100.0 %" in out
    assert "WRONG" not in out
    found = figures_of(str(results / "metrics.json"))
    assert list(found["figures"]) == ["translations", "input unchanged"]
    assert list(found["paired"]) == ["translations", "input unchanged", "mean"]
    assert found["paired"]["translations"]["RMSE"] == 0
    assert found["paired"]["translations"]["PSNR"] is None  # infinite
    assert found["looks"]["confusion"] == [[int(i == j) for j in range(8)] for i in range(8)]
    assert (results / "metrics.png").is_file()


def test_figures_go_with_the_pictures(toy: Path) -> None:
    """Those of an earlier translation would be taken for those of the next one into the same folder."""
    results = make_run(toy)
    evaluate("--name", "r")
    others = [results / "index.html", results / "images/fake_B/00000.png"]
    others[0].touch()
    opt = Options(results_dir="results", name="r", phase="test", epoch="latest", easy_label="", display_winsize=64)
    writing = Results(opt, str(toy / "testA"))
    assert (results / "metrics.json").is_file()
    writing.add(str(toy / "testA/00001.png"), {"fake_B": torch.zeros(3, 8, 8)})
    writing.finish()
    writing.close()
    assert not (results / "metrics.json").exists()
    assert not (results / "metrics.png").exists()
    assert all(path.is_file() for path in others)


def test_translations_of_other_images_have_no_counterpart(toy: Path) -> None:
    """The names alone would pair them with images that they were not made of."""
    results = make_run(toy)
    note = {"source": str(toy.resolve() / "trainA"), "pictures": [f"{number:05d}.png" for number in range(8)]}
    (results / "translated.json").write_text(json.dumps(note))
    outcome = evaluate("--name", "r", "--json", "m.json")
    assert f"the translations are of {toy.resolve() / 'trainA'}, not of {toy / 'testA'}" in outcome.err
    found = figures_of()
    assert (found["paired"], found["looks"]) == ({}, None)
    assert list(found["figures"]) == ["translations", "input unchanged"]  # the inputs that lie beside them
    for source in ("testA", "gone"):
        (results / "translated.json").write_text(json.dumps({**note, "source": str(toy.resolve() / source)}))
        assert "looks covered 8 of 8" in evaluate("--name", "r").out


def test_a_run_without_target_images_beside_named_ones(tmp_path: Path, toy: Path) -> None:
    shutil.copytree(toy, tmp_path / "own")
    make_run(tmp_path / "own")
    shutil.rmtree(tmp_path / "own/testB")
    refused("evaluate", ["--name", "r"], "own/testB: no images of the target domain", "--real")
    evaluate("--name", "r", "--real", toy / "testB", "--json", "m.json")
    assert figures_of()["setting"]["real_images"] == 8


def test_lost_looks_are_said(toy: Path) -> None:
    results = make_run(toy)
    for path in (results / "images/fake_B").iterdir():
        shutil.copyfile(toy / "testB/00000.png", path)
    out = evaluate("--name", "r").out
    assert "WRONG one output for all" in out
    assert "WRONG ignores the input" in out
    assert "WRONG few looks" in out


def test_a_run_of_the_other_direction_and_without_pairs(toy: Path) -> None:
    make_run(toy, "back", "BtoA")
    evaluate("--name", "back", "--unpaired", "--json", "m.json")
    found = figures_of()
    assert found["setting"]["real"].endswith("testA")
    assert (found["paired"], found["looks"]) == ({}, None)


def test_folder_of_a_result(toy: Path) -> None:
    """The commands of docs/maps.md; the inputs lie beside the translations."""
    results = make_run(toy)
    evaluate("--results", results, "--truth", toy / "testB")
    found = figures_of(str(results / "metrics.json"))
    assert list(found["figures"]) == ["translations", "input unchanged"]
    assert found["looks"]["looks_covered"] == 8


# -- bad input --------------------------------------------------------------------------------------------------------


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
import util.metrics.features
def fail(*arguments):
    raise MemoryError
util.metrics.features.Features.__call__ = fail
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_out_of_memory_names_what_takes_less() -> None:
    code = WITHOUT_MEMORY.replace("sys.argv[0]", repr(str(ROOT / "evaluate.py")))
    command = [sys.executable, "-c", code, *BOTH]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert (
        done.stderr.splitlines()[-1].partition("error: ")[2].startswith("out of memory (MemoryError): lower --feature")
    )


def test_translations_are_missing(toy: Path) -> None:
    shutil.rmtree(make_run(toy))
    refused("evaluate", ["--name", "r"], "results/r/test_latest", "python test.py --name r")
    Path("checkpoints/r/train_opt.json").write_text('{"model": "cut"}')
    refused("evaluate", ["--name", "r"], "checkpoints/r", "train_opt.json names no dataroot", "--real and --fake")


def test_pictures_of_an_earlier_translation_are_not_measured_along(toy: Path) -> None:
    """A second translation of fewer images leaves those of the first: of which of them would a figure be?"""
    train = ["--dataroot", toy, "--name", "r", "--model", "cut", *TINY, "--max_iters", "1", "--display_id", "0"]
    assert run("train", *train).code == 0
    for more in ([], ["--num_test", "3"]):
        assert run("test", "--name", "r", "--dataroot", toy, "--gpu_ids", "-1", *more).code == 0
    fakes = "results/r/test_latest/images/fake_B"
    for flags in (["--name", "r"], ["--results", "results/r/test_latest", "--real", toy / "testB"]):
        refused(
            "evaluate",
            [*flags, *SMALL],
            "5 pictures of an earlier translation",
            "00003.png",
            f"--real {toy / 'testB'} --fake {fakes}",
        )
    assert "8 images" in evaluate("--real", toy / "testB", "--fake", fakes).out


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    refused("evaluate", BOTH, "torchmetrics", "not installed", "pip install -e '.[metrics]'")


def test_a_trained_run(toy: Path) -> None:
    """From training to figures with the commands of the README."""
    flags = ["--dataroot", toy, "--name", "n", *TINY, "--max_iters", 1, "--no_html"]
    assert run("train", *flags).code == 0
    assert run("test", "--name", "n", "--dataroot", toy, "--num_threads", 0, "--gpu_ids", -1).code == 0
    assert "looks covered" in evaluate("--name", "n").out
