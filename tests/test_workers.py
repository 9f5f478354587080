"""Worker processes: what they hand over, and that none outlives or holds up the main process."""

import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import coopcut.data.workers
from coopcut.data import create_loader
from coopcut.data.base_dataset import ImageDataset
from coopcut.data.batch import Sample, SampleIndex
from coopcut.data.loader import EpochLoader
from tests.project import ROOT
from tests.test_data_sets import make_options
from tests.training import same

READ = ImageDataset.__getitem__


# -- what they hand over ----------------------------------------------------------------------------------------------


def test_neither_shared_memory_nor_files_are_written(fails: Callable[..., EpochLoader]) -> None:
    """A process that may not write a byte to files cannot use shared memory either."""
    expected = list(fails(lambda: None, 0).epoch(1))
    loader = fails(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    for one, other in zip(loader.epoch(1), expected, strict=True):
        same(vars(one), vars(other))
    loader.close()


def test_global_randomness_of_a_data_set_differs_between_workers_not_between_runs(
    five_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawing(self: ImageDataset, index: SampleIndex) -> Any:
        sample = READ(self, index)
        assert isinstance(sample, Sample)
        sample.A[0, 0] = torch.rand(8) + np.random.rand()
        return sample

    monkeypatch.setattr(ImageDataset, "__getitem__", drawing)
    runs = []
    for _ in range(2):
        loader = create_loader(make_options(five_images, num_threads=2, serial_batches=True))
        runs.append(torch.cat([batch["A"][:, 0, 0] for epoch in (1, 2) for batch in loader.epoch(epoch)]))
        loader.close()
    assert torch.equal(runs[0], runs[1])
    assert len(runs[0].unique(dim=0)) == len(runs[0]) == 10


# -- processes that do not answer -------------------------------------------------------------------------------------


def hang() -> None:
    time.sleep(1000)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("does", [hang, stop])
def test_closing_does_not_wait_for_them(
    fails: Callable[..., EpochLoader], does: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    monkeypatch.setattr(coopcut.data.workers, "PATIENCE", 0.0)
    loader = fails(does)
    batches, got = loader.epoch(1), list[Any]()

    def read() -> None:
        with pytest.raises(RuntimeError, match=r"this iteration was ended by a later one, or by close\(\)"):
            next(batch for batch in batches if got.append(batch))  # type: ignore[func-returns-value]

    reader = threading.Thread(target=read, daemon=True)
    with caplog.at_level(logging.WARNING):
        reader.start()
        deadline = time.time() + 60
        while not caplog.messages and time.time() < deadline:
            time.sleep(0.05)
    assert len(caplog.messages) == 1
    assert "no images for 0 s: the process that reads " in caplog.messages[0]
    assert "trainA/3.png" in caplog.messages[0]
    loader.close()
    reader.join(60)
    assert not reader.is_alive()
    assert len(got) == 3
    assert multiprocessing.active_children() == []


ORPHANS = """
import multiprocessing, os, pathlib, signal, sys, time
from coopcut.data import create_loader
from coopcut.data.base_dataset import ImageDataset
from tests.test_data_sets import make_options
read = ImageDataset.__getitem__
def get(self, index):
    if index.position == 3:
        time.sleep(1000)
    return read(self, index)
ImageDataset.__getitem__ = get
loader = create_loader(make_options(pathlib.Path(sys.argv[1]), num_threads=4, serial_batches=True))
batches = loader.epoch(1)
for _ in range(3):
    next(batches)
print(*(worker._process.pid for worker in loader._stacked._workers), flush=True)
os.fork()
time.sleep(1000)
"""


def test_they_end_when_the_main_process_is_killed(five_images: Path) -> None:
    """Idle or hanging, while a stopped one and another child of the main process hold what they have inherited."""
    command = [sys.executable, "-c", ORPHANS, str(five_images)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            stopped, *others = [int(pid) for pid in process.stdout.readline().split()]
            assert len(others) == 3
            os.kill(stopped, signal.SIGSTOP)
            process.kill()
            deadline = time.time() + 60
            while any(map(lives, others)) and time.time() < deadline:
                time.sleep(0.02)
            assert not any(map(lives, others))
            assert lives(stopped)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
