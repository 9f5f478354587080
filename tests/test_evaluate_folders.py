"""evaluate.py measures one set of images, and says what it leaves out: folders too high, mixed up, or incomplete."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation import evaluate, figures_of
from tests.tools import check_refusal, make_images, run, truncate, write_image

for _package in ("torchmetrics", "prdc"):
    pytest.importorskip(_package, reason=f"the package {_package} is not installed")

pytestmark = pytest.mark.usefixtures("real_and_fake", "no_plot")


RESULT = Path("results/r/test_latest")
REAL = ["--real", "real"]


def make_result(folder: Path = RESULT, number: int = 3) -> None:
    """What test.py writes, with pictures of noise."""
    for seed, label in enumerate(("real_A", "fake_B", "real_B")):
        make_images(folder / "images" / label, number, 24, seed + 5)
    for name in ("contact_sheet.png", "metrics.png"):
        write_image(folder / name, 40, 40)
    names = [f"{i}.png" for i in range(number)]
    note = {"source": "/gone", "pictures": names, "images": names}
    (folder / "translated.json").write_text(json.dumps(note))


def make_data(*names: str) -> None:
    for seed, name in enumerate(names or ("trainA", "trainB", "testA", "testB")):
        make_images(Path("data") / name, 2 + seed, 24, seed)


def make_training() -> None:
    make_images(Path("checkpoints/r/web/images"), 3, 24)
    Path("checkpoints/r/train_opt.json").write_text("{}")


@pytest.mark.parametrize("folder", ["results/r/test_latest/images", "results/r/test_latest", "results/r", "results"])
def test_the_one_translation_below_a_folder_is_found(folder: str) -> None:
    make_result()
    outcome = evaluate("--fake", folder, *REAL)
    assert f"fake: 3 images of 24x24 in {RESULT}/images/fake_B;" in outcome.out
    said = f"--fake {folder}: measuring its only set of images, {RESULT}/images/fake_B (3)\n"
    assert (said in outcome.out) == (folder != str(RESULT))
    found = figures_of(str(RESULT / "metrics.json"))
    assert list(found["figures"]) == ["translations", "input unchanged"]  # of images/real_A


def test_from_inside_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    make_result()
    monkeypatch.chdir(RESULT / "images")
    evaluate("--fake", ".", "--real", "../../../../real")
    assert figures_of("../metrics.json")["setting"]["fake_images"] == 3


def test_a_translation_of_others_in_a_folder_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set that was translated as it is keeps its folders, and a folder of pictures may lie anywhere."""
    make_result()
    for folder in ("testA", "testB", "fake_B"):
        make_images(RESULT / "images/fake_B" / folder, 2, 24)
    (RESULT / "translated.json").unlink()
    assert "fake: 9 images of 24x24" in evaluate("--fake", RESULT, *REAL).out
    assert "fake: 9 images of 24x24" in evaluate("--fake", "results", *REAL).out
    shutil.copytree(RESULT / "images/fake_B", "mine/fake_B")
    assert "fake: 9 images of 24x24 in mine/fake_B (with 3 subfolders);" in evaluate("--fake", "mine", *REAL).out


def test_sub_folders_of_a_set_are_measured() -> None:
    for name in ("horse", "horse/brown", "A", "images", "test", "web"):
        make_images(Path("classes") / name, 2, 24)
    flags = ["--fake", "classes", "--real", "classes/horse", "--json", "m.json"]
    check_refusal(run("evaluate", *flags), ("--real classes/horse is inside --fake classes", "separate"))
    said = "fake: 12 images of 24x24 in classes (with 6 subfolders);"
    assert said in evaluate("--fake", "classes", *REAL).out
    assert said.replace("fake:", "real:") in evaluate("--real", "classes", "--fake", "fake").out


def test_the_one_set_of_a_data_set_is_found() -> None:
    make_data("testB")
    outcome = evaluate("--real", "data", "--fake", "fake")
    assert "real: 2 images of 24x24 in data/testB;" in outcome.out
    assert "--real data: measuring its only set of images, data/testB (2)\n" in outcome.out


SEVERAL = "holds more than one set of images: "
DATA = "testA (4), testB (5), trainA (2), trainB (3)"
TWO = "test_latest/images/fake_B (3), val_latest/images/fake_B (2)"
REFUSALS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "data as real": (["--real", "data", "--fake", "fake"], (f"--real data {SEVERAL}{DATA}; name the one",)),
    "data as truth": (["--truth", "data", "--fake", "fake"], (f"--truth data {SEVERAL}{DATA};",)),
    "data as inputs": (["--inputs", "data", "--fake", "fake", *REAL], (f"--inputs data {SEVERAL}",)),
    "data as train": (["--train", "data", "--fake", "fake", *REAL], (f"--train data {SEVERAL}",)),
    "data as fake": (["--fake", "data", *REAL], (f"--fake data {SEVERAL}{DATA};",)),
    "above data": (["--real", "sets", "--fake", "fake"], ("--real sets", "maps/testB (1)", "toy/testB (1)")),
    "data and images": (["--real", "mixed", "--fake", "fake"], ("--real mixed", "testB (1), 1 elsewhere")),
    "two phases": (["--fake", "results/r", *REAL], (f"--fake results/r {SEVERAL}{TWO};",)),
    "two runs": (["--fake", "results", *REAL], ("r/test_latest/images/fake_B (3), r/val_latest/images/fake_B",)),
    "result as real": (["--real", str(RESULT), "--fake", "fake"], ("fake_B (3), images/real_A (3), images/real_B",)),
    "result without translations": (["--fake", "lost", *REAL], ("images/real_A (2), images/real_B (2)",)),
    "runs": (
        ["--fake", "checkpoints", *REAL],
        ("--fake checkpoints: its images are snapshots of a training run", "--name"),
    ),
    "run": (["--real", "checkpoints/r", "--fake", "fake"], ("--real checkpoints/r: its images are snapshots",)),
    "page": (["--fake", "checkpoints/r/web", *REAL], ("--fake checkpoints/r/web: its images are snapshots",)),
    "pictures": (
        ["--fake", "checkpoints/r/web/images", *REAL],
        ("checkpoints/r/web/images: its images are snapshots",),
    ),
    "translations in the inputs": (
        ["--fake", "in/out", "--inputs", "in", *REAL],
        ("--fake in/out is inside --inputs in",),
    ),
    "inputs in the targets": (["--fake", "fake", "--inputs", "in/out", "--real", "in"], ("is inside --real in",)),
    "plot": (["--fake", "fake", *REAL, "--plot", "fake/p.png"], ("--plot fake/p.png is inside --fake fake",)),
    "file": (["--fake", "fake/1.png", *REAL], ("fake/1.png: is a file, not a folder",)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_more_than_one_set_is_refused(case: str) -> None:
    make_data()
    make_result()
    make_result(Path("results/r/val_latest"), 2)
    make_result(Path("lost"), 2)
    shutil.rmtree("lost/images/fake_B")
    make_training()
    for name in ("sets/maps/testB", "sets/toy/testB", "mixed/testB", "mixed", "in", "in/out"):
        make_images(Path(name), 1, 24)
    flags, says = REFUSALS[case]
    outcome = run("evaluate", *flags)
    check_refusal(outcome, says)


def test_folders_may_lie_in_one_another_where_nothing_counts_twice() -> None:
    make_images(Path("targets/test"), 3, 24)
    make_images(Path("targets/train"), 3, 24, seed=1)
    shutil.copytree("targets/test", "inputs")
    flags = ["--fake", "fake", "--real", "targets", "--truth", "targets/test", "--train", "targets/train"]
    evaluate(*flags, "--json", "m.json")
    assert figures_of()["setting"]["real_images"] == 6


def test_pictures_of_ours_among_the_images_are_no_translations() -> None:
    for name in ("contact_sheet.png", "metrics.png"):
        write_image(Path("fake") / name, 40, 40)
    outcome = evaluate("--fake", "fake", *REAL, "--json", "m.json")
    assert "fake: 10 images of 24x24 in fake (left out: contact_sheet.png, metrics.png);" in outcome.out
    assert "warning: --fake: fake: not measured: contact_sheet.png, metrics.png\n" in outcome.err
    assert figures_of()["setting"]["fake_left_out"] == ["contact_sheet.png", "metrics.png"]


def test_hidden_leftovers_are_not_measured() -> None:
    for name in (".0123.png", ".part/1.png"):
        write_image(Path("fake") / name, 40, 40)
    assert "fake: 10 images of 24x24 in fake;" in evaluate("--fake", "fake", *REAL).out


def test_what_cannot_be_read_is_counted() -> None:
    truncate(Path("fake/1.png"))
    outcome = evaluate("--fake", "fake", *REAL, code=1)
    assert "fake: 9 images of 24x24 in fake (1 unreadable);" in outcome.out


# -- images that were never translated --------------------------------------------------------------------------------


def test_inputs_that_are_measured_as_translations() -> None:
    shutil.copytree("fake", "inputs")
    said = "are the same files as in --inputs"
    outcome = evaluate("--fake", "fake", *REAL, "--inputs", "inputs")
    assert f"10 of the 10 images of --fake {said} inputs" in outcome.err
    outcome = evaluate("--fake", "fake", *REAL, "--inputs", "fake")
    assert f"10 of the 10 images of --fake {said} fake" in outcome.err
    make_images(Path("inputs"), 9, 24, seed=8)
    assert f"1 of the 10 images of --fake {said} inputs" in evaluate("--fake", "fake", *REAL, "--inputs", "inputs").err
    assert "same files" not in evaluate("--fake", "fake", *REAL, "--inputs", "real").err.split("--real")[0]


def test_real_images_that_are_measured_as_translations() -> None:
    shutil.copyfile("real/3.png", "fake/3.png")
    outcome = evaluate("--fake", "fake", *REAL)
    assert "1 of the 10 images of --fake are the same files as in --real real" in outcome.err
    make_data()
    outcome = evaluate("--fake", "data/testA", "--real", "data/testB")
    assert "--fake data/testA is a domain of the same data set as --real" in outcome.err


def test_folders_of_a_result_in_the_wrong_place() -> None:
    make_result()
    images = RESULT / "images"
    outcome = evaluate("--fake", images / "real_A", "--real", images / "fake_B")
    assert f"--fake {images}/real_A: test.py writes translations to fake_B\n" in outcome.err
    assert f"--real {images}/fake_B: test.py writes translations to fake_B\n" in outcome.err
    assert "--inputs and --real are the same folder\n" in evaluate("--fake", "fake", *REAL, "--inputs", "real").err


def test_counterparts_that_cannot_be_read() -> None:
    shutil.copytree("real", "truth")
    for path in Path("truth").iterdir():
        truncate(path)
    outcome = run("evaluate", "--fake", "fake", *REAL, "--truth", "truth", "--feature_size", 32)
    assert outcome.code == 2
    assert "error: truth: none of its images to compare can be read" in outcome.err.splitlines()[-1]


# -- a folder of test.py and its note ---------------------------------------------------------------------------------


def test_pictures_that_the_note_does_not_name() -> None:
    make_result()
    write_image(RESULT / "images/fake_B/s/9.jpg", 24, 24)
    outcome = run("evaluate", "--fake", RESULT, *REAL)
    check_refusal(
        outcome, ("1 picture from an earlier or an interrupted translation", "(s/9.jpg)", "--real real --fake")
    )
    fakes = RESULT / "images/fake_B"
    outcome = evaluate("--fake", fakes, *REAL)
    assert "fake: 4 images" in outcome.out
    assert f"{fakes} holds 1 picture from an earlier or an interrupted translation" in outcome.err


def test_pictures_that_are_gone() -> None:
    make_result()
    fakes = RESULT / "images/fake_B"
    (fakes / "1.png").unlink()
    outcome = run("evaluate", "--fake", RESULT, *REAL)
    check_refusal(outcome, (f"{fakes} lacks 1 picture of the last translation (1.png)", "--real real --fake"))
    outcome = evaluate("--fake", fakes, *REAL)
    assert "fake: 2 images" in outcome.out
    assert f"{fakes} lacks 1 picture of the last translation (1.png)" in outcome.err


def test_kinds_side_by_side_by_their_names_are_refused() -> None:
    """As the toolkits of CycleGAN and pix2pix write them."""
    for number in range(2):
        for label in ("real_A", "fake_B", "real_B"):
            write_image(Path("other/images") / f"{number}_{label}.png", 24, 24)
    says = ("--fake other holds inputs and translations side by side", "2 fake_B", "2 real_A", "into a separate folder")
    check_refusal(run("evaluate", *REAL, "--fake", "other"), says)


def test_inputs_as_real_are_warned_of() -> None:
    make_result()
    outcome = evaluate("--fake", RESULT / "images/fake_B", "--real", RESULT / "images/real_A")
    assert "these are the inputs of the translations, not images of the target domain" in outcome.err


def test_values_are_said_and_those_of_plain_folders_are_scaled_alike() -> None:
    """Of deep images nothing is guessed in silence; translations of test.py have 8 bits whatever the range is."""
    for folder in ("deep", "other"):
        Path(folder).mkdir()
        rng = np.random.default_rng(0)
        for number in range(10):
            Image.fromarray(rng.integers(0, 4096, (24, 24)).astype(np.uint16)).save(f"{folder}/{number}.png")
    flags = ["--real", "deep", "--fake", "other", "--json", "m.json"]
    outcome = evaluate(*flags)
    assert outcome.err.count("16-bit values 0 to 4095, 99.8 % of them in less than 1/16 of the range") == 2
    outcome = evaluate(*flags, "--value_range", "0,4095")
    assert "; black and white: (0.0, 4095.0) / (0.0, 4095.0)" in outcome.out
    assert "in less than 1/16" not in outcome.err
    assert figures_of()["figures"]["translations"]["FID"] < 1e-3  # the same images
    make_result()
    outcome = evaluate("--real", "deep", "--fake", RESULT, "--value_range", "0,4095")
    assert outcome.out.count("0 becomes black and 4095 white, 0 % of the values lie outside") == 1
