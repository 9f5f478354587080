"""Sets of images: what is read, what is left out, and a cache that never mixes them."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from coopcut.metrics.cache import FeatureCache, cache_folder
from coopcut.metrics.features import Features, Pictures, create_features
from coopcut.metrics.sets import Folder, mean_image, measure, resized, some
from coopcut.util.errors import DataError
from tests.tools import make_images, truncate, write_image


@pytest.fixture
def features() -> Features:
    return create_features("builtin", size=32)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


class Counting:
    """Features that count how many images they see."""

    def __init__(self, features: Features) -> None:
        self.features, self.seen = features, 0
        self.key, self.dims, self.name = features.key, features.dims, features.name

    def __call__(self, images: Pictures) -> NDArray[np.float64]:
        self.seen += len(images)
        return self.features(images)


def test_mixed_sizes_and_gray(tmp_path: Path, features: Features) -> None:
    write_image(tmp_path / "a.png", 20, 30)
    write_image(tmp_path / "b.png", 64, 48)
    write_image(tmp_path / "sub" / "c.png", 9, 9, channels=1)
    found = measure(Folder("--real", tmp_path), features)
    assert found.keys == ["a.png", "b.png", "sub/c.png"]
    assert found.describe() == f"3 images of 9x9 to 64x48 in {tmp_path} (with 1 subfolder)"
    assert found.gray.tolist() == [False, False, True]
    assert found.thumbnails.shape == (3, 32, 32, 3)
    assert found.features.shape == (3, features.dims)


def test_one_bad_file_is_named_and_left_out(
    tmp_path: Path, features: Features, cache: FeatureCache, caplog: pytest.LogCaptureFixture
) -> None:
    paths = make_images(tmp_path / "set", 4, 16)
    truncate(paths[1])
    for _ in range(2):  # also the second time: such a set is not taken from the cache
        caplog.clear()
        found = measure(Folder("--real", tmp_path / "set"), features, cache)
        assert found.keys == ["0.png", "2.png", "3.png"]
        assert len(found.skipped) == 1
        assert str(paths[1]) in caplog.text


def test_too_few(tmp_path: Path, features: Features) -> None:
    one, two = make_images(tmp_path, 2, 16)
    truncate(two)
    with pytest.raises(DataError, match=r"--fake: .* 1 of 2 images can be read; at least 2"):
        measure(Folder("--fake", tmp_path), features)
    two.unlink()
    with pytest.raises(DataError, match=r"--fake: .* holds 1 image; at least 2"):
        measure(Folder("--fake", tmp_path), features)
    one.unlink()
    with pytest.raises(DataError, match="no images in this folder"):
        Folder("--fake", tmp_path).paths.clear()


def test_features_that_are_not_finite(tmp_path: Path, features: Features) -> None:
    paths = make_images(tmp_path, 3, 16)

    class Broken(Counting):
        def __call__(self, images: Pictures) -> NDArray[np.float64]:
            found = super().__call__(images)
            found[1:, 3] = np.nan
            return found

    with pytest.raises(DataError, match=f"--real: .* 2 of 3 images are NaN or infinite .*{paths[1]}"):
        measure(Folder("--real", tmp_path), Broken(features))  # type: ignore[arg-type]


def test_the_cache_spares_the_network(tmp_path: Path, features: Features, cache: FeatureCache) -> None:
    make_images(tmp_path / "set", 3, 16)
    counting = Counting(features)
    first, second = (
        measure(Folder("--real", tmp_path / "set"), counting, cache)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert counting.seen == 3
    assert first.keys == second.keys
    for name in ("features", "thumbnails", "sizes", "gray"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert len(os.listdir(cache.folder)) == 1


def key_of(cache: FeatureCache, features: Features, files: Mapping[str, Path]) -> str:
    return cache.key(features, {name: str(path) for name, path in files.items()})


def test_keys_never_mix_sets(tmp_path: Path, features: Features, cache: FeatureCache) -> None:
    """Another content, name, order, number, scaling or network: another key. Another place or date: the same."""
    a, b, c = make_images(tmp_path, 3, 16)
    base = {"a": a, "b": b}
    keys = [
        key_of(cache, features, base),
        key_of(cache, features, {"a": b, "b": a}),
        key_of(cache, features, {"b": b, "a": a}),
        key_of(cache, features, {"a": a, "c": b}),
        key_of(cache, features, {"a": a}),
        key_of(cache, features, {"a": a, "b": b, "c": c}),
        key_of(cache, create_features("builtin", size=64), base),
    ]
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(a.read_bytes())
    os.utime(copy, (1, 1))
    assert key_of(cache, features, {"a": copy, "b": b}) == keys[0]
    Image.new("RGB", (16, 16)).save(b)
    keys.append(key_of(cache, features, base))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other set"])
def test_a_damaged_cache_is_computed_anew(tmp_path: Path, features: Features, cache: FeatureCache, damage: str) -> None:
    make_images(tmp_path / "set", 3, 16)
    paths = Folder("--real", tmp_path / "set").paths
    first = measure(Folder("--real", tmp_path / "set"), features, cache)
    (path,) = cache.folder.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        make_images(tmp_path / "other", 3, 16, seed=5)
        measure(Folder("--real", tmp_path / "other"), features, cache)
        (other,) = (found for found in cache.folder.iterdir() if found != path)
        path.write_bytes(other.read_bytes())
    again = measure(Folder("--real", tmp_path / "set"), features, cache)
    assert np.array_equal(first.features, again.features)
    assert cache.load(cache.key(features, paths), 3, features.dims) is not None  # and mended


def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path, features: Features) -> None:
    make_images(tmp_path / "set", 2, 16)
    (tmp_path / "file").write_text("in the way")
    blocked = FeatureCache(tmp_path / "file" / "cache")
    assert len(measure(Folder("--real", tmp_path / "set"), features, blocked)) == 2


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/coopcut/features")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/coopcut/features"


def test_images_have_one_order(tmp_path: Path) -> None:
    """The order is part of the figures: KID draws subsets by it."""
    names = ["10_A.png", "1_A.png", "x-1.png", "x.png", "1_A.jpg"]
    for name in names:
        (tmp_path / name).touch()
    assert list(Folder("--fake", tmp_path).paths) == ["1_A.jpg", "1_A.png", "10_A.png", "x.png", "x-1.png"]


def test_what_is_not_measured_is_said(tmp_path: Path, features: Features, caplog: pytest.LogCaptureFixture) -> None:
    make_images(tmp_path, 3, 16)
    truncate(tmp_path / "1.png")
    for name in ("contact_sheet.png", "metrics.png", "sub/metrics.png"):
        write_image(tmp_path / name, 16, 16)
    for name in ("a.gif", "b.GIF", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = measure(Folder("--fake", tmp_path), features)
    assert found.keys == ["0.png", "2.png", "sub/metrics.png"]
    said = "(with 1 subfolder; 1 unreadable; left out: contact_sheet.png, metrics.png, 2 .gif)"
    assert found.describe() == f"3 images of 16x16 in {tmp_path} {said}"
    assert f"--fake: {tmp_path}: not measured: contact_sheet.png, metrics.png, 2 .gif" in caplog.text


def test_a_translation_may_have_the_name_of_a_picture_of_ours(tmp_path: Path) -> None:
    write_image(tmp_path / "images/fake_B/metrics.png", 16, 16)
    assert list(Folder("--fake", tmp_path / "images/fake_B").paths) == ["metrics.png"]


def test_many_names_in_a_message() -> None:
    assert some([str(n) for n in range(8)]) == "0, 1, 2, 3, 4 and 3 more"


def test_mean_and_scaling() -> None:
    dark, light = (np.full((4, 6, 3), value, np.uint8) for value in (10, 21))
    assert np.array_equal(mean_image([dark, light]), np.full((4, 6, 3), 16))
    assert resized(dark, np.zeros((8, 3, 3), np.uint8)).shape == (8, 3, 3)
    with pytest.raises(ValueError, match="no pictures"):
        mean_image([])
