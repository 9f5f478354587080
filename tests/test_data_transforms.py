"""`coopcut.data.transforms`: sizes, agreement with Pillow, and the distribution of crops, zooms and flips."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from coopcut.data.transforms import PREPROCESS_MODES, Preprocess, resize_shortside, resize_to_multiple, resize_width
from coopcut.util.errors import DataError

BICUBIC = Image.Resampling.BICUBIC
PLAIN = Preprocess("none", load_size=36, crop_size=32, random_scale_max=3.0, flip=False, fine_from=None)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def ramp(width: int, height: int) -> Image.Image:
    """Red is the x and green the y of each pixel, so that a crop tells where it came from."""
    y, x = np.mgrid[:height, :width].astype(np.uint8)
    return Image.fromarray(np.stack([x, y, 0 * x], axis=2))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


def windows(whole: Image.Image, size: int) -> set[bytes]:
    return {
        whole.crop((x, y, x + size, y + size)).tobytes()
        for x in range(whole.width - size + 1)
        for y in range(whole.height - size + 1)
    }


SCALED = {  # what CUT's Pillow calls make of a 50 x 44 image with load_size 36 and crop_size 32, before the crop
    "resize_and_crop": (36, 36),
    "crop": (50, 44),
    "scale_width_and_crop": (36, 32),  # int(36 * 44 / 50) = 31 is raised to crop_size
    "scale_shortside_and_crop": (50, 44),
}


@pytest.mark.parametrize("mode", SCALED)
def test_crop_modes_cut_a_window_of_the_scaled_image(mode: str) -> None:
    img = noise(50, 44)
    scaled = img if SCALED[mode] == img.size else img.resize(SCALED[mode], BICUBIC)
    for seed in range(5):
        result = replace(PLAIN, mode=mode)(img, rng(seed), 1)
        assert result.size == (32, 32)
        assert result.tobytes() in windows(scaled, 32)


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("none", (48, 40), (48, 40)),
        ("none", (50, 41), (48, 40)),  # 50 / 4 = 12.5 goes to the even 12, as in CUT
        ("none", (54, 43), (56, 44)),
        ("none", (1, 5), (4, 4)),
        ("scale_width", (72, 80), (36, 40)),
        ("scale_width", (36, 90), (36, 88)),
        ("scale_width", (100, 50), (36, 32)),
        ("scale_width", (20, 20), (36, 36)),
        ("resize_and_crop", (9, 500), (32, 32)),
        ("crop", (33, 200), (32, 32)),
        ("scale_width_and_crop", (20, 90), (32, 32)),
        ("scale_shortside_and_crop", (20, 90), (32, 32)),
        ("zoom_and_crop", (60, 90), (32, 32)),
    ],
)
def test_output_size(mode: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert replace(PLAIN, mode=mode)(noise(*size), rng(), 1).size == expected


def test_every_mode_takes_gray_and_gives_multiples_of_4() -> None:
    for mode in PREPROCESS_MODES:
        gray = replace(PLAIN, mode=mode, crop_size=30)(noise(61, 47).convert("L"), rng(), 1)
        assert gray.mode == "L"
        assert [side % 4 for side in gray.size] == [0, 0]


def test_whole_image_modes_equal_pillow() -> None:
    img = noise(72, 81)
    scaled = img.resize((36, 40), BICUBIC)
    assert same(replace(PLAIN, mode="scale_width")(img, rng(), 1), scaled)
    assert same(replace(PLAIN, mode="none")(img, rng(), 1), img.resize((72, 80), BICUBIC))
    equal_sizes = replace(PLAIN, mode="resize_and_crop", load_size=32)
    assert same(equal_sizes(img, rng(), 1), img.resize((32, 32), BICUBIC))


def test_pure_resizes_leave_fitting_images_alone() -> None:
    img = noise(36, 40)
    assert resize_width(img, 36, 32) is img
    assert resize_shortside(img, 36) is img
    assert resize_to_multiple(img) is img
    assert same(resize_shortside(img, 54), img.resize((54, 60), BICUBIC))


def test_crop_position_is_uniform_over_the_actual_image() -> None:
    crop = replace(PLAIN, mode="crop")
    random = rng()
    corners = [crop(ramp(35, 33), random, 1).getpixel((0, 0)) for _ in range(1600)]
    counts = [corners.count((x, y, 0)) for x in range(4) for y in range(2)]
    assert sum(counts) == 1600
    assert min(counts) > 140  # 200 expected, standard deviation 13
    assert max(counts) < 260


def test_small_images_are_enlarged_with_their_aspect_ratio() -> None:
    img = noise(20, 16)
    enlarged = img.resize((40, 32), BICUBIC)
    assert replace(PLAIN, mode="crop")(img, rng(), 1).tobytes() in windows(enlarged, 32)
    unzoomed = replace(PLAIN, mode="zoom_and_crop", random_scale_max=1.0)
    assert unzoomed(img, rng(), 1).tobytes() in windows(enlarged, 32)


def test_zoom_scales_each_side_by_its_own_factor() -> None:
    img = noise(200, 100)
    zoom = replace(PLAIN, mode="zoom_and_crop", random_scale_max=2.0)
    x, y = rng(3).uniform(0.5, 1, size=2)
    zoomed = img.resize((round(200 * x), round(100 * y)), BICUBIC)
    assert zoom(img, rng(3), 1).tobytes() in windows(zoomed, 32)
    low = replace(zoom, random_scale_max=64.0)  # would go below crop_size
    assert {low(noise(40, 40), rng(seed), 1).size for seed in range(8)} == {(32, 32)}


def test_finer_scale_in_the_decay_epochs_of_training_only() -> None:
    options = {"preprocess": "resize_and_crop", "load_size": 36, "crop_size": 32, "random_scale_max": 3.0}
    training = Preprocess.from_options(Namespace(**options, no_flip=True, n_epochs=5, isTrain=True))
    testing = Preprocess.from_options(Namespace(**options, no_flip=True, isTrain=False))
    img = noise(50, 44)
    coarse, fine = img.resize((36, 36), BICUBIC), img.resize((32, 32), BICUBIC)
    assert training(img, rng(), 5).tobytes() in windows(coarse, 32)
    assert same(training(img, rng(), 6), fine)
    assert testing(img, rng(), 6).tobytes() in windows(coarse, 32)
    shortside = replace(training, mode="scale_shortside_and_crop")
    assert shortside(noise(16, 20), rng(), 6).tobytes() in windows(noise(16, 20).resize((32, 40), BICUBIC), 32)


def test_flips_are_horizontal_and_half_of_the_time() -> None:
    img = noise(8, 8)
    mirrored = img.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    random = rng()
    results = [replace(PLAIN, flip=True)(img, random, 1).tobytes() for _ in range(400)]
    assert set(results) == {img.tobytes(), mirrored.tobytes()}
    assert 150 < results.count(img.tobytes()) < 250
    assert all(same(PLAIN(img, random, 1), img) for _ in range(20))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(DataError, match="unknown --preprocess 'squash'; known: resize_and_crop, crop, "):
        replace(PLAIN, mode="squash")
    with pytest.raises(DataError, match="--load_size 20 is smaller than --crop_size 32: --preprocess resize_and_crop"):
        replace(PLAIN, mode="resize_and_crop", load_size=20)
    with pytest.raises(DataError, match=r"--random_scale_max 0\.5 must be at least 1"):
        replace(PLAIN, random_scale_max=0.5)
    for mode in ("none", "crop", "scale_width", "zoom_and_crop"):  # load_size has no crop to fill
        assert replace(PLAIN, mode=mode, load_size=20).load_size == 20
