"""The image of the other domain beside a translation: its counterpart by name, or none."""

import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from tests.tools import CPU, FAKES, RESULTS, TINY, Page, make_images, names_in, pixels, run, translate

REAL_B = RESULTS / "images" / "real_B"


def fill(folder: str, *values: int, name: str = "{}.png") -> None:
    """The images of a domain instead of what is there: gray, each of the value that it is named after."""
    path = Path("data") / folder
    shutil.rmtree(path, ignore_errors=True)
    for value in values:
        (file := path / name.format(value)).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (value, value, value)).save(file)


def shown() -> dict[str, int]:
    """The pictures in images/real_B and their values; the page shows the same ones."""
    found = names_in(REAL_B)
    page = Page(RESULTS / "index.html").images
    assert sorted(image for image in page if "real_B" in image) == [f"images/real_B/{name}" for name in found]
    return {name: int(pixels(REAL_B / name)[0, 0, 0]) for name in found}


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_missing_input_moves_no_counterpart(a_run: Path, batch_size: int) -> None:
    fill("testA", 1, 2, 4)
    fill("testB", 1, 2, 3, 4)
    outcome = translate("--dataroot", "data", "--batch_size", batch_size)
    assert shown() == {"1.png": 1, "2.png": 2, "4.png": 4}
    assert (
        "B: 4 images in data/testB; each is shown beside the translation of the A image with the same name\n"
        in outcome.out
    )


def test_a_missing_counterpart_is_said(a_run: Path) -> None:
    fill("testA", 1, 2, 3, 4)
    fill("testB", 1, 4)
    outcome = translate("--dataroot", "data")
    assert shown() == {"1.png": 1, "4.png": 4}
    assert "B: 2 images in data/testB; 2 of 4 have no counterpart in B\n" in outcome.out
    assert names_in(FAKES) == ["1.png", "2.png", "3.png", "4.png"]


def test_unpaired_domains_show_none(a_run: Path) -> None:
    fill("testA", 1, 2)
    fill("testB", 1, 2, name="zebra_{}.png")
    outcome = translate("--dataroot", "data")
    assert sorted(path.name for path in (RESULTS / "images").iterdir()) == ["fake_B", "real_A"]
    assert "data/testB; none is shown, because no name matches an image of A\n" in outcome.out


@pytest.mark.parametrize("flag", ["--num_test", "--max_dataset_size"])
def test_a_limit_moves_no_counterpart(a_run: Path, flag: str) -> None:
    fill("testA", 3, 4, 5)
    fill("testB", 1, 2, 3, 4, 5)
    translate("--dataroot", "data", flag, 2)
    assert shown() == {"3.png": 3, "4.png": 4}
    translate("--dataroot", "data", flag, 2, "--serial_batches", "False", "--results_dir", "random")
    folder = Path("random/tiny/test_latest/images/real_B")
    assert {name: int(pixels(folder / name)[0, 0, 0]) for name in names_in(folder)} == {
        name: int(name[0]) for name in names_in(folder.with_name("fake_B"))
    }


def test_names_of_maps_in_the_other_direction(place: Path) -> None:
    fill("testA", 1, 2, 10, name="{}_A.bmp")
    fill("testB", 2, 10, 20, name="{}_B.png")
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--direction", "BtoA", "--max_iters", 1, "--no_html"]
    assert run("train", *flags).code == 0
    assert "1 of 3 has no counterpart in B\n" in translate("--dataroot", "data").out
    assert shown() == {"2_B.png": 2, "10_B.png": 10}


def test_names_of_other_kinds(a_run: Path) -> None:
    accents = {form: unicodedata.normalize(form, "s/\u00e9.{}.png") for form in ("NFC", "NFD")}
    fill("testA", 1, 2, name=accents["NFC"])
    fill("testB", 2, 1, name=accents["NFD"])
    for domain, values in (("testA", (50, 60)), ("testB", (51, 61))):
        for extension, value in zip(("bmp", "png"), values, strict=True):
            Image.new("RGB", (32, 32), (value, value, value)).save(f"data/{domain}/a.{extension}")
    translate("--dataroot", "data")
    names = [accents["NFC"].format(value) for value in (1, 2)]
    assert shown() == {names[0]: 1, names[1]: 2, "a.png": 51, "a_png.png": 61}


def test_names_that_do_not_tell_show_none(a_run: Path) -> None:
    fill("testA", 1, 2)
    shutil.copyfile("data/testA/1.png", "data/testA/1.bmp")
    fill("testB", 1, 2, name="{}.tif")
    outcome = translate("--dataroot", "data", "--max_dataset_size", 2)  # 1.bmp and 1.png
    assert "2 of 2 have no counterpart in B" in outcome.out or "none is shown" in outcome.out
    assert not REAL_B.exists()
    assert "2 of 3 have no counterpart in B\n" in translate("--dataroot", "data").out
    assert shown() == {"2.png": 2}


def test_no_counterpart_of_an_earlier_translation_stays(a_run: Path) -> None:
    fill("testA", 1, 2)
    fill("testB", 1, 2)
    translate("--dataroot", "data")
    Path("data/testB/2.png").unlink()
    translate("--dataroot", "data")
    assert shown() == {"1.png": 1}
    make_images(Path("album"), 3, 32)
    translate("--dataroot", "album")
    assert names_in(REAL_B) == []


def test_an_image_alone_has_none(a_run: Path) -> None:
    fill("testA", 1)
    assert run("test", "--name", "tiny", "--dataroot", "data/testA/1.png", *CPU).code == 0
    assert not REAL_B.exists()
