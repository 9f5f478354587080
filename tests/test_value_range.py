"""Which values become black and white: what is assumed is said, what is ambiguous is refused, --value_range sets it."""

import io
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from coopcut.images.io import read_image, upright
from coopcut.images.pixels import parse_ranges
from coopcut.inference.translator import Translator
from coopcut.util.errors import DataError
from tests.tools import TINY, TRAIN, refused, run

GRAY = ["--input_nc", "1", "--output_nc", "1"]


def data_set(place: Path, dtype: str, low: float, high: float, shape: tuple[int, ...] = (40, 40), **how: Any) -> Path:
    """TIFF images of both domains, with noise from `low` to `high`, both included."""
    rng = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA"):
        (place / "deep" / folder).mkdir(parents=True)
        for number in range(3):
            values = rng.random(shape) * (high - low) + low
            values[0, 0], values[0, 1] = low, high
            values = values.astype(dtype) if dtype.startswith("f") else np.rint(values).astype(dtype)
            tifffile.imwrite(place / "deep" / folder / f"{number}.tif", values, **how)
    return place / "deep"


def trained(place: Path, *flags: str) -> Any:
    return run("train", "--dataroot", place / "deep", "--name", "deep", *TINY, *flags, "--max_iters", 1)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "kind", "white"),
    [
        ("u2", 0, 1023, "16-bit", 65535),  # a camera of 10 bits
        ("u2", 0, 4000, "16-bit", 65535),  # one of 12
        ("u2", 0, 255, "16-bit", 65535),
        ("u2", 40000, 42000, "16-bit", 65535),
        ("u1", 0, 1, "8-bit", 255),  # a mask
        ("u1", 0, 15, "8-bit", 255),  # labels
        ("f4", 0, 0.05, "float32", 1),
    ],
)
def test_few_levels_are_warned_of(place: Path, dtype: str, low: float, high: float, kind: str, white: float) -> None:
    data_set(place, dtype, low, high)
    outcome = trained(place, *GRAY)
    assert outcome.code == 0
    for folder in ("trainA", "trainB"):
        assert (
            f"warning: {place / 'deep' / folder}: {kind} values {low:g} to {high:g}, 99.8 % of them in less than 1/16 "
            f"of the range 0 (black) to {white:g} (white): "
            "if that is not intended, name the values of black and white with --value_range"
        ) in outcome.err


def test_few_levels_of_deep_color(place: Path) -> None:
    data_set(place, "u2", 0, 4000, (40, 40, 3), photometric="rgb")
    assert trained(place).err.count("16-bit values 0 to 4000, 99.8 % of them in less than 1/16") == 2


@pytest.mark.parametrize(("dtype", "low", "high"), [("u2", 0, 65535), ("u2", 100, 30000), ("f4", 0, 1), ("f2", 0, 0.5)])
def test_what_is_assumed_is_said(place: Path, dtype: str, low: float, high: float) -> None:
    data_set(place, dtype, low, high)
    outcome = trained(place, *GRAY)
    white = 65535 if dtype == "u2" else 1
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count(f"0 becomes black and {white} white; to change that, use --value_range LOW,HIGH") == 2


def test_8_bits_that_use_their_range_are_passed_over(place: Path) -> None:
    outcome = run("train", *TRAIN)
    assert (outcome.code, outcome.err) == (0, "")
    assert "becomes black" not in outcome.out


@pytest.mark.parametrize(
    ("dtype", "low", "high", "says"),
    [
        ("i4", 0, 255, "int32 values 0 to 255"),
        ("u4", 0, 4095, "uint32 values 0 to 4095"),
        ("i2", -1000, 3000, "int16 values -1000 to 3000"),  # Hounsfield units
        ("f4", 0, 255, "float32 values 0 to 255"),
        ("f8", -1, 1, "float64 values -1 to 1"),
    ],
)
def test_what_is_ambiguous_is_refused(place: Path, dtype: str, low: float, high: float, says: str) -> None:
    root = data_set(place, dtype, low, high)
    argv = ["--dataroot", root, "--name", "deep", *TINY, *GRAY]
    refused(
        "train",
        argv,
        f"{root}/trainA: {says} (the first: {root}/trainA/0.tif): name the values",
    )
    outcome = trained(place, *GRAY, "--value_range", f"{low},{high}")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{low:g} becomes black and {high:g} white, 0 % of the values lie outside" in outcome.out


def test_range_is_saved_and_used_to_translate(place: Path) -> None:
    root = data_set(place, "u2", 0, 1000)
    assert trained(place, *GRAY, "--value_range=0,1000").code == 0
    assert json.loads(Path("checkpoints/deep/train_opt.json").read_text())["value_range"] == "0,1000"
    outcome = run("test", "--name", "deep", "--dataroot", root, "--preprocess", "none", "--gpu_ids", -1)
    assert (outcome.code, outcome.err) == (0, "")
    shown = np.asarray(Image.open("results/deep/test_latest/images/real_A/1.png").convert("L"))
    assert np.array_equal(shown, np.rint(tifffile.imread(root / "testA" / "1.tif") * (255 / 1000)))


def test_range_of_the_run_is_used_to_measure(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of inputs, counterparts and training images, not of translations; kept features are those of the range."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    root = data_set(place, "u2", 0, 1000)
    (root / "testB").mkdir()
    for number in range(3):
        values = np.full((32, 32), 100 * number, np.uint16)
        tifffile.imwrite(root / "testB" / f"{number}.tif", values)
    assert trained(place, *GRAY, "--value_range=0,1000/0,400").code == 0
    assert run("test", "--name", "deep", "--dataroot", root, "--gpu_ids", -1).code == 0
    assert run("evaluate", "--name", "deep", "--gpu_ids", -1).code == 0
    written = json.loads(Path("results/deep/test_latest/metrics.json").read_text())
    assert written["setting"]["value_ranges"] == [[0, 1000], [0, 400]]
    fakes = [np.asarray(Image.open(f"results/deep/test_latest/images/fake_B/{n}.png")) for n in range(3)]

    def rmse(truth: list[int]) -> float:
        off = [fake.astype(float) - level for fake, level in zip(fakes, truth, strict=True)]
        return float(np.sqrt(np.mean(np.square(off))))

    assert written["paired"]["translations"]["RMSE"] == pytest.approx(rmse([0, 64, 128]))  # 0, 100, 200 of 400
    other = ["--fake", "results/deep/test_latest", "--real", root / "testB", "--truth", root / "testB", "--gpu_ids", -1]
    outcome = run("evaluate", *other, "--value_range", "0,100", "--json", "other.json")
    assert outcome.code == 0, outcome.err
    written = json.loads(Path("other.json").read_text())
    assert written["paired"]["translations"]["RMSE"] == pytest.approx(rmse([0, 255, 255]))


def test_range_in_python(place: Path) -> None:
    """PIL images and files hold the values of the run's files; arrays of uint8 are levels."""
    data_set(place, "u2", 0, 1000)
    assert trained(place, *GRAY, "--value_range=0,1000").code == 0
    translator = Translator.load("checkpoints/deep", gpu_ids=-1)
    deep = tifffile.imread("deep/testA/0.tif")
    wanted = np.asarray(translator(np.rint(deep * (255 / 1000)).astype(np.uint8)))
    for image in (Image.fromarray(deep), Image.open("deep/testA/0.tif"), "deep/testA/0.tif", Path("deep/testA/0.tif")):
        assert np.array_equal(np.asarray(translator(image)), wanted)


@pytest.mark.parametrize("name", ["color.png", "color.tif", "gray.pgm", "color.ppm", "text.pgm", "white.tif", "4.tif"])
def test_what_pillow_drops_or_scales_is_read_from_the_file(tmp_path: Path, name: str) -> None:
    """An image that was opened and not read is what its file is; without a file it is refused where values are lost."""
    color = np.random.default_rng(0).integers(0, 4096, (8, 8, 3)).astype(np.uint16)
    gray, path = color[:, :, 0], tmp_path / name
    if name == "color.png":
        path.write_bytes(imagecodecs.png_encode(color))
    elif name == "color.tif":
        tifffile.imwrite(path, color, photometric="rgb", metadata=None)
    elif name == "white.tif":
        tifffile.imwrite(path, gray.astype(np.uint8), photometric="miniswhite", metadata=None)
    elif name == "4.tif":
        tifffile.imwrite(path, (gray >> 8).astype(np.uint8), photometric="minisblack", bitspersample=4, metadata=None)
    elif name == "text.pgm":
        path.write_text("P2 8 8 4095\n" + " ".join(map(str, gray.ravel())))
    else:
        head = b"P5" if name == "gray.pgm" else b"P6"
        path.write_bytes(head + b"\n8 8\n4095\n" + (gray if name == "gray.pgm" else color).astype(">u2").tobytes())
    for value_range in (None, (0.0, 2000.0)):
        wanted = np.asarray(read_image(path, 3, value_range))
        assert np.array_equal(np.asarray(upright(Image.open(path), 3, value_range=value_range)), wanted)
    if name in ("color.png", "color.tif"):
        with pytest.raises(DataError, match="colors of 16 bits, of which Pillow keeps 8: give the path"):
            upright(Image.open(io.BytesIO(path.read_bytes())), 3)


def test_one_bright_image_does_not_hide_dark_ones(place: Path) -> None:
    root = data_set(place, "u2", 0, 1023)
    tifffile.imwrite(root / "trainA" / "2.tif", tifffile.imread(root / "trainA" / "2.tif") * np.uint16(16))
    outcome = trained(place, *GRAY)
    assert "trainA: 16-bit values 0 to 16368, 99.8 % of them in less than 1/16" in outcome.err


def test_a_type_that_tells_no_range_is_found_beyond_the_images_that_are_looked_at(place: Path) -> None:
    root = data_set(place, "u1", 0, 255)
    for number in range(3, 14):
        values = np.arange(1600).reshape(40, 40) % 256
        tifffile.imwrite(root / "trainA" / f"{number}.tif", values.astype(np.int32 if number == 8 else np.uint8))
    argv = ["--dataroot", root, "--name", "deep", *TINY, *GRAY]
    refused(
        "train",
        argv,
        f"{root}/trainA/8.tif: int32 values: name the values of black and white with --value_range",
    )
    assert trained(place, *GRAY, "--value_range", "0,255").code == 0


def test_each_domain_may_have_its_own(place: Path) -> None:
    """Values beyond the range become black or white, and their share is said; 8-bit images obey too."""
    root = data_set(place, "i2", -1000, 3000)
    for number in range(3):
        Image.new("L", (40, 40), 10 + number).save(root / "trainB" / f"{number}.png")
        (root / "trainB" / f"{number}.tif").unlink()
    outcome = trained(place, *GRAY, "--value_range", "-1000,1000/10,12", "--update_html_freq", "1", "--batch_size", "3")
    assert outcome.code == 0
    assert (
        "trainA: int16 values -1000 to 3000; -1000 becomes black and 1000 white, 50 % of the values lie outside"
        in outcome.err
    )
    assert "trainB: 8-bit values 10 to 12; 10 becomes black and 12 white, 0 % of the values lie outside" in outcome.out


@pytest.mark.parametrize("text", ["", "5", "5,5", "9,1", "0,nan", "0,inf", "a,b", "1,2,3", "0,1/0,1/0,1", "DTYPE"])
def test_wrong_ranges(place: Path, text: str) -> None:
    refused("train", [*TRAIN, f"--value_range={text}"], "--value_range: ")


def test_ranges() -> None:
    assert parse_ranges("dtype") == (None, None)
    assert parse_ranges("0,4095") == ((0, 4095), (0, 4095))
    assert parse_ranges("-1000,3000/dtype") == ((-1000, 3000), None)
    assert parse_ranges("dtype / 0, 1") == (None, (0, 1))
