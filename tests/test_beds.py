"""The test beds: their classes come as often as told, and are found again in the pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from coopcut.comparison.judge import Judge
from coopcut.comparison.references import color_transfer, references
from coopcut.datasets import make_bed
from coopcut.datasets.beds.digits import colored, digits
from coopcut.datasets.beds.drawn import drawn
from coopcut.datasets.beds.folder import Bed, Settings, labels, write_bed
from coopcut.images.io import read_image
from coopcut.util.errors import DataError, OptionError

TINY = Settings(size=16, images=20, target=12, test=20, tail=0.7)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("beds") / "digits"
    assert write_bed(root, *digits(TINY))
    return root


def test_classes_come_as_often_as_their_weights() -> None:
    found = labels(100, {k: 0.5**k for k in range(4)}, np.random.default_rng(0))
    assert np.bincount(found).tolist() == [53, 27, 13, 7]  # 100 * (8, 4, 2, 1) / 15, to the nearest that sum to 100
    assert found != sorted(found)


@pytest.mark.parametrize("make", [digits, drawn])
def test_truth_has_the_class_that_the_record_says(make: object, tmp_path: Path) -> None:
    write_bed(tmp_path / "bed", *make(Settings(size=32, images=2, target=2, test=20)))  # type: ignore[operator]
    judge = Judge.load(tmp_path / "bed")
    assert judge.B is not None
    found = judge.figures(judge.B)
    assert found["RMSE"] == 0
    assert found["accuracy"] == 1
    assert found["covered"] == len(judge.bed.names) if judge.bed else 0
    assert found["reverse_KL"] == pytest.approx(0, abs=0.1 if len(judge.names) % 8 else 1e-9)


def test_pictures_of_digits_are_the_gray_ones_in_color(bed: Path) -> None:
    record = Bed.read(bed)
    assert record is not None
    for number in range(20):
        gray, color = (np.asarray(read_image(bed / f"{f}/{number:05d}.png", 3)) for f in ("trainA", "trueB"))
        label = record.classes[f"trainA/{number:05d}.png"]
        assert np.array_equal(colored(gray[:, :, 0], label), color)
    assert len(list((bed / "trainB").iterdir())) == 12


def test_a_bed_is_made_once(bed: Path, tmp_path: Path) -> None:
    flags = ["digits", "--size", "16", "--images", "20", "--target", "12", "--test", "20", "--tail", "0.7"]
    before = {path: path.read_bytes() for path in bed.rglob("*.*")}
    assert make_bed.main([*flags, "--out", str(bed)]) == 0
    assert make_bed.main([*flags, "--out", str(tmp_path / "again")]) == 0
    for path, data in before.items():
        assert (tmp_path / "again" / path.relative_to(bed)).read_bytes() == data == path.read_bytes()
    with pytest.raises(DataError, match="holds another test bed"):
        make_bed.main([*flags, "--seed", "1", "--out", str(bed)])
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        make_bed.main([*flags, "--out", str(tmp_path / "file")])
    with pytest.raises(DataError, match="cannot be written"):
        make_bed.main([*flags, "--out", str(tmp_path / "file" / "below")])
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    with pytest.raises(DataError, match="is not empty"):
        make_bed.main([*flags, "--out", str(tmp_path / "full")])
    with pytest.raises(OptionError, match="--tail 2"):
        make_bed.main(["digits", "--tail", "2", "--out", str(tmp_path / "none")])
    (bed / "bed.json").write_text(json.dumps({"kind": "digits"}))
    with pytest.raises(DataError, match="damaged"):
        Bed.read(bed)


def test_color_transfer_carries_mean_and_covariance() -> None:
    rng = torch.Generator().manual_seed(0)
    mix = torch.tensor([[0.1, 0.0, 0.0], [0.05, 0.08, 0.0], [0.02, 0.03, 0.06]])
    A, B = (torch.randn(5, 3, 16, 16, generator=rng) * 0.1 for _ in "AB")
    B = torch.einsum("ij,njhw->nihw", mix * 10, B) + torch.tensor([0.1, -0.1, 0.2]).view(1, 3, 1, 1)
    moved = color_transfer(A, B)(A)
    for found, wanted in zip(_moments(moved), _moments(B), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0.02, atol=2e-3)
    gray = A[:, :1].expand(-1, 3, -1, -1)
    assert bool(color_transfer(gray, B)(gray).isfinite().all())  # of images without color, too


def _moments(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = images.permute(1, 0, 2, 3).flatten(1)
    return pixels.mean(dim=1), pixels.cov()


def test_references_are_as_many_as_the_test_images(tmp_path: Path) -> None:
    write_bed(tmp_path / "bed", *digits(TINY))
    judge = Judge.load(tmp_path / "bed")
    found = references(judge, tmp_path / "bed")
    assert list(found) == [
        "input unchanged",
        "linear color transfer",
        "mean target image",
        "random target images",
        "truth",
    ]
    assert {images.shape for images in found.values()} == {judge.A.shape}
    assert judge.figures(found["mean target image"])["KID"] > judge.figures(found["truth"])["KID"]
