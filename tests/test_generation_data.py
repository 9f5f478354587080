"""`--dataset_mode images`: what generators of noise learn from, by what --dataroot names."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coopcut.data import DATASETS, HeldOutSamples, create_loader
from coopcut.data.batch import Batch, Picture, SampleIndex
from coopcut.data.image_sources import Packed, Points, Stacked, mixture_of, open_images
from coopcut.data.images import Images, stacked_labels
from coopcut.options.option import Options
from coopcut.util.errors import DataError
from tests.tools import make_images, train_options, write_image


def options(dataroot: object, *flags: str) -> Options:
    return train_options(["--model", "gan", "--dataroot", str(dataroot), "--num_threads", "0", *flags])


def pictures(dataroot: object, *flags: str) -> Images:
    found = DATASETS["images"](options(dataroot, *flags))
    assert isinstance(found, Images)
    return found


def message_of(dataroot: object, *flags: str) -> str:
    with pytest.raises(DataError) as caught:
        pictures(dataroot, *flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def idx(path: Path, values: Any) -> None:
    head = struct.pack(f">I{values.ndim}I", {3: 0x0803, 1: 0x0801}[values.ndim], *values.shape)
    content = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder with IDX files: 6 training and 4 test images of 8 x 8."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for prefix, number, end in (("train", 6, ".gz"), ("t10k", 4, "")):
        idx(folder / f"{prefix}-images-idx3-ubyte{end}", rng.integers(0, 256, (number, 8, 8)))
        idx(folder / f"{prefix}-labels-idx1-ubyte{end}", np.arange(number) % 3)
    return folder


SMALL = ["--crop_size", "8", "--no_flip", "--output_nc", "1"]


def test_a_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "faces/a.png", 20, 16)
    write_image(tmp_path / "faces/more/b.png", 16, 20)
    data = pictures(tmp_path / "faces", "--crop_size", "16", "--no_flip")
    assert len(data) == 2
    assert data.describe() == f"2 images in {tmp_path}/faces; an epoch is 2 samples"
    sample = data[SampleIndex(1, 0, 0, None)]
    assert isinstance(sample, Picture)
    assert sample.label is None
    with Image.open(tmp_path / "faces/a.png") as image:
        middle = np.asarray(image)[:, 2:18]
    assert torch.equal(sample.image, torch.from_numpy(middle.copy()).permute(2, 0, 1).float() / 127.5 - 1)


def test_classes_are_sub_folders(tmp_path: Path) -> None:
    for name, number in (("dog", 2), ("cat", 1)):
        make_images(tmp_path / "pets" / name, number, 16)
    data = pictures(tmp_path / "pets", "--crop_size", "16", "--conditional")
    assert data.class_names == ["cat", "dog"]
    samples = [data[SampleIndex(1, i, i, None)] for i in range(3)]
    assert [s.label for s in samples if isinstance(s, Picture)] == [0, 1, 1]
    turned = pictures(tmp_path / "pets", "--crop_size", "16", "--conditional", "--class_names", "dog,cat")
    assert turned.source.labels == [1, 0, 0]
    wrong = ["--crop_size", "16", "--conditional", "--class_names", "dog,cow"]
    assert "the class 'cat' is not in --class_names" in message_of(tmp_path / "pets", *wrong)
    assert "the class 'cow' is not in the data" in message_of(tmp_path / "pets", *wrong[:-1], "cat,cow,dog")
    make_images(tmp_path / "pets", 1, 16)
    assert "is in no sub-folder" in message_of(tmp_path / "pets", "--crop_size", "16", "--conditional")
    assert "has a single class, cat" in message_of(tmp_path / "pets/..", "--conditional", "--crop_size", "16").replace(
        "pets", "cat"
    )


def test_a_domain_of_a_translation_set(tmp_path: Path) -> None:
    for name, number in (("trainA", 2), ("trainB", 3), ("testB", 4)):
        make_images(tmp_path / name, number, 16)
    said = message_of(tmp_path, "--crop_size", "16")
    assert "two domains" in said
    assert "--domain A or --domain B" in said
    assert len(pictures(tmp_path, "--crop_size", "16", "--domain", "B")) == 3
    assert len(pictures(tmp_path, "--crop_size", "16", "--domain", "A")) == 2
    test = open_images(options(tmp_path, "--domain", "B"), "test")
    assert (len(test.paths), test.held_out) == (4, True)
    train = open_images(options(tmp_path, "--domain", "A"), "test")
    assert (len(train.paths), train.held_out) == (2, False)
    assert "no trainA and trainB" in message_of(tmp_path / "trainA", "--domain", "A")


def test_files_of_mnist(mnist: Path) -> None:
    data = pictures(mnist, *SMALL, "--conditional")
    assert len(data) == 6
    assert data.class_names == ["0", "1", "2"]
    sample = data[SampleIndex(1, 0, 4, None)]
    assert isinstance(sample, Picture)
    assert sample.path == f"{mnist}/train-images-idx3-ubyte.gz[4]"
    assert sample.label == 1
    assert isinstance(data.source, Packed)
    assert torch.equal(sample.image[0], torch.from_numpy(data.source.images[4].copy()).float() / 127.5 - 1)
    assert pictures(mnist, *SMALL).source.labels is None
    test = open_images(options(mnist), "test")
    assert (len(test.paths), test.held_out) == (4, True)
    (mnist / "train-images-idx3-ubyte.gz").unlink()
    assert len(pictures(mnist, *SMALL)) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.write_bytes(gzip.compress(p.read_bytes())[:40]), "cannot be read"),
        (lambda p: p.write_bytes(gzip.compress(b"\0\0\x08\x01" + bytes(12))), "is no IDX file of 3 dimensions"),
        (lambda p: idx(p, np.zeros((6, 0, 8))), "not empty"),
        (lambda p: p.write_bytes(gzip.compress(struct.pack(">4I", 0x0803, 6, 8, 8) + bytes(9))), "says 6x8x8"),
        (lambda p: idx(p, np.zeros((5, 8, 8))), "5 images and 6 labels"),
    ],
)
def test_damaged_idx_files(mnist: Path, change: Any, says: str) -> None:
    change(mnist / "train-images-idx3-ubyte.gz")
    assert says in message_of(mnist, *SMALL)


def test_npz_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=x, labels=np.array([2, 0, 1, 1, 0]))
    data = pictures(tmp_path / "a.npz", "--crop_size", "8", "--no_flip", "--conditional")
    assert data.source.labels == [2, 0, 1, 1, 0]
    sample = data[SampleIndex(1, 0, 3, None)]
    assert isinstance(sample, Picture)
    assert torch.equal(sample.image, torch.from_numpy(x[3, :, :8]).permute(2, 0, 1).float() / 127.5 - 1)
    np.savez(tmp_path / "k.npz", x_train=x[..., 0], y_train=[0, 1, 0, 1, 0], x_test=x[:2, ..., 0], y_test=[[0], [1]])
    assert len(pictures(tmp_path / "k.npz", *SMALL)) == 5
    test = open_images(options(tmp_path / "k.npz"), "test")
    assert (len(test.paths), test.held_out) == (2, True)
    for name, arrays, says in (
        ("other", {"faces": x}, "no array 'images'"),
        ("float", {"images": x / 255.0}, "images are float64"),
        ("flat", {"images": x[0, 0]}, "images are uint8 [9, 3]"),
        ("few", {"images": x, "labels": np.zeros(4, int)}, "5 images and 4 labels"),
        ("text", {"images": x, "labels": np.array(["a"] * 5)}, "labels are <U1"),
        ("pickle", {"images": np.array([{"a": 1}], object)}, "cannot be read"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        assert says in message_of(tmp_path / f"{name}.npz", *SMALL)
    (tmp_path / "bad.npz").write_bytes(b"PK no zip")
    assert "cannot be read as .npz" in message_of(tmp_path / "bad.npz", *SMALL)


def test_digits_of_scikit_learn() -> None:
    data = pictures("digits", *SMALL, "--conditional")
    assert len(data) == 1797
    assert data.class_names == [str(k) for k in range(10)]
    values = torch.stack(
        [sample.image for i in range(50) if isinstance(sample := data[SampleIndex(1, i, i, None)], Picture)]
    )
    assert (float(values.min()), float(values.max())) == (-1, 1)


def test_stacked_digits_are_three_in_one(mnist: Path) -> None:
    data = pictures(f"stacked:{mnist}", "--crop_size", "8", "--no_flip")
    assert len(data) == 6
    assert isinstance(data.source, Stacked)
    singles = torch.from_numpy(data.source.images.copy()).float() / 127.5 - 1
    seen = set()
    for epoch in range(1, 6):
        for i in range(6):
            index = SampleIndex(epoch, i, i, None)
            sample, labels = data[index], stacked_labels(data, index)
            assert isinstance(sample, Picture)
            for channel, label in zip(sample.image, labels, strict=True):
                (number,) = [n for n in range(6) if torch.equal(singles[n], channel)]
                assert data.source.single is not None
                assert data.source.single[number] == label
            seen.add(tuple(labels))
    assert len(seen) > 10
    assert "no classes" in message_of(f"stacked:{mnist}", "--conditional")
    assert "stacked: takes digits" in message_of("stacked:nowhere")


def test_points_of_a_mixture() -> None:
    data = pictures("ring:4")
    assert isinstance(data.source, Points)
    assert len(data) == 10_000
    batch = next(iter(create_loader(options("ring:4", "--batch_size", "2000")).epoch(1)))
    assert batch["B"].shape == (2000, 2, 1, 1)
    figures = data.source.mixture.measure(batch["B"][:, :, 0, 0])
    assert figures["modes"] == 4
    assert figures["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.01)
    for text in ("ring:0", "ring:x", "grid:", "ring:-1", "ring:1000"):
        assert f"--dataroot {text}: write" in message_of(text)
    assert mixture_of("rings:8") is None
    assert mixture_of("ring") is None


def test_images_that_are_too_small(tmp_path: Path, mnist: Path) -> None:
    make_images(tmp_path / "faces", 2, 16)
    says = "0.png: 16x16 pixels, smaller than --crop_size 32: use --crop_size 16 or less"
    assert says in message_of(tmp_path / "faces", "--crop_size", "32")
    assert "8x8 pixels, smaller than --crop_size 16" in message_of(mnist, "--crop_size", "16")
    assert len(
        pictures(tmp_path / "faces", "--crop_size", "32", "--preprocess", "resize_and_crop", "--load_size", "36")
    )


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_epoch_goes_on_from_any_place(mnist: Path, workers: int) -> None:
    def batches(start: int) -> list[Batch]:
        flags = ["--crop_size", "8", "--output_nc", "1", "--conditional", "--batch_size", "2", "--seed", "3"]
        loader = create_loader(options(mnist, *flags, "--num_threads", str(workers)))
        try:
            return list(loader.epoch(2, start))
        finally:
            loader.close()

    whole, rest = batches(0), batches(2)
    assert [len(batch) for batch in whole] == [2, 2, 2]
    for ours, theirs in zip(rest, whole[1:], strict=True):
        assert ours.paths == theirs.paths
        assert torch.equal(ours["B"], theirs["B"])
        assert torch.equal(ours["label"], theirs["label"])
        assert ours["label"].dtype == torch.int64
    paths = [path for batch in whole for path in batch.paths["B"]]
    assert sorted(paths) == [f"{mnist}/train-images-idx3-ubyte.gz[{i}]" for i in range(6)]
    labels = [int(label) for batch in whole for label in batch["label"]]
    assert labels == [int(path[-2]) % 3 for path in paths]


def test_held_out_images(mnist: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    held = HeldOutSamples(options(mnist, *SMALL, "--eval_num", "3"))
    assert len(held.paths["B"]) == 3
    assert held.read("B", 2).shape == (1, 8, 8)
    assert "measured against training images" not in caplog.text
    make_images(tmp_path / "faces", 2, 16)
    held = HeldOutSamples(options(tmp_path / "faces", "--crop_size", "16"))
    assert len(held.paths["B"]) == 2
    assert "measured against training images" in caplog.text
    with pytest.raises(DataError, match="points have no such figures"):
        HeldOutSamples(options("ring:8"))
    make_images(tmp_path / "one", 1, 16)
    with pytest.raises(DataError, match="at least 2 images"):
        HeldOutSamples(options(tmp_path / "one", "--crop_size", "16"))
