"""evaluate.py pairs images by name only where something is paired, and each then with its own."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from coopcut.datasets.toy import Settings, make_dataset
from tests.evaluation import evaluate, figures_of
from tests.tools import CPU, TINY, check_refusal, run

for _package in ("torchmetrics", "prdc"):
    pytest.importorskip(_package, reason=f"the package {_package} is not installed")

pytestmark = pytest.mark.usefixtures("real_and_fake", "no_plot")


NAMES = ["w_A.png", "w_B.png", "1.bmp", "1.png", "x_A_A.png", "x_A.png", "s/1.png", "é.png", "C.png", "c.png"]
JSON = ["--json", "m.json"]


def fill(**folders: dict[str, int]) -> None:
    """Gray images: folder -> name -> value."""
    for folder, images in folders.items():
        for name, value in images.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (value, value, value)).save(path)


def error(row: str = "translations") -> tuple[int, float]:
    """Images compared, and their RMSE."""
    found = figures_of()["paired"][row]
    return found["images"], found["RMSE"]


def test_any_names_where_nothing_is_paired() -> None:
    fill(r={name: 10 * i for i, name in enumerate(NAMES)}, f={name: 9 * i for i, name in enumerate(NAMES)})
    outcome = evaluate("--real", "r", "--fake", "f", "--train", "r")
    assert "fake: 10 images of 16x16 in f (with 1 subfolder); real: 10 images" in outcome.out
    assert "counterpart" not in outcome.err


def test_any_names_that_all_folders_have() -> None:
    for seed, folder in enumerate(("r", "f", "i")):
        fill(**{folder: {name: 20 * i + 10 * seed for i, name in enumerate(NAMES)}})
    outcome = evaluate("--truth", "r", "--fake", "f", "--inputs", "i", *JSON)
    assert (error(), error("input unchanged")) == ((10, 10), (10, 20))
    assert "have no" not in outcome.err


def test_accents_of_a_mac() -> None:
    names = {form: [unicodedata.normalize(form, f"caf\u00e9{i}_A.png") for i in range(3)] for form in ("NFC", "NFD")}
    fill(
        f={name: 50 * i + 5 for i, name in enumerate(names["NFC"])},
        t={name.replace("_A", "_B"): 50 * i for i, name in enumerate(names["NFD"])},
        i={name: 50 * i + 7 for i, name in enumerate(names["NFD"])},
    )
    outcome = evaluate("--fake", "f", "--truth", "t", "--inputs", "i", *JSON)
    assert (error(), error("input unchanged")) == ((3, 5), (3, 7))
    assert "have no" not in outcome.err


def test_names_of_pictures_that_clash() -> None:
    """test.py calls the translations of a_A.bmp and a_A.png so; by the names alone a_A.png would be that of a_A.png."""
    fill(
        fake_2={"a_A.png": 20, "a_A_png.png": 70},
        inputs={"a_A.bmp": 11, "a_A.png": 61},
        truth={"a_B.bmp": 10, "a_B.png": 60},
    )
    evaluate("--fake", "fake_2", "--inputs", "inputs", "--truth", "truth", *JSON)
    assert (error(), error("input unchanged")) == ((2, 10), (2, 1))
    fill(same={"a_A.bmp": 10, "a_A.png": 60})
    evaluate("--fake", "fake_2", "--truth", "same", *JSON)
    assert error() == (2, 10)


def test_images_without_counterpart_are_named() -> None:
    fill(f={"1.png": 5, "2.png": 45, "4.png": 95}, t={"1.bmp": 0, "4.bmp": 90}, i={"2.png": 0, "4.png": 50})
    outcome = evaluate("--fake", "f", "--truth", "t", "--inputs", "i", *JSON)
    for said in ("f: 1 of 3 images have no input in i: 1.png", "f: 1 of 3 images have no counterpart: 2.png"):
        assert f"warning: {said}\n" in outcome.err
    assert "warning: i: 1 of 2 images have no counterpart: 2.png\n" in outcome.err
    assert (error(), error("input unchanged")) == ((2, 5), (1, 40))


UNCLEAR = {
    "translations": (["1.bmp", "1.png"], ["1.jpg", "2.jpg"], "1.bmp and 1.png in f, 1.jpg in --truth t"),
    "truth": (["1.png", "2.png"], ["1.bmp", "1.jpg"], "1.png in f, 1.bmp and 1.jpg in --truth t"),
    "channels": (["w_A.png", "w_B.png"], ["w.png", "v.png"], "w_A.png and w_B.png in f, w.png in --truth t"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_names_that_do_not_tell_are_refused(case: str) -> None:
    fakes, truth, says = UNCLEAR[case]
    fill(f=dict.fromkeys(fakes, 1), t=dict.fromkeys(truth, 2))
    check_refusal(run("evaluate", "--fake", "f", "--truth", "t"), (says, "rename or remove one", "--unpaired"))
    flags = ["--fake", "f", "--inputs", "t", "--real", "real"]
    check_refusal(run("evaluate", *flags), (says.replace("--truth", "--inputs"), "rename or remove one"))
    assert "fake: 2 images" in evaluate("--fake", "f", "--real", "t").out


# -- a run ------------------------------------------------------------------------------------------------------------


def make_run(fakes: dict[str, int], inputs: dict[str, int], truth: dict[str, int], note: dict[str, str] | None) -> None:
    """The folders of a run whose test images were translated; note: picture -> image."""
    fill(**{"results/r/test_latest/images/fake_B": fakes, "data/testA": inputs, "data/testB": truth})
    Path("checkpoints/r").mkdir(parents=True)
    Path("checkpoints/r/train_opt.json").write_text('{"dataroot": "data"}')
    if note is not None:
        found = {"source": str(Path("data/testA").resolve()), "pictures": [*note], "images": [*note.values()]}
        Path("results/r/test_latest/translated.json").write_text(json.dumps(found))


@pytest.mark.parametrize("noted", [True, False])
def test_a_run_with_names_that_clash(noted: bool) -> None:
    note = {"a.png": "a.bmp", "a_png.png": "a.png"} if noted else None
    make_run({"a.png": 10, "a_png.png": 60}, {"a.bmp": 1, "a.png": 51}, {"a.bmp": 0, "a.png": 50}, note)
    evaluate("--name", "r", *JSON)
    assert (error(), error("input unchanged")) == ((2, 10), (2, 1))
    evaluate("--results", "results/r/test_latest", "--truth", "data/testB", *JSON)
    assert error() == (2, 10)
    evaluate("--fake", "results/r/test_latest/images/fake_B", "--truth", "data/testB", *JSON)
    assert error() == (2, 10)


def test_the_note_tells_what_names_do_not() -> None:
    """Of a.png alone nobody knows that it was made of a.bmp."""
    make_run({"a.png": 10, "b.png": 60}, {"a.bmp": 1, "b.bmp": 51}, {"a.bmp": 0, "a.png": 99, "b.bmp": 50}, None)
    note = {"source": "/gone", "pictures": ["a.png", "b.png"], "images": ["a.bmp", "b.bmp"]}
    Path("results/r/test_latest/translated.json").write_text(json.dumps(note))
    evaluate("--fake", "results/r/test_latest", "--truth", "data/testB", *JSON)
    assert error() == (2, 10)


NUMBERS = [f"{i}.png" for i in range(8)]


@pytest.mark.parametrize("lost", [0, 2, 3, 8])
def test_a_run_is_paired_if_nearly_all_have_a_counterpart(lost: int) -> None:
    names = {name: 20 * i for i, name in enumerate(NUMBERS)}
    truth = {name: value + 5 for name, value in names.items() if value >= 20 * lost}
    make_run(names, names, truth | {"x.png": 1, "y.png": 2}, None)
    outcome = evaluate("--name", "r", *JSON)
    if lost <= 2:
        assert error() == (8 - lost, 5)
        assert ("have no counterpart" in outcome.err) == (lost > 0)
        assert "unpaired" not in outcome.out + outcome.err
    else:
        assert figures_of()["paired"] == {}
        said = f"unpaired: {8 - lost} of 8 translations have a counterpart by name in data/testB\n"
        assert said in (outcome.out if lost == 8 else outcome.err)
        if lost < 8:
            evaluate("--name", "r", "--truth", "data/testB", *JSON)
            assert error() == (8 - lost, 5)
    if not lost:
        evaluate("--name", "r", "--unpaired", *JSON)
        assert figures_of()["paired"] == {}


def test_a_run_of_which_an_input_is_missing() -> None:
    """testA has lost 3.png: the other translations keep their own counterparts."""
    names = {name: 20 * i for i, name in enumerate(NUMBERS) if i != 3}
    make_run(names, names, {name: 20 * i + 5 for i, name in enumerate(NUMBERS)}, None)
    assert "have no" not in evaluate("--name", "r", *JSON).err
    assert error() == (7, 5)


def test_looks_are_found_by_the_name_of_the_image() -> None:
    make_dataset(Path("data"), Settings(size=32, train=8, test=8))
    results = Path("results/r/test_latest")
    shutil.copytree("data/testB", results / "images/fake_B")
    names = sorted(path.name for path in (results / "images/fake_B").iterdir())
    (results / "images/fake_B" / names[0]).rename(results / "images/fake_B/other.png")
    note = {"source": "/gone", "pictures": ["other.png", *names[1:]], "images": names}
    (results / "translated.json").write_text(json.dumps(note))
    evaluate("--fake", results, "--truth", "data/testB")
    found = figures_of(str(results / "metrics.json"))
    assert found["looks"]["confusion"] == [[int(i == j) for j in range(8)] for i in range(8)]
    assert found["paired"]["translations"]["RMSE"] == 0


def test_from_training_to_figures_with_names_that_clash() -> None:
    names = {"a.bmp": 10, "a.png": 90, "b_A.png": 40, "s/a.b.bmp": 70, "e\u0301.png": 20, "\u00e9.png": 30}
    other = {name.replace("_A", "_B"): value for name, value in names.items()}
    fill(**{"data/trainA": names, "data/trainB": other, "data/testA": names, "data/testB": other})
    assert run("train", "--dataroot", "data", "--name", "n", *TINY, "--max_iters", 1, "--no_html").code == 0
    assert run("test", "--name", "n", "--dataroot", "data", *CPU).code == 0
    results = Path("results/n/test_latest")
    assert evaluate("--name", "n", *JSON).err.count("have no") == 0
    assert error("input unchanged") == (6, 0)
    of_fakes = error()
    assert of_fakes[0] == 6
    flags = ["--results", results, "--truth", results / "images/real_B", *JSON]  # the counterparts that the page shows
    evaluate(*flags)
    assert error()[0] == 6
    assert error("input unchanged") == (6, 0)
