"""The toy data set: the same bytes every time, true counterparts, balanced looks that can be read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from datasets import make_toy
from datasets.toy import (
    N_LOOKS,
    Settings,
    ToyError,
    classify_look,
    compose,
    count_results,
    coverage,
    draw_layers,
    make_dataset,
    make_scene,
    picture_of,
    read_truth,
    scene_from_truth,
    scene_truth,
)
from datasets.toy.png import png_bytes

SMALL = Settings(size=32, train=3, test=9, seed=5)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder: relative name -> bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def load(path: Path) -> np.ndarray:
    """Return an image file as an array."""
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, not to be changed."""
    out = tmp_path_factory.mktemp("toy") / "data"
    assert make_dataset(out, SMALL)
    return out


@pytest.fixture(scope="module")
def pairs() -> list[tuple[dict, np.ndarray, np.ndarray]]:
    """16 test scenes of 64 px, every look twice: record, picture in A, picture in B."""
    made = []
    for index in range(2 * N_LOOKS):
        scene = make_scene(0, "test", index)
        layers = draw_layers(scene, 64)
        made.append((scene_truth(scene), compose(layers, "A"), compose(layers, "B")))
    return made


def test_same_arguments_same_bytes(small: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "again", SMALL)
    first, second = tree(small), tree(tmp_path / "again")
    assert first == second
    assert len(first) == 2 * SMALL.train + 2 * SMALL.test + 1
    other = picture_of(Settings(size=32, seed=6), "trainA", 0)
    assert (other != load(small / "trainA" / "00000.png")).any()


def test_a_picture_does_not_depend_on_how_many_are_made(small: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path / "few", Settings(size=32, train=1, test=2, seed=5))
    few, all_files = tree(tmp_path / "few"), tree(small)
    names = [name for name in few if name.endswith(".png")]
    assert len(names) == 6
    assert all(few[name] == all_files[name] for name in names)


def test_files_are_plain_rgb_of_the_size_asked_for(small: Path) -> None:
    for name in ("trainA/00002.png", "trainB/00000.png", "testA/00008.png", "testB/00008.png"):
        with Image.open(small / name) as image:
            assert (image.size, image.mode, image.format) == ((32, 32), "RGB", "PNG")


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 3), (150, 160, 3)])
def test_png_bytes_read_back(shape: tuple[int, int, int], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "x.png").write_bytes(png_bytes(picture))
    assert np.array_equal(load(tmp_path / "x.png"), picture)


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
        # Hooves and eyes have one colour in all looks, and the outermost pixels are faint.
        assert (outlines[0] != outlines[1]).sum() < 0.1 * outlines[0].sum()
        animal = layers.parts["animal"]
        assert not (outlines[0] | outlines[1])[animal == 0].any()


def test_training_scenes_are_unpaired_and_test_scenes_paired(small: Path) -> None:
    files = read_truth(small)["files"]
    for index in range(SMALL.train):
        a, b = (scene_from_truth(files[f"train{d}/{index:05d}.png"]) for d in "AB")
        assert (a.x, a.ground, a.horizon) != (b.x, b.ground, b.horizon)
    for index in range(SMALL.test):
        assert files[f"testA/{index:05d}.png"] == files[f"testB/{index:05d}.png"]


def test_looks_are_balanced_in_every_split() -> None:
    for split in ("trainA", "trainB", "test"):
        looks = [make_scene(3, split, i).look for i in range(40)]
        assert np.bincount(looks, minlength=N_LOOKS).tolist() == [5] * N_LOOKS
        part = np.bincount(looks[:21], minlength=N_LOOKS)
        assert part.max() - part.min() == 1


def test_record_holds_what_redraws_every_picture(small: Path) -> None:
    record = read_truth(small)
    assert (record["size"], record["train"], record["test"], record["seed"]) == (32, 3, 9, 5)
    assert len({(look["coat"], look["pattern"]) for look in record["looks"]}) == len(record["looks"]) == N_LOOKS
    for name, truth in record["files"].items():
        domain = name.split("/")[0][-1]
        again = compose(draw_layers(scene_from_truth(truth), 32, domain), domain)
        assert np.array_equal(again, load(small / name))


def test_a_wrong_record_is_refused() -> None:
    truth = scene_truth(make_scene(0, "test", 0))
    with pytest.raises(ValueError, match="look"):
        scene_from_truth({**truth, "look": (truth["look"] + 1) % N_LOOKS})
    with pytest.raises(ValueError, match=r"not a record of looks\.json"):
        scene_from_truth({"look": 0})


def blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0.0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


CHANGES = {
    "truth": lambda p: p,
    "blur of 1 px": lambda p: blurred(p, 1.0),
    "blur of 2 px": lambda p: blurred(p, 2.0),
    "noise of 25": lambda p: noisy(p, 25.0),
    "moved by 1 px": lambda p: np.roll(p, (1, -1), axis=(0, 1)),
    "twice as large": lambda p: np.asarray(Image.fromarray(p).resize((128, 128), Image.Resampling.BICUBIC)),
    "paler": lambda p: (0.85 * p + 0.15 * 128).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_classify_look_is_right_on_every_counterpart(change: str, pairs: list) -> None:
    shown = [classify_look(CHANGES[change](b), truth) for truth, _, b in pairs]
    assert shown == [truth["look"] for truth, _, _ in pairs]


def test_coverage_counts_looks(pairs: list) -> None:
    truths = [truth for truth, _, _ in pairs]
    assert coverage([b for _, _, b in pairs], truths).tolist() == [2] * N_LOOKS
    # A collapsed translator that paints every animal in one look.
    collapsed = [compose(draw_layers(scene_from_truth(t), 64, every_look=True), "B", 3) for t in truths[:4]]
    assert coverage(collapsed, truths[:4]).tolist() == [0, 0, 0, 4, 0, 0, 0, 0]
    assert coverage([], []).tolist() == [0] * N_LOOKS
    with pytest.raises(ValueError, match=r"\(h, w, 3\)"):
        classify_look(np.zeros((8, 8), dtype=np.uint8), truths[0])


def test_count_reports_true_looks_and_distance(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    perfect = count_results(small / "testB", small)
    assert (perfect.counted, perfect.expected, perfect.covered, perfect.hits, perfect.rmse) == (9, 9, 8, 9, 0.0)
    for index in range(4):  # a wrong brightness by 10, at twice the size, and a file that is no test image
        picture = (load(small / "testB" / f"{index:05d}.png").clip(10, 255) - 10).astype(np.uint8)
        Image.fromarray(picture).resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / f"{index:05d}.png")
    (tmp_path / "notes.txt").write_text("x")
    report = count_results(tmp_path, small)
    assert (report.counted, report.hits) == (4, 4)
    assert 8.0 < report.rmse < 14.0
    assert make_toy.main(["--count", str(tmp_path), "--out", str(small)]) == 0
    text = capsys.readouterr().out
    assert "images counted       4 of 9" in text
    assert "looks covered        4 of 8" in text
    assert "true look            100.0 %" in text


def fails(argv: list[str], capsys: pytest.CaptureFixture) -> str:
    """Run the command line, assert exit code 2 and one line on stderr, and return that line."""
    try:
        code = make_toy.main(argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith("make_toy.py: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--size", "15"], "--size"),
        (["--size", "4000"], "--size"),
        (["--size", "x"], "--size"),
        (["--train", "-1"], "--train"),
        (["--test", "-3"], "--test"),
        (["--seed", "-1"], "--seed"),
        (["--train", "0", "--test", "0"], "--train"),
    ],
)
def test_bad_arguments_write_nothing(
    flags: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert word in fails(["--out", str(tmp_path / "new"), *flags], capsys)
    assert list(tmp_path.iterdir()) == []


def test_out_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    before = tree(tmp_path)
    assert "is a file" in fails(["--out", str(tmp_path / "file")], capsys)
    assert "--out: cannot write" in fails(["--out", str(tmp_path / "file" / "below")], capsys)
    assert "no toy data set" in fails(["--out", str(tmp_path / "photos"), "--force"], capsys)
    assert tree(tmp_path) == before


def test_count_of_missing_folders(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "is not a folder" in fails(["--count", str(tmp_path / "no"), "--out", str(small)], capsys)
    assert "no file in" in fails(["--count", str(tmp_path), "--out", str(small)], capsys)
    assert "no toy data set" in fails(["--count", str(tmp_path), "--out", str(tmp_path)], capsys)
    (tmp_path / "00001.png").write_text("not an image")
    assert "cannot read the image" in fails(["--count", str(tmp_path), "--out", str(small)], capsys)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 0', "version 0"),
        ('"split": "test"', '"split": "?"', "damaged"),
        ('"files"', '"files', "damaged"),
        ('"generator": "make_toy"', '"generator": "other"', "not written by"),
    ],
)
def test_count_of_a_damaged_record(
    old: str, new: str, message: str, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "looks.json").write_text((small / "looks.json").read_text().replace(old, new))
    (tmp_path / "testB").symlink_to(small / "testB")
    assert message in fails(["--count", str(small / "testB"), "--out", str(tmp_path)], capsys)


def test_second_call_writes_nothing_and_other_arguments_need_force(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "deep" / "data"
    argv = ["--out", str(out), "--size", "16", "--train", "2", "--test", "1"]
    assert make_toy.main(argv) == 0
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    capsys.readouterr()
    assert make_toy.main(argv) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == stamps
    changed = [*argv[:4], "--train", "1", "--test", "1"]
    assert "--force" in fails(changed, capsys)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == stamps
    (out / "trainA" / "mine.txt").write_text("stays")
    assert make_toy.main([*changed, "--force"]) == 0
    assert sorted(p.name for p in (out / "trainA").iterdir()) == ["00000.png", "mine.txt"]
    assert json.loads((out / "looks.json").read_text())["train"] == 1
    assert not list(tmp_path.rglob(".*"))


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

    monkeypatch.setattr("datasets.toy.store.png_bytes", full)
    with pytest.raises(ToyError, match="No space left"):
        make_dataset(tmp_path / "data", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_runs_as_a_script(tmp_path: Path) -> None:
    script = Path(make_toy.__file__)
    argv = [sys.executable, str(script), "--out", "data", "--size", "16", "--train", "1", "--test", "0"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("data: 2 training and 0 test images of 16 px")
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["looks.json", "testA", "testB", "trainA", "trainB"]


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
    with pytest.raises(ToyError, match="--cue must lie in"):
        make_dataset(tmp_path / "other", Settings(cue=1.5))
