"""The toy data set: the same bytes every time, true counterparts, balanced looks, and nothing half drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coopcut.datasets.toy import (
    N_LOOKS,
    Settings,
    ToyError,
    compose,
    draw_layers,
    make_dataset,
    make_scene,
    picture_of,
    read_truth,
    scene_from_truth,
    scene_truth,
)
from coopcut.datasets.toy.png import png_bytes
from tests.tools import SMALL_TOY, pixels, tree


def test_same_arguments_same_bytes(small_toy: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "again", SMALL_TOY)
    first, second = tree(small_toy), tree(tmp_path / "again")
    assert first == second
    assert sum(data is not None for data in first.values()) == 2 * SMALL_TOY.train + 2 * SMALL_TOY.test + 1
    other = picture_of(Settings(size=32, seed=6), "trainA", 0)
    assert (other != pixels(small_toy / "trainA" / "00000.png")).any()


def test_a_picture_does_not_depend_on_how_many_are_made(small_toy: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "few", Settings(size=32, train=1, test=2, seed=5))
    few, all_files = tree(tmp_path / "few"), tree(small_toy)
    names = [name for name in few if name.endswith(".png")]
    assert len(names) == 6
    assert all(few[name] == all_files[name] for name in names)


def test_files_are_plain_rgb_of_the_size_asked_for(small_toy: Path) -> None:
    for name in ("trainA/00002.png", "trainB/00000.png", "testA/00008.png", "testB/00008.png"):
        with Image.open(small_toy / name) as image:
            assert (image.size, image.mode, image.format) == ((32, 32), "RGB", "PNG")


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 3), (150, 160, 3)])
def test_png_bytes_read_back(shape: tuple[int, int, int], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "x.png").write_bytes(png_bytes(picture))
    assert np.array_equal(pixels(tmp_path / "x.png"), picture)


@pytest.mark.parametrize("size", [16, 45, 96, 260])
def test_one_scene_looks_alike_at_every_size(size: int) -> None:
    def reduced(wide: int) -> np.ndarray:
        picture = Image.fromarray(picture_of(Settings(size=wide), "testB", 3))
        return np.asarray(picture.resize((16, 16), Image.Resampling.BOX), dtype=float)

    assert np.abs(reduced(size) - reduced(128)).mean() < 6.0


def test_counterparts_have_the_same_silhouette() -> None:
    for index in range(6):
        layers = draw_layers(make_scene(1, "test", index), 64, every_look=True)
        outlines = []
        for domain in "AB":
            looks = np.stack([compose(layers, domain, look) for look in range(N_LOOKS)]).astype(int)
            outlines.append(np.ptp(looks, axis=0).max(axis=-1) > 40)
        assert 300 < outlines[0].sum() < 2000
        # Hooves and eyes have one color in all looks, and the outermost pixels are faint.
        assert (outlines[0] != outlines[1]).sum() < 0.1 * outlines[0].sum()
        animal = layers.parts["animal"]
        assert not (outlines[0] | outlines[1])[animal == 0].any()


def test_training_scenes_are_unpaired_and_test_scenes_paired(small_toy: Path) -> None:
    files = read_truth(small_toy)["files"]
    for index in range(SMALL_TOY.train):
        a, b = (scene_from_truth(files[f"train{d}/{index:05d}.png"]) for d in "AB")
        assert (a.x, a.ground, a.horizon) != (b.x, b.ground, b.horizon)
    for index in range(SMALL_TOY.test):
        assert files[f"testA/{index:05d}.png"] == files[f"testB/{index:05d}.png"]


def test_looks_are_balanced_in_every_split() -> None:
    for split in ("trainA", "trainB", "test"):
        looks = [make_scene(3, split, i).look for i in range(40)]
        assert np.bincount(looks, minlength=N_LOOKS).tolist() == [5] * N_LOOKS
        part = np.bincount(looks[:21], minlength=N_LOOKS)
        assert part.max() - part.min() == 1


def test_record_holds_what_redraws_every_picture(small_toy: Path) -> None:
    record = read_truth(small_toy)
    assert (record["size"], record["train"], record["test"], record["seed"]) == (32, 3, 9, 5)
    assert len({(look["coat"], look["pattern"]) for look in record["looks"]}) == len(record["looks"]) == N_LOOKS
    for name, truth in record["files"].items():
        domain = name.split("/")[0][-1]
        again = compose(draw_layers(scene_from_truth(truth), 32, domain), domain)
        assert np.array_equal(again, pixels(small_toy / name))


def test_a_wrong_record_is_refused() -> None:
    truth = scene_truth(make_scene(0, "test", 0))
    with pytest.raises(ValueError, match="look"):
        scene_from_truth({**truth, "look": (truth["look"] + 1) % N_LOOKS})
    with pytest.raises(ValueError, match=r"not a record of looks\.json"):
        scene_from_truth({"look": 0})


def test_a_lost_picture_is_drawn_again(tmp_path: Path) -> None:
    settings = Settings(size=16, train=1, test=1)
    (tmp_path / "data").mkdir()  # an empty folder is as good as none
    assert make_dataset(tmp_path / "data", settings)
    before = tree(tmp_path)
    (tmp_path / "data" / "testB" / "00000.png").unlink()
    assert make_dataset(tmp_path / "data", settings)
    assert tree(tmp_path) == before


def test_nothing_is_left_when_drawing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(picture: np.ndarray) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coopcut.datasets.toy.store.png_bytes", full)
    with pytest.raises(ToyError, match="No space left"):
        make_dataset(tmp_path / "data", SMALL_TOY)
    assert list(tmp_path.iterdir()) == []


def test_cue_says_how_much_of_the_look_a_horse_shows(tmp_path: Path) -> None:
    layers = draw_layers(make_scene(0, "test", 0), 48, every_look=True)
    whole, half, none = (
        np.stack([compose(layers, "A", look, cue).astype(int) for look in range(N_LOOKS)]) for cue in (1.0, 0.5, 0.0)
    )
    assert np.ptp(none, axis=0).max() == 0
    assert np.abs(whole - whole.mean(axis=0) - 2 * (half - half.mean(axis=0))).max() <= 4  # rounded and clipped
    assert (compose(layers, "B", 3, 0.0) == compose(layers, "B", 3)).all()
    settings = Settings(size=16, train=1, test=1)
    assert make_dataset(tmp_path / "toy", settings)
    record = tmp_path / "toy" / "looks.json"
    record.write_text(record.read_text().replace(' "cue": 1.0,\n', ""))  # as sets were before there was a choice
    assert not make_dataset(tmp_path / "toy", settings)
    with pytest.raises(ToyError, match=r"cue 1\.0"):
        make_dataset(tmp_path / "toy", Settings(size=16, train=1, test=1, cue=0.5))
    with pytest.raises(ToyError, match="--cue must be from 0 to 1"):
        make_dataset(tmp_path / "other", Settings(cue=1.5))
