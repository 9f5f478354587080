"""Pictures that are saved beside the computation."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tools import pixels
from util import writer
from util.errors import DataError
from util.writer import PictureWriter


def test_all_are_saved_and_few_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first picture is held up until 3 more wait for it; a fifth is taken only after that."""
    monkeypatch.setattr(writer, "THREADS", 1)
    monkeypatch.setattr(writer, "WAITING", 4)
    save, go, taken = writer.save_image, threading.Event(), list[int]()
    monkeypatch.setattr(writer, "save_image", lambda image, path: (go.wait(60), save(image, path)))
    pictures = PictureWriter()

    def add() -> None:
        for level in range(6):
            pictures.save(torch.full((3, 8, 8), level / 127.5 - 1), tmp_path / f"{level}.png")
            taken.append(level)

    adding = threading.Thread(target=add)
    adding.start()
    adding.join(0.5)
    assert taken == [0, 1, 2, 3]
    go.set()
    adding.join(60)
    pictures.finish()
    assert [int(np.mean(pixels(tmp_path / f"{level}.png"))) for level in range(6)] == list(range(6))
    pictures.close()


def test_a_failure_is_told_and_what_waits_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pictures = PictureWriter()
    pictures.save(torch.zeros(3, 8, 8), tmp_path / "file" / "a.png")
    with pytest.raises(DataError, match=r"file/a\.png: cannot be written"):
        pictures.finish()
    pictures.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        pictures.save(torch.zeros(3, 8, 8), tmp_path / "b.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
