"""Pictures that are saved beside the computation."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coopcut.inference import writer
from coopcut.inference.results import Results, earlier_pictures
from coopcut.inference.writer import PictureWriter
from coopcut.options.option import Options
from coopcut.util.errors import DataError
from tests.tools import names_in, pixels


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """One thread, which saves nothing before this event is set."""
    save, go = writer.save_image, threading.Event()

    def save_later(image: Image.Image, path: Path) -> None:
        assert go.wait(60)
        save(image, path)

    monkeypatch.setattr(writer, "THREADS", 1)
    monkeypatch.setattr(writer, "save_image", save_later)
    return go


def flat(level: int) -> torch.Tensor:
    return torch.full((3, 8, 8), level / 127.5 - 1)


def test_all_are_saved_and_few_wait(tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first picture is held up, as many are taken as may wait, and no more."""
    monkeypatch.setattr(writer, "WAITING", 4)
    pictures, taken = PictureWriter(), list[int]()

    def add() -> None:
        for level in range(6):
            pictures.save(flat(level), tmp_path / f"{level}.png")
            taken.append(level)

    adding = threading.Thread(target=add)
    adding.start()
    until = time.monotonic() + 60
    while len(taken) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    adding.join(0.2)
    assert taken == [0, 1, 2, 3]
    held.set()
    adding.join(60)
    pictures.finish()
    assert [int(np.mean(pixels(tmp_path / f"{level}.png"))) for level in range(6)] == list(range(6))
    pictures.close()


def test_what_waits_is_dropped(tmp_path: Path, held: threading.Event) -> None:
    pictures = PictureWriter()
    for level in range(3):
        pictures.save(flat(level), tmp_path / f"{level}.png")
    threading.Timer(0.5, held.set).start()
    pictures.close()
    assert names_in(tmp_path) == ["0.png"]
    with pytest.raises(RuntimeError, match="shutdown"):
        pictures.save(flat(0), tmp_path / "b.png")


def test_a_failure_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pictures = PictureWriter()
    pictures.save(flat(0), tmp_path / "file" / "a.png")
    with pytest.raises(DataError, match=r"file/a\.png: cannot be written"):
        pictures.finish()
    pictures.close()
    assert names_in(tmp_path) == ["file"]


def test_only_the_last_finished_translation_counts(tmp_path: Path) -> None:
    """Whatever the names hold; a translation that was stopped makes all of them old."""
    opt = Options(results_dir=str(tmp_path), name="r", phase="test", epoch="latest", easy_label="", display_winsize=64)
    names = [b"caf\xe9".decode("utf-8", "surrogateescape"), "a\u2028b", "x\x0cy", "plain"]

    def translate(files: list[str], finish: bool = True) -> list[str]:
        results = Results(opt, str(tmp_path))
        for name in files:
            results.add(f"{tmp_path}/{name}.jpg", {"fake_B": flat(0)})
        results.finish()
        results.close()
        if finish:
            results.write_pages()
        return earlier_pictures(results.folder)

    assert translate(names) == []
    assert translate(names[:3]) == ["plain.png"]
    assert len(translate(names, finish=False)) == 4
    assert translate(names) == []
    unfinished = tmp_path / f"r/test_latest/images/fake_B/.{32 * 'a'}.png"
    for name in (unfinished, unfinished.with_name(".mine.png")):  # a process that was killed leaves the first
        name.touch()
    assert earlier_pictures(tmp_path / "r/test_latest") == []
    assert translate(names) == []
    assert not unfinished.exists()
    assert unfinished.with_name(".mine.png").exists()
