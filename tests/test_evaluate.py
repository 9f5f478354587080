"""Paired errors against hand-made figures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from tests.tools import make_images
from util.errors import DataError
from util.metrics.paired import paired_errors


def test_figures() -> None:
    truth = np.full((2, 2, 3), 100, np.uint8)
    fake = truth.copy()
    fake[0, 0] = (105, 100, 95)  # within 5
    fake[0, 1] = (106, 100, 100)  # within 10
    fake[1, 0] = (100, 100, 111)  # within neither; fake[1, 1] is exact
    errors = paired_errors([(fake, truth)])
    assert errors.rmse == pytest.approx(((25 + 25 + 36 + 121) / 12) ** 0.5)
    assert (errors.within_5, errors.within_10, errors.images) == (0.5, 0.75, 1)
    with pytest.raises(ValueError, match="no pairs"):
        paired_errors([])


def test_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, value in (("truth", 100), ("fake", 104), ("inputs", 0), ("train", 90)):
        (tmp_path / folder).mkdir()
        for number in (1, 2):
            suffix = {"truth": "_B", "train": "_B"}.get(folder, "_A")
            Image.new("RGB", (4, 6), (value,) * 3).save(tmp_path / folder / f"{number}{suffix}.png")
    flags = ["--results", "fake", "--truth", "truth", "--inputs", "inputs", "--train", "train"]
    with caplog.at_level("INFO"):
        assert evaluate.main([str(tmp_path / f) if not f.startswith("--") else f for f in flags]) == 0
    rows = [line.split() for line in caplog.text.splitlines() if "%" in line]
    assert rows[0][-5:] == ["4.00", "100.0", "%", "100.0", "%"]
    assert rows[1][-5:] == ["100.00", "0.0", "%", "0.0", "%"]
    assert rows[2][-5:] == ["10.00", "0.0", "%", "100.0", "%"]


def test_two_images_of_one_name(tmp_path: Path) -> None:
    make_images(tmp_path / "a", 2, 8)
    make_images(tmp_path / "b", 2, 8)
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "1_A.bmp")
    with pytest.raises(DataError, match=r"1_A.bmp and .*1.png both are the image '1'|1.png and .*1_A.bmp both"):
        evaluate.main(["--results", str(tmp_path / "a"), "--truth", str(tmp_path / "b")])


def test_nothing_in_common(tmp_path: Path) -> None:
    make_images(tmp_path / "a", 2, 8)
    (tmp_path / "b").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "b" / "other.png")
    with pytest.raises(DataError, match="no image there has the name"):
        evaluate.main(["--results", str(tmp_path / "a"), "--truth", str(tmp_path / "b")])
