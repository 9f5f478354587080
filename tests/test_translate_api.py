"""Translating from Python: pictures, arrays and tensors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from coopcut.engine.device import choose_device
from coopcut.inference.translator import Translator
from coopcut.util.errors import CheckpointError, DataError, OptionError
from tests.tools import METHODS, by_hand, generator_of, pixels


def test_python_call_on_pictures(a_run: Path) -> None:
    translator = Translator.load(a_run, gpu_ids="-1")
    path = Path("data/testA/0.png")
    with Image.open(path) as img:
        answer = translator(img)
    assert isinstance(answer, Image.Image)
    assert answer.mode == "RGB"
    assert np.array_equal(np.asarray(answer), by_hand(generator_of(a_run), path, None))
    gray = Image.open(path).convert("L")
    assert np.array_equal(np.asarray(translator(gray)), np.asarray(translator(gray.convert("RGB"))))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
@pytest.mark.parametrize("size", [(37, 51), (1, 1)])
def test_python_call_takes_every_mode_and_size(trained: Path, mode: str, size: tuple[int, int]) -> None:
    answer = Translator.load(str(trained / "tiny"), gpu_ids="-1")(Image.new(mode, size))
    assert isinstance(answer, Image.Image)
    assert (answer.mode, answer.size) == ("RGB", size)


def test_python_call_on_arrays(a_run: Path) -> None:
    translator = Translator.load(a_run / "latest_net_G.pth", gpu_ids="-1")
    array = pixels(Path("data/testA/0.png"))
    before = array.copy()
    expected = by_hand(generator_of(a_run), Path("data/testA/0.png"), None)
    assert np.array_equal(np.asarray(translator(array)), expected)
    assert np.array_equal(np.asarray(translator(array[::-1, ::-1])).shape, array.shape)  # a view, not contiguous
    assert np.array_equal(array, before)
    gray = array[:, :, 0].copy()
    three = np.asarray(translator(np.repeat(gray[:, :, None], 3, axis=2)))
    for form in (gray, gray[:, :, None]):
        answer = translator(form)
        assert isinstance(answer, np.ndarray)
        assert np.array_equal(answer, three)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8, 3)),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((8, 8, 2), dtype=np.uint8),
        np.zeros((3, 8, 8), dtype=np.uint8),
        np.zeros((1, 8, 8, 3), dtype=np.uint8),
        np.zeros((0, 8), dtype=np.uint8),
        np.zeros((8, 0, 3), dtype=np.uint8),
        np.zeros((8, 8), dtype=np.uint16),
        np.zeros((8, 8), dtype=bool),
        None,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}{getattr(wrong, 'shape', '')}{getattr(wrong, 'dtype', '')}",
)
def test_python_call_refuses_other_arrays(trained: Path, wrong: Any) -> None:
    translator = Translator.load(trained / "tiny", gpu_ids="-1")
    with pytest.raises(
        DataError, match=r"^an array of shape .* expected \[H, W\], \[H, W, 1\] or \[H, W, 3\] of uint8"
    ):
        translator(wrong)


def test_python_call_refuses_a_picture_without_pixels(trained: Path) -> None:
    with pytest.raises(DataError, match="0x5 pixels"):
        Translator.load(trained / "tiny", gpu_ids="-1")(Image.new("RGB", (0, 5)))


def test_python_call_on_tensors(a_run: Path) -> None:
    translator = Translator.load(a_run, gpu_ids="-1")
    images = torch.rand(3, 3, 37, 21, generator=torch.Generator().manual_seed(0)) * 2 - 1
    answer = translator.translate(images)
    assert (answer.shape, answer.dtype, answer.device.type) == (images.shape, torch.float32, "cpu")
    assert float(answer.abs().max()) <= 1
    assert not answer.requires_grad
    singly = torch.cat([translator.translate(image[None]) for image in images])
    assert_close(answer, singly)


def assert_close(one: Tensor, other: Tensor) -> None:
    assert float((one - other).abs().max()) < 1e-5


def test_loading_by_epoch_and_its_errors(a_run: Path) -> None:
    weights = torch.load(a_run / "latest_net_G.pth", weights_only=True)
    torch.save({name: value * 0 for name, value in weights.items()}, a_run / "7_net_G.pth")
    empty = Translator.load(a_run, epoch="7", gpu_ids="-1")
    assert float(empty.translate(torch.ones(1, 3, 16, 16)).abs().max()) == 0
    for path, epoch, error, says in (
        (a_run, "8", CheckpointError, r"8_net_G\.pth does not exist; .* holds 7_net_G\.pth"),
        (a_run / "typo.pth", "latest", CheckpointError, r"typo\.pth does not exist"),
        ("", "latest", CheckpointError, "the path is empty"),
        (a_run.parent / "typo", "latest", CheckpointError, "typo does not exist"),
        (a_run / "latest_net_D.pth", "latest", CheckpointError, "a different architecture"),
    ):
        with pytest.raises(error, match=says):
            Translator.load(path, epoch=epoch, gpu_ids="-1")
    with pytest.raises(OptionError, match="--gpu_ids"):
        Translator.load(a_run, gpu_ids="no such device")
    values = json.loads((a_run / "train_opt.json").read_text())
    (a_run / "train_opt.json").write_text(json.dumps(values | {"model": "sincut"}))
    says = rf"train_opt\.json: model: 'sincut' is not one of {', '.join(METHODS)}; restore the file"
    with pytest.raises(CheckpointError, match=says):
        Translator.load(a_run)


@pytest.mark.parametrize("gpu_ids", [-1, "-1", [-1], (-1,), np.int64(-1), "cpu", torch.device("cpu")], ids=repr)
def test_the_device_as_text_or_not(trained: Path, gpu_ids: Any) -> None:
    assert Translator.load(trained / "tiny", gpu_ids=gpu_ids).device == torch.device("cpu")


def test_devices_as_they_would_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    first, second = torch.device("cuda", 0), torch.device("cuda", 1)
    for value in (0, "0", [0], None, "auto", torch.device("cuda"), first):
        assert choose_device(value) == first, value
    assert choose_device(torch.device("cuda:1")) == choose_device(1) == choose_device([1]) == second
    for value in ([1, 0], "1,0"):
        with pytest.raises(OptionError, match=r"to train on 2, start it with torchrun --nproc_per_node 2 train.py"):
            choose_device(value)


@pytest.mark.parametrize(
    "wrong", [1.5, True, [], ["0"], {0}, object, torch.device("meta"), "gpu", b"x", [0.0], [99], 99]
)
def test_devices_that_are_none(trained: Path, wrong: Any) -> None:
    with pytest.raises(OptionError, match=r"^--gpu_ids .*(use auto|there is no GPU)") as caught:
        Translator.load(trained / "tiny", gpu_ids=wrong)
    assert "\n" not in str(caught.value)
