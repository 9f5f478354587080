"""`EpochLoader`: the same batches for any number of workers and from any place in the epoch; errors in one line."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from coopcut.data import Batch, create_loader
from coopcut.data.batch import Failure, Sample
from coopcut.data.loader import EpochLoader
from coopcut.util.errors import DataError
from tests.test_data_sets import make_images, make_options

LIVE_WORKERS_AT_EXIT = """
import pathlib, sys
from coopcut.data import create_loader
from tests.test_data_sets import make_options
loader = create_loader(make_options(pathlib.Path(sys.argv[1]), num_threads=2))
batches = loader.epoch(1)
next(batches)
raise KeyError("an error, with the loader in its traceback")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """trainA with 7 images and trainB with 5."""
    make_images(tmp_path / "trainA", 7, seed=1)
    make_images(tmp_path / "trainB", 5, seed=2)
    return tmp_path


def loader_of(root: Path, **changes: Any) -> EpochLoader:
    return create_loader(make_options(root, **changes))


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.paths == b.paths and all(torch.equal(a[name], b[name]) for name in "AB")
        for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_shows_every_image(root: Path) -> None:
    loader = loader_of(root, batch_size=3)
    assert (loader.samples_per_epoch, loader.steps_per_epoch) == (7, 3)
    batches = list(loader.epoch(1))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert batches[0]["A"].shape == (3, 3, 8, 8)
    assert sorted(path for batch in batches for path in batch.paths["A"]) == loader.dataset.paths_A
    assert {path for batch in batches for path in batch.paths["B"]} == set(loader.dataset.paths_B)


def test_number_of_workers_does_not_matter(root: Path) -> None:
    epochs = {}
    for num_threads in (0, 1, 2, 3):
        loader = loader_of(root, batch_size=2, num_threads=num_threads)
        epochs[num_threads] = [batch for epoch in (1, 2, 3) for batch in loader.epoch(epoch)]
        loader.close()
    assert all(equal(epochs[0], epochs[n]) for n in (1, 2, 3))
    assert not equal(epochs[0][:4], epochs[0][4:8])


@pytest.mark.parametrize("num_threads", [0, 2])
def test_resuming_within_an_epoch(root: Path, num_threads: int) -> None:
    loader = loader_of(root, batch_size=2, num_threads=num_threads)
    whole = list(loader.epoch(2))
    for start in (0, 2, 4, 6):
        assert equal(list(loader.epoch(2, start)), whole[start // 2 :])
    assert list(loader.epoch(2, 7)) == []
    assert next(loader.epoch(2, 1)).paths["A"] == [whole[0].paths["A"][1], whole[1].paths["A"][0]]
    loader.close()


def test_a_new_epoch_ends_the_one_before(root: Path) -> None:
    loader = loader_of(root, num_threads=2)
    expected = list(loader.epoch(2))
    unfinished = loader.epoch(1)
    next(unfinished)
    assert equal(list(loader.epoch(2)), expected)
    with pytest.raises(RuntimeError, match="ended by a later one"):
        next(unfinished)
    loader.close()


def test_workers_stay_over_epochs_and_leave_on_close(root: Path) -> None:
    loader = loader_of(root, num_threads=2)
    assert multiprocessing.active_children() == []  # none before they are needed
    list(loader.epoch(1))
    first = {child.pid for child in multiprocessing.active_children()}
    list(loader.epoch(2))
    assert {child.pid for child in multiprocessing.active_children()} == first
    assert len(first) == 2
    loader.close()
    loader.close()
    assert multiprocessing.active_children() == []
    assert len(list(loader.epoch(1))) == 7  # a closed loader opens again
    del loader
    assert multiprocessing.active_children() == []


def test_spawned_workers(root: Path) -> None:
    expected = list(loader_of(root).epoch(1))
    usual = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        loader = loader_of(root, num_threads=1)
        assert equal(list(loader.epoch(1)), expected)
        loader.close()
    finally:
        multiprocessing.set_start_method(usual, force=True)


def test_workers_ignore_signals(root: Path) -> None:
    loader = loader_of(root, num_threads=1)
    batches = loader.epoch(1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(worker.pid, number)
    assert len(list(batches)) == 6
    assert worker.is_alive()
    loader.close()


def test_the_program_ends_with_live_workers(root: Path) -> None:
    command = [sys.executable, "-c", LIVE_WORKERS_AT_EXIT, str(root)]
    top = Path(__file__).parents[1]
    ended = subprocess.run(command, cwd=top, timeout=300, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("KeyError: 'an error, with the loader in its traceback'")


def test_global_randomness_is_left_alone(root: Path) -> None:
    before = torch.get_rng_state()
    for num_threads in (0, 1):
        loader = loader_of(root, num_threads=num_threads)
        list(loader.epoch(1))
        loader.close()
    assert torch.equal(torch.get_rng_state(), before)


def test_decay_epochs_see_whole_images(root: Path) -> None:
    loader = loader_of(root, num_threads=1, no_flip=True, serial_batches=True)  # n_epochs 2, crop_size 8
    whole = [Image.open(path).resize((8, 8), Image.Resampling.BICUBIC) for path in loader.dataset.paths_A]
    expected = torch.stack([torch.tensor(list(img.tobytes())).view(8, 8, 3).permute(2, 0, 1) for img in whole])
    coarse, fine = (torch.cat([batch["A"] for batch in loader.epoch(n)]) for n in (2, 3))
    assert torch.equal(((fine + 1) * 127.5).round().long(), expected)
    assert not torch.equal(coarse, fine)
    loader.close()


def test_single_has_no_B(root: Path) -> None:
    loader = loader_of(root / "trainA", dataset_mode="single", batch_size=4)
    for batch in loader.epoch(1):
        assert batch.tensors.keys() == batch.paths.keys() == batch.to("cpu").tensors.keys() == {"A"}


def test_batch_moves_to_a_device(root: Path) -> None:
    batch = next(loader_of(root, batch_size=2).epoch(1))
    moved = batch.to("meta")
    assert (moved["A"].device.type, moved["B"].device.type) == ("meta", "meta")
    assert moved.paths["A"] == batch.paths["A"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_batches_are_pinned_for_cuda(root: Path) -> None:
    loader = loader_of(root, batch_size=2, num_threads=2)
    for batch in loader.epoch(1):
        assert batch["A"].is_pinned()
        assert batch["B"].is_pinned()
        assert torch.equal(batch.to("cuda")["A"].cpu(), batch["A"])
    loader.close()


@pytest.mark.parametrize("num_threads", [0, 2])
def test_damaged_image_ends_the_epoch_with_its_one_line(root: Path, num_threads: int) -> None:
    file = root / "trainA" / "5.png"
    file.write_bytes(file.read_bytes()[:100])
    loader = loader_of(root, num_threads=num_threads, batch_size=2)
    with pytest.raises(DataError) as caught:
        list(loader.epoch(1))
    assert str(caught.value).startswith(f"{file}: damaged or unreadable image (")
    assert "\n" not in str(caught.value)
    loader.close()


@pytest.mark.parametrize("num_threads", [0, 2])
def test_iterate_hands_out_failures_and_any_size(root: Path, num_threads: int) -> None:
    folder = root / "trainA"
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:100])
    Image.new("RGB", (31, 9)).save(folder / "6.png")
    loader = loader_of(folder, dataset_mode="single", preprocess="none", batch_size=4, num_threads=num_threads,
                       serial_batches=True)  # fmt: skip
    lists = list(loader.iterate(loader.indices(1)))
    assert [len(items) for items in lists] == [4, 3]
    items = [item for items in lists for item in items]
    assert isinstance(items[5], Failure)
    assert items[5].path == str(folder / "5.png")
    assert isinstance(items[6], Sample)
    assert tuple(items[6].A.shape) == (3, 8, 32)
    assert sum(isinstance(item, Sample) for item in items) == 6
    loader.close()


def test_mixed_sizes_in_a_batch(root: Path) -> None:
    Image.new("RGB", (40, 20)).save(root / "trainB" / "1.png")
    options = {"preprocess": "none", "serial_batches": True}
    assert len(list(loader_of(root, **options, batch_size=1).epoch(1))) == 7
    with pytest.raises(DataError) as caught:
        list(loader_of(root, **options, batch_size=2).epoch(1))
    assert str(caught.value) == (
        f"images of different sizes in one batch: {root}/trainB/0.png is 16x8 and {root}/trainB/1.png is 40x20 pixels "
        "after --preprocess; use --batch_size 1 or a cropping --preprocess (for example resize_and_crop)"
    )


def test_domains_may_differ_in_size(root: Path) -> None:
    make_images(root / "trainB", 5, size=(24, 32))
    batch = next(loader_of(root, preprocess="none", batch_size=3).epoch(1))
    assert (tuple(batch["A"].shape), tuple(batch["B"].shape)) == ((3, 3, 8, 16), (3, 3, 32, 24))


def test_batch_larger_than_the_data_set(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        loader_of(root, batch_size=8)
    assert str(caught.value) == (
        "--batch_size 8 is larger than the data set (7 images): use --batch_size 7 or less, or more images"
    )
    testing = loader_of(root, batch_size=8, isTrain=False, dataset_mode="single")
    assert [len(batch) for batch in testing.epoch(1)] == [8, 4]
    with pytest.raises(DataError, match="--batch_size 0 must be at least 1"):
        loader_of(root, batch_size=0)
    with pytest.raises(DataError, match="--num_threads -1 must be at least 0"):
        loader_of(root, num_threads=-1)
