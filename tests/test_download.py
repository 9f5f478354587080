"""datasets/download.py: data sets whole or not at all. What is downloaded is stood in for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coopcut.data.array_files import read_npz
from coopcut.data.image_sources import open_images
from coopcut.datasets import download
from coopcut.util.errors import DataError, OptionError
from tests.tools import train_options


class Stand:
    """What torchvision's data sets hold: 2 images of 4 pixels."""

    classes = ("bird", "ship")

    def __init__(self, root: str, download: bool, train: bool = True, split: str = "train") -> None:
        assert download
        self.labels = self.targets = [0, 1]
        self.data = np.full((2, 3, 4, 4), 7 if train and split == "train" else 9, np.uint8)


def test_pictures_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setattr(torchvision.datasets, "STL10", Stand)
    assert download.main(["stl10", "--out", str(tmp_path)]) == 0
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert names == [
        f"stl10/{part}/{name}" for part in ("test", "train") for name in ("bird/00000.png", "ship/00001.png")
    ]
    source = open_images(
        train_options(["--model", "gan", "--dataroot", str(tmp_path / "stl10/train"), "--conditional"]), "train"
    )
    assert (source.class_names, source.labels) == (["bird", "ship"], [0, 1])


def test_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    class Last(Stand):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.data = self.data.transpose(0, 2, 3, 1)

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Last)
    assert download.main(["cifar10", "--out", str(tmp_path)]) == 0
    assert [int(read_npz(tmp_path / "cifar10/cifar10.npz", part).images.max()) for part in ("train", "test")] == [7, 9]


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("File not found or corrupted.\nmore")])
def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(raw: Path, made: Path) -> None:
        (made / "half").write_text("half")
        raise error

    monkeypatch.setitem(download.KINDS, "mnist", fails)
    with pytest.raises(DataError) as caught:
        download.main(["mnist", "--out", str(tmp_path)])
    assert str(caught.value).startswith("mnist cannot be downloaded")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mnist").mkdir()
    assert download.main(["mnist", "--out", str(tmp_path)]) == 0  # there already
    with pytest.raises(OptionError, match="cifar"):
        download.main(["cifar"])
