"""Fixtures: a small data set to train on, and a run that was trained on it."""

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coopcut.data import create_loader
from coopcut.data.base_dataset import ImageDataset
from coopcut.data.loader import EpochLoader
from coopcut.datasets.toy import make_dataset
from tests import test_data_sets
from tests.tools import SMALL_TOY, TINY, make_images, run, script

torch.set_num_threads(1)  # networks as small as the tests' only lose by waiting for a second thread


STARTERS = {"subprocess", "multiprocessing", "torchrun", "real_server", "copy_project", "create_loader"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out: files that use what starts other processes (and what is marked itself)."""
    for item in items:
        if isinstance(item, pytest.Function) and (STARTERS & vars(item.module).keys() or "fails" in item.fixturenames):
            item.add_marker("slow")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, made the current one, with `data`: trainA 4, trainB 3, testA 3 and testB 2 images of 40 px."""
    monkeypatch.chdir(tmp_path)
    for seed, (name, number) in enumerate({"trainA": 4, "trainB": 3, "testA": 3, "testB": 2}.items()):
        make_images(tmp_path / "data" / name, number, 40, seed)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """checkpoints/ with the run `tiny`, trained for two steps. Read-only: `a_run` is a copy."""
    folder = tmp_path_factory.mktemp("trained")
    make_images(folder / "data" / "trainA", 2, 40, 1)
    make_images(folder / "data" / "trainB", 2, 40, 2)
    flags = ["--dataroot", folder / "data", "--checkpoints_dir", folder / "checkpoints", "--name", "tiny", *TINY]
    outcome = run("train", *flags, "--max_iters", 2, "--init_gain", 0.3, "--no_html")
    assert outcome.code == 0, outcome.err
    return folder / "checkpoints"


@pytest.fixture
def a_run(place: Path, trained: Path) -> Path:
    """`place` with the run checkpoints/tiny in it; returns the folder of the run."""
    return Path(shutil.copytree(trained / "tiny", place / "checkpoints" / "tiny"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    make_images(root / "trainA", 5, 40)
    make_images(root / "trainB", 7, 40)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `data`: trainA 5, trainB 7, testA 5 and testB 5 images of 40 px, for `tests.processes`."""
    for seed, (name, number) in enumerate({"trainA": 5, "trainB": 7, "testA": 5, "testB": 5}.items()):
        make_images(tmp_path / "data" / name, number, 40, seed)
    return tmp_path


@pytest.fixture(scope="session")
def small_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn data set: 3 + 3 images of 32 px to train, 9 + 9 to test. Not to be changed."""
    out = tmp_path_factory.mktemp("toy") / "data"
    assert make_dataset(out, SMALL_TOY)
    return out


@pytest.fixture
def real_and_fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with 10 real and 10 fake images of the same names; the user's cache is elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    make_images(folder / "real", 10, 24, seed=1)
    make_images(folder / "fake", 10, 24, seed=2)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """evaluate.py draws nothing, which would take longer than all the rest."""
    monkeypatch.setattr(script("evaluate"), "draw", lambda *arguments: None)


@pytest.fixture
def five_images(tmp_path: Path) -> Path:
    """trainA with 5 images and trainB with 4."""
    test_data_sets.make_images(tmp_path / "trainA", 5, seed=1)
    test_data_sets.make_images(tmp_path / "trainB", 4, seed=2)
    return tmp_path


@pytest.fixture
def fails(five_images: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EpochLoader]]:
    """A loader of two workers, in order, in which the fourth sample does something else."""
    loaders: list[EpochLoader] = []
    read = ImageDataset.__getitem__

    def make(does: Callable[[], Any], num_threads: int = 2) -> EpochLoader:
        monkeypatch.setattr(
            ImageDataset,
            "__getitem__",
            lambda self, index: does() or read(self, index) if index.position == 3 else read(self, index),
        )
        loaders.append(
            create_loader(test_data_sets.make_options(five_images, num_threads=num_threads, serial_batches=True))
        )
        return loaders[-1]

    yield make
    for loader in loaders:
        loader.close()
    assert multiprocessing.active_children() == []
