"""The pixels of translations: sizes, batches, and the same as in training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coopcut.engine.position import Position
from coopcut.images.io import read_image, to_image, to_tensor
from coopcut.inference.translator import Translator
from tests.steps import batch_of, trainer_with
from tests.tools import (
    FAKES,
    RESULTS,
    TINY,
    by_hand,
    generator_of,
    names_in,
    pixels,
    run,
    translate,
    write_image,
)


def test_batched_equals_unbatched(a_run: Path) -> None:
    for index, (width, height) in enumerate([(40, 40), (40, 40), (40, 40), (37, 51), (37, 51), (40, 40), (5, 7)]):
        write_image(Path(f"album/{index}.png"), width, height, seed=index)
    for size in (1, 3, 4):
        flags = ["--dataroot", "album", "--batch_size", size, "--preprocess", "none", "--results_dir", f"by_{size}"]
        assert "7 images translated" in translate(*flags).out
    one, three, four = (Path(f"by_{size}/tiny/test_latest/images/fake_B") for size in (1, 3, 4))
    assert names_in(one) == names_in(three) == names_in(four) == [f"{index}.png" for index in range(7)]
    for name in names_in(one):
        for batched in (three, four):  # a processor may round a batch in another way: by one level of 256 at most
            off = np.abs(pixels(one / name).astype(int) - pixels(batched / name))
            assert off.max() <= 1
            assert (off > 0).mean() < 0.01


def test_the_default_resizes_and_says_so(a_run: Path) -> None:
    write_image(Path("album/wide.png"), 99, 21)
    lines = translate("--dataroot", "album").out.splitlines()
    said = [line for line in lines if "32x32" in line]
    assert len(said) == 1
    assert "as in CUT" in said[0]
    assert "--preprocess none" in said[0]
    assert pixels(FAKES / "wide.png").shape == (32, 32, 3)


SIZES = [(37, 51), (5, 7), (1, 1), (64, 48), (33, 20), (17, 16), (2, 90)]


@pytest.mark.parametrize("size", SIZES)
def test_preprocess_none_keeps_any_size(a_run: Path, size: tuple[int, int]) -> None:
    path = write_image(Path("album/odd.png"), *size)
    outcome = translate("--dataroot", "album", "--preprocess", "none")
    assert "pixels, as in CUT" not in outcome.out
    shown = pixels(FAKES / "odd.png")
    assert shown.shape == (size[1], size[0], 3)
    assert np.array_equal(pixels(RESULTS / "images/real_A/odd.png"), np.asarray(read_image(path, 3)))
    if size[0] % 4 == 0 and size[1] % 4 == 0:
        assert np.array_equal(shown, by_hand(generator_of(a_run), path, None))


def test_padding_reflects(a_run: Path) -> None:
    path = write_image(Path("album/odd.png"), 37, 51)
    translate("--dataroot", "album", "--preprocess", "none")
    padded = np.pad(np.asarray(read_image(path, 3)), ((0, 1), (0, 3), (0, 0)), mode="reflect")
    with torch.no_grad():
        expected = generator_of(a_run)(to_tensor(Image.fromarray(padded))[None])[:, :, :51, :37]
    assert np.array_equal(pixels(FAKES / "odd.png"), np.asarray(to_image(expected)))


@pytest.mark.parametrize("extra", [[], ["--normG", "batch"], ["--ema", "0.5"]])
def test_same_pixels_as_in_training(place: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str]) -> None:
    """`fake_B` of a training step, and test.py with the weights that the step began with."""
    flags = [*TINY, "--no_flip", "--load_size", "32", "--nce_idt", "False", "--init_gain", "0.3", *extra]
    flags = ["--dataroot", "data", "--name", "tiny", *flags]
    assert run("train", *flags, "--max_iters", 2).code == 0
    weights = torch.load("checkpoints/tiny/latest_net_G.pth", weights_only=True)
    trainer = trainer_with(*flags)
    trainer.networks["G"].load_state_dict(weights)
    A = to_tensor(read_image(Path("data/testA/0.png"), 3).resize((32, 32), Image.Resampling.BICUBIC))[None]
    in_training = trainer.step(batch_of(A, A.flip(2)), Position()).images["fake_B"]
    translate(
        "--dataroot", "data", *(["--checkpoint", "checkpoints/tiny/latest_net_G.pth"] if "--ema" in extra else [])
    )
    assert np.array_equal(pixels(FAKES / "0.png"), np.asarray(to_image(in_training)))


def test_eval_mode_matters_for_batch_norm(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--normG", "batch", "--max_iters", 1, "--init_gain", 0.3]
    assert run("train", *flags).code == 0
    translate("--dataroot", "data")
    translate("--dataroot", "data", "--eval", "--results_dir", "evaluated")
    assert not np.array_equal(pixels(FAKES / "0.png"), pixels(Path("evaluated/tiny/test_latest/images/fake_B/0.png")))
    stored = torch.load("checkpoints/tiny/latest_net_G.pth", weights_only=True)
    translator = Translator.load("checkpoints/tiny", gpu_ids="-1", eval=True)
    mine = translator(Image.open("data/testA/0.png").resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(np.asarray(mine), pixels(Path("evaluated/tiny/test_latest/images/fake_B/0.png")))
    assert torch.equal(translator.generator.state_dict()["model.2.running_mean"], stored["model.2.running_mean"])


def test_one_channel_model(place: Path) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--input_nc", 1, "--output_nc", 1, "--max_iters", 1]
    assert run("train", *flags).code == 0
    write_image(Path("data/testA/gray.png"), 37, 51, channels=1)
    assert "4 images translated" in translate("--dataroot", "data", "--preprocess", "none").out
    with Image.open(FAKES / "gray.png") as img:
        assert (img.mode, img.size) == ("L", (37, 51))
    with Image.open(FAKES / "0.png") as img:
        assert img.mode == "L"
    translator = Translator.load("checkpoints/tiny", gpu_ids="-1")
    assert translator(Image.new("RGB", (20, 24))).mode == "L"  # type: ignore[union-attr]
    assert translator(np.zeros((24, 20), dtype=np.uint8)).shape == (24, 20)  # type: ignore[union-attr]
    assert translator(np.zeros((24, 20, 3), dtype=np.uint8)).shape == (24, 20, 1)  # type: ignore[union-attr]
