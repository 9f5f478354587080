"""evaluate.py on what test.py wrote: a run by its name, or the folder of a result."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from coopcut.datasets.make_toy import Settings, make_dataset
from coopcut.inference.results import Results
from coopcut.inference.translated import earlier_pictures, translated_from
from coopcut.options.option import Options
from tests.evaluation import SMALL, evaluate, figures_of
from tests.tools import TINY, refused, run

for _package in ("torchmetrics", "prdc"):
    pytest.importorskip(_package, reason=f"the package {_package} is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("real_and_fake")]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set; read-only."""
    folder = tmp_path_factory.mktemp("drawn") / "toy"
    make_dataset(folder, Settings(size=32, train=8, test=8))
    return folder


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


@pytest.mark.parametrize("note", ["{", "3", "[]", "{}", '{"pictures": 3}', '{"source": 3, "pictures": []}'])
def test_a_damaged_note_of_what_was_translated(toy: Path, note: str) -> None:
    results = make_run(toy)
    (results / "translated.json").write_text(note)
    known = note in ("[]", '{"source": 3, "pictures": []}')
    assert len(earlier_pictures(results)) == (8 if known else 0)
    assert translated_from(results) is None


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
            "5 pictures from an earlier or an interrupted translation",
            "00003.png",
            f"--real {toy / 'testB'} --fake {fakes}",
        )
    assert "8 images" in evaluate("--real", toy / "testB", "--fake", fakes).out


def test_a_trained_run(toy: Path) -> None:
    """From training to figures with the commands of the README."""
    flags = ["--dataroot", toy, "--name", "n", *TINY, "--max_iters", 1, "--no_html"]
    assert run("train", *flags).code == 0
    assert run("test", "--name", "n", "--dataroot", toy, "--num_threads", 0, "--gpu_ids", -1).code == 0
    assert "looks covered" in evaluate("--name", "n").out
