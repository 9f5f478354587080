"""The data sets: which files they take, what they say of themselves, and what they say when something is missing."""

import logging
import os
import pickle
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coopcut.data import DATASETS, create_dataset
from coopcut.data.base_dataset import BaseDataset, ImageDataset
from coopcut.data.batch import Failure, Sample, SampleIndex
from coopcut.data.folders import find_domain
from coopcut.images.io import to_tensor
from coopcut.util.errors import DataError, OptionError

FIRST = SampleIndex(epoch=1, position=0, A=0, B=0)


def make_options(dataroot: Path, **changes: Any) -> Namespace:
    options = {
        "dataroot": str(dataroot), "dataset_mode": "unaligned", "phase": "train", "direction": "AtoB",
        "serial_batches": False, "num_threads": 0, "batch_size": 1, "load_size": 12, "crop_size": 8,
        "max_dataset_size": float("inf"), "preprocess": "resize_and_crop", "no_flip": False, "random_scale_max": 3.0,
        "input_nc": 3, "output_nc": 3, "n_epochs": 2, "isTrain": True, "seed": 0,
    }  # fmt: skip
    return Namespace(**{**options, "value_range": "dtype", **changes})


def make_images(folder: Path, count: int, size: tuple[int, int] = (14, 10), seed: int = 0) -> None:
    """PNG files 0.png, 1.png ... of noise; `size` is (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{i}.png")


def sample_of(dataset: BaseDataset, index: SampleIndex) -> Sample:
    sample = dataset[index]
    assert isinstance(sample, Sample)
    return sample


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """trainA with 4 images and trainB with 3."""
    make_images(tmp_path / "trainA", 4, seed=1)
    make_images(tmp_path / "trainB", 3, seed=2)
    return tmp_path


def message_of(options: Namespace) -> str:
    with pytest.raises(DataError) as caught:
        create_dataset(options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_unaligned(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dataset = create_dataset(make_options(root))
    assert isinstance(dataset, ImageDataset)
    assert (len(dataset), dataset.size_A, dataset.size_B) == (4, 4, 3)
    assert dataset.paths_A == [str(root / "trainA" / f"{i}.png") for i in range(4)]
    said = f"A: 4 images in {root}/trainA, B: 3 images in {root}/trainB; an epoch is 4 samples"
    assert dataset.describe() == said
    assert said in caplog.text
    sample = sample_of(dataset, SampleIndex(1, 0, 2, 1))
    assert sample.A.shape == (3, 8, 8)
    assert sample.A.dtype == torch.float32
    assert (sample.A_path, sample.B_path) == (dataset.paths_A[2], dataset.paths_B[1])


def test_pixels_are_those_of_the_file(root: Path) -> None:
    dataset = create_dataset(make_options(root, preprocess="none", no_flip=True))
    sample = sample_of(dataset, SampleIndex(1, 0, 1, 2))
    assert sample.B is not None
    for tensor, path in ((sample.A, "trainA/1.png"), (sample.B, "trainB/2.png")):
        img = Image.open(root / path).resize((16, 8), Image.Resampling.BICUBIC)  # 14 / 4 and 10 / 4 go to the even
        assert torch.equal(tensor, to_tensor(img))


def test_domains_are_cropped_independently_and_reproducibly(root: Path) -> None:
    options = make_options(root, dataset_mode="unaligned", preprocess="crop", crop_size=4, seed=3)
    make_images(root / "trainB", 4, seed=1)  # the same images as in trainA
    dataset, again = create_dataset(options), create_dataset(options)
    indices = [SampleIndex(1, i, 0, 0) for i in range(10)]
    samples = [sample_of(dataset, index) for index in indices]
    assert all(torch.equal(s.A, sample_of(again, d).A) for s, d in zip(samples, indices, strict=True))
    assert sum(torch.equal(s.A, s.B) for s in samples if s.B is not None) < 4
    assert len({s.A.numpy().tobytes() for s in samples}) > 5
    other_seed = create_dataset(make_options(root, preprocess="crop", crop_size=4, seed=4))
    assert not all(torch.equal(s.A, sample_of(other_seed, d).A) for s, d in zip(samples, indices, strict=True))


def test_direction_swaps_folders_and_not_channels(root: Path) -> None:
    dataset = create_dataset(make_options(root, direction="BtoA", input_nc=1, output_nc=3))
    assert dataset.paths_A[0] == str(root / "trainB" / "0.png")
    assert dataset.paths_B[0] == str(root / "trainA" / "0.png")
    assert dataset.describe().startswith(f"A: 3 images in {root}/trainB, B: 4 images in {root}/trainA;")
    sample = sample_of(dataset, FIRST)
    assert sample.B is not None
    assert (sample.A.shape[0], sample.B.shape[0]) == (1, 3)


def test_max_dataset_size_caps_each_domain(root: Path) -> None:
    dataset = create_dataset(make_options(root, max_dataset_size=3))
    assert [os.path.basename(path) for path in dataset.paths_A] == ["0.png", "1.png", "2.png"]
    assert dataset.describe() == (
        f"A: 3 of 4 images in {root}/trainA, B: 3 images in {root}/trainB; an epoch is 3 samples"
    )
    assert "--max_dataset_size 0 must be at least 1" in message_of(make_options(root, max_dataset_size=0))


def test_val_stands_in_for_test(root: Path) -> None:
    make_images(root / "valA", 2)
    make_images(root / "valB", 1)
    assert create_dataset(make_options(root, phase="test")).paths_B == [str(root / "valB" / "0.png")]
    make_images(root / "testA", 1)
    make_images(root / "testB", 1)
    assert create_dataset(make_options(root, phase="test")).paths_A == [str(root / "testA" / "0.png")]


def test_single_folder(root: Path) -> None:
    dataset = create_dataset(make_options(root, dataset_mode="single", phase="test"))
    assert len(dataset) == 7  # sub-folders included
    assert dataset.paths_B == []
    sample = sample_of(dataset, SampleIndex(1, 0, 6, None))
    assert (sample.B, sample.B_path) == (None, None)
    assert sample.A_path == str(root / "trainB" / "2.png")
    assert dataset.describe() == f"A: 7 images in {root}; an epoch is 7 samples"
    assert [index.A for index in dataset.indices(1, 0, serial=True)] == list(range(7))
    assert {index.B for index in dataset.indices(1, 0, serial=False)} == {None}


def test_single_file(root: Path) -> None:
    file = root / "trainA" / "3.png"
    dataset = create_dataset(make_options(file, dataset_mode="single"))
    assert dataset.paths_A == [str(file)]
    assert dataset.describe() == f"A: 1 image in {file}; an epoch is 1 sample"


def test_unreadable_image_becomes_a_failure(root: Path) -> None:
    for domain in "AB":
        file = root / f"train{domain}" / "0.png"
        whole = file.read_bytes()
        file.write_bytes(whole[:100])  # header intact
        dataset = create_dataset(make_options(root))
        failure = dataset[FIRST]
        assert isinstance(failure, Failure)
        assert failure.path == str(file)
        assert failure.message.startswith(f"{file}: damaged or unreadable image (")
        file.write_bytes(whole)


def test_missing_root(tmp_path: Path) -> None:
    make_images(tmp_path / "maps", 1)
    for mode in ("unaligned", "single"):
        text = message_of(make_options(tmp_path / "horse2zebra", dataset_mode=mode))
        assert text.startswith(f"{tmp_path / 'horse2zebra'}")
        assert ": no such folder; --dataset_mode " in text
        assert text.endswith(f"; folders in {tmp_path}: maps")


def test_no_trainB_says_what_is_there(root: Path) -> None:
    make_images(root, 1)
    os.rename(root / "trainB", root / "TrainB")
    assert message_of(make_options(root)) == (
        f"{root}/trainB: no such folder; --dataset_mode unaligned expects images in trainA and trainB of --dataroot "
        "(to translate a folder without a target domain: test.py --dataset_mode single); "
        f"found in {root}: TrainB (3 images), trainA (4 images), 1 image not in a subfolder"
    )


def test_at_most_8_names(tmp_path: Path) -> None:
    for i in range(11):
        (tmp_path / f"f{i:02d}").mkdir()
    text = message_of(make_options(tmp_path))
    assert text.endswith("f06 (0 images), f07 (0 images), 3 more folders")
    assert "f08" not in text


def test_empty_folder(root: Path) -> None:
    for file in (root / "trainA").iterdir():
        file.rename(file.with_suffix(".gif"))
    text = message_of(make_options(root))
    assert text.startswith(f"{root}/trainA: no images (.bmp .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm ")
    assert " .tif .tiff .webp) in this folder" in text
    found = f"; found in {root}/trainA: no subfolders and no images"
    assert text.endswith(f"{found}; 4 .gif are of an unsupported type")
    for file in (root / "trainA").iterdir():
        file.unlink()
    assert message_of(make_options(root)).endswith(found)


def test_bad_files_are_found_at_the_start(root: Path) -> None:
    (root / "trainA" / "1.png").write_bytes(b"")
    assert message_of(make_options(root)) == f"{root}/trainA/1.png: empty file (0 bytes); replace or remove it"
    (root / "trainA" / "3.png").write_text("<html>")
    assert message_of(make_options(root)).endswith(f" (the first of 2 unusable files in {root}/trainA)")
    assert len(create_dataset(make_options(root, max_dataset_size=1))) == 1  # files that are not used do not matter


def test_unusable_options(root: Path) -> None:
    with pytest.raises(OptionError, match="unknown dataset_mode 'aligned'; known: images, single, unaligned"):
        create_dataset(make_options(root, dataset_mode="aligned"))
    assert "--crop_size" in message_of(make_options(root, load_size=4))


def test_channels_are_checked_at_the_start(root: Path) -> None:
    assert "not 4; change --input_nc" in message_of(make_options(root, input_nc=4))


def test_data_sets_can_be_pickled(root: Path) -> None:
    for mode in DATASETS:
        dataset = create_dataset(make_options(root, dataset_mode=mode, domain="B"))
        copy = pickle.loads(pickle.dumps(dataset))
        index = dataset.indices(1, 0, serial=False)[0]
        ours, theirs = (each[index].named() for each in (copy, dataset))  # type: ignore[union-attr]
        assert ours.keys() == theirs.keys()
        for name, (image, path) in ours.items():
            assert torch.equal(image, theirs[name][0])
            assert path == theirs[name][1]


def test_pictures_of_other_kinds_are_told(tmp_path: Path) -> None:
    make_images(tmp_path / "photos", 2)
    for name in ("a.gif", "b.GIF", "c.heic", "notes.txt", ".hidden.gif"):
        (tmp_path / "photos" / name).write_bytes(b"?")
    domain = find_domain(str(tmp_path / "photos"), 10, "photos")
    assert domain.describe() == f"2 images in {tmp_path / 'photos'} (2 .gif, 1 .heic skipped)"
    for path in domain.paths:
        Path(path).unlink()
    with pytest.raises(DataError, match=r"no images .*; 2 \.gif, 1 \.heic are of an unsupported type$"):
        find_domain(str(tmp_path / "photos"), 10, "photos")
