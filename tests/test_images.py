"""`coopcut.images.io`: what each file format may hold comes out as the right 8-bit pixels, or as one clear line."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import normalize
from torchvision.transforms.functional import to_tensor as torchvision_to_tensor

from coopcut.images.decode import check_header
from coopcut.images.io import read_image, save_image, to_image, to_tensor
from coopcut.images.listing import list_images
from coopcut.util.errors import DataError

RED, WHITE, BLUE = (255, 0, 0), (255, 255, 255), (0, 0, 255)
EXTENSIONS = ("jpg", "png", "bmp", "tif", "webp", "ppm")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def saved(folder: Path, name: str, img: Image.Image, **how: Any) -> Path:
    path = folder / name
    img.save(path, **how)
    return path


def pixels(path: Path, channels: int) -> np.ndarray:
    img = read_image(path, channels)
    assert img.mode == {1: "L", 3: "RGB"}[channels]
    return np.asarray(img)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.ppm", "a.PNG"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, name: str) -> None:
    rgb = noise(7, 9, 3)
    path = saved(tmp_path, name, Image.fromarray(rgb), **({"lossless": True} if "webp" in name else {}))
    check_header(path)
    assert np.array_equal(pixels(path, 3), rgb)
    assert np.array_equal(pixels(path, 1), np.asarray(Image.fromarray(rgb).convert("L")))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.pgm"])
def test_gray_is_kept_and_repeated(tmp_path: Path, name: str) -> None:
    gray = noise(6, 5)
    path = saved(tmp_path, name, Image.fromarray(gray))
    assert np.array_equal(pixels(path, 1), gray)
    assert np.array_equal(pixels(path, 3), np.stack([gray] * 3, axis=2))


def test_jpeg_is_decoded_as_pillow_does(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", Image.fromarray(noise(16, 16, 3)))
    assert np.array_equal(pixels(path, 3), np.asarray(Image.open(path)))


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    path = saved(tmp_path, "really_a_png.jpg", Image.new("RGB", (3, 2), RED), format="PNG")
    assert np.array_equal(pixels(path, 3)[0, 0], RED)


def test_16_bit_gray_scales_exactly(tmp_path: Path) -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(deep / 65535 * 255).astype(np.uint8)
    (tmp_path / "a.pgm").write_bytes(b"P5\n256 256\n65535\n" + deep.astype(">u2").tobytes())
    paths = [
        tmp_path / "a.pgm",
        saved(tmp_path, "a.png", Image.fromarray(deep)),
        saved(tmp_path, "little.tif", Image.fromarray(deep)),
        saved(tmp_path, "big.tif", Image.frombytes("I;16B", (256, 256), deep.astype(">u2").tobytes())),
    ]
    for path in paths:
        assert np.array_equal(pixels(path, 1), expected), path.name
    assert np.array_equal(pixels(paths[1], 3)[:, :, 2], expected)
    assert expected[0, 0] == 0
    assert expected[255, 255] == 255


@pytest.mark.parametrize("value", [-1, 1, 65535, 65536])
def test_32_bits_are_never_guessed(tmp_path: Path, value: int) -> None:
    path = saved(tmp_path, "a.tif", Image.fromarray(np.array([[0, value]], dtype=np.int32)))
    found = f"{min(0, value)} to {max(0, value):g}"
    with pytest.raises(DataError, match=rf"a\.tif: int32 values {re.escape(found)}: name .* --value_range LOW,HIGH"):
        read_image(path, 1)


def test_float_tiff_is_from_0_to_1(tmp_path: Path) -> None:
    values = np.array([[0, 0.25, 0.5, 1]], dtype=np.float32)
    path = saved(tmp_path, "unit.tif", Image.fromarray(values))
    assert pixels(path, 1).tolist() == [[0, 64, 128, 255]]  # 63.75 and 127.5
    assert np.asarray(read_image(path, 1, (0.25, 0.75))).tolist() == [[0, 0, 128, 255]]


@pytest.mark.parametrize("value", [-0.5, 1.0001, 255.0])
def test_float_out_of_range_is_refused(tmp_path: Path, value: float) -> None:
    path = saved(tmp_path, "a.tif", Image.fromarray(np.array([[0, value]], dtype=np.float32)))
    with pytest.raises(DataError, match=r"a\.tif: float32 values .* are not in \[0, 1\]: name .* --value_range"):
        read_image(path, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused_with_any_range(tmp_path: Path, value: float) -> None:
    path = saved(tmp_path, "a.tif", Image.fromarray(np.array([[0, value]], dtype=np.float32)))
    for value_range in (None, (0.0, 100.0)):
        with pytest.raises(DataError, match=r"a\.tif: some values are not finite"):
            read_image(path, 1, value_range)


def test_one_bit(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.png", Image.fromarray(np.array([[True, False]])))
    assert Image.open(path).mode == "1"
    assert pixels(path, 1).tolist() == [[255, 0]]


def test_transparency_is_composited_over_white(tmp_path: Path) -> None:
    rgba = Image.fromarray(np.array([[(*RED, 255), (*RED, 0), (0, 0, 0, 128)]], dtype=np.uint8))
    for name in ("a.png", "a.tif"):
        assert pixels(saved(tmp_path, name, rgba), 3).tolist() == [[[*RED], [*WHITE], [127, 127, 127]]]
    la = Image.fromarray(np.array([[(10, 255), (10, 0)]], dtype=np.uint8), mode="LA")
    assert pixels(saved(tmp_path, "la.png", la), 1).tolist() == [[10, 255]]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putpixel((1, 0), 1)
    assert pixels(saved(tmp_path, "p.png", palette), 3).tolist() == [[[*RED], [*BLUE]]]
    assert pixels(saved(tmp_path, "t.png", palette, transparency=1), 3).tolist() == [[[*RED], [*WHITE]]]


def test_colour_key_is_transparency(tmp_path: Path) -> None:
    img = Image.fromarray(np.array([[RED, BLUE]], dtype=np.uint8))
    assert pixels(saved(tmp_path, "a.png", img, transparency=BLUE), 3).tolist() == [[[*RED], [*WHITE]]]


def test_cmyk(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert pixels(saved(tmp_path, "a.tif", cmyk), 3)[3, 3].tolist() == [*RED]
    path = saved(tmp_path, "a.jpg", cmyk, quality=100)  # Pillow writes it as Adobe does: inverted, with a marker
    assert b"Adobe" in path.read_bytes()
    assert Image.open(path).mode == "CMYK"
    assert np.abs(pixels(path, 3)[3, 3].astype(int) - RED).max() <= 3


def stored_with_orientation(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels a camera stores, from the sides of the picture that the EXIF standard gives for row 0 and column 0."""
    row_0, column_0 = {
        1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left",
        5: "left top", 6: "right top", 7: "right bottom", 8: "left bottom",
    }[orientation].split()  # fmt: skip
    stored = upright if row_0 in ("top", "bottom") else upright.swapaxes(0, 1)
    stored = stored[::-1] if row_0 in ("bottom", "right") else stored
    return stored[:, ::-1] if column_0 in ("bottom", "right") else stored


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    upright = noise(3, 5, 3)
    stored = Image.fromarray(np.ascontiguousarray(stored_with_orientation(upright, orientation)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    kinds: dict[str, dict[str, Any]] = {
        "a.png": {},
        "a.webp": {"lossless": True},
        "a.tif": {},
        "z.tif": {"compression": "tiff_lzw"},
    }
    for name, how in kinds.items():
        assert np.array_equal(pixels(saved(tmp_path, name, stored, exif=exif, **how), 3), upright), name
    deep = Image.fromarray(np.asarray(stored)[:, :, 0].astype(np.uint16) * 257)
    assert np.array_equal(pixels(saved(tmp_path, "deep.png", deep, exif=exif), 1), upright[:, :, 0])
    jpeg = saved(tmp_path, "a.jpg", stored, exif=exif)
    assert read_image(jpeg, 3).size == (5, 3)


def test_broken_exif_is_no_obstacle(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", Image.new("RGB", (8, 8), RED), exif=b"Exif\x00\x00no such byte order")
    assert read_image(path, 3).size == (8, 8)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_truncated_files_give_one_line_with_their_name(tmp_path: Path, extension: str) -> None:
    whole = saved(tmp_path, f"whole.{extension}", Image.fromarray(noise(40, 40, 3))).read_bytes()
    path = tmp_path / f"cut.{extension}"
    for cut in (3, 20, 100, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError) as caught:
            read_image(path, 3)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_unusable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.touch()
    text.write_text("not an image")
    missing = tmp_path / "missing.png"
    big = saved(tmp_path, "big.png", Image.new("L", (30, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for path, message in (
        (empty, "empty file (0 bytes); replace or remove it"),
        (text, "not a readable JPEG, PNG, BMP, TIFF, WebP or PPM image; convert or remove it"),
        (missing, "cannot be read (No such file or directory); check the file and its permissions"),
        (big, "too large, more than 200 pixels; cut it into smaller images"),
    ):
        for read in (check_header, lambda file: read_image(file, 3)):
            with pytest.raises(DataError) as caught:
                read(path)
            assert str(caught.value) == f"{path}: {message}"


def test_channels_other_than_1_and_3_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not 4; change --input_nc or --output_nc"):
        read_image(tmp_path / "a.png", 4)


def test_tensor_range_and_exact_round_trip() -> None:
    gray = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    tensor = to_tensor(gray)
    assert tensor.shape == (1, 16, 16)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert tensor.min() == -1
    assert tensor.max() == 1
    assert torch.allclose(tensor.flatten(), torch.arange(256) / 127.5 - 1, atol=1e-7)
    assert to_image(tensor).mode == "L"
    assert np.array_equal(np.asarray(to_image(tensor)), np.asarray(gray))
    color = Image.fromarray(noise(5, 7, 3))
    assert to_tensor(color).shape == (3, 5, 7)
    assert np.array_equal(np.asarray(to_image(to_tensor(color)[None])), np.asarray(color))


def test_tensor_equals_cuts_normalisation() -> None:
    img = Image.fromarray(noise(32, 32, 3))
    assert torch.equal(to_tensor(img), normalize(torchvision_to_tensor(img), [0.5] * 3, [0.5] * 3))


def test_to_image_clamps_and_rounds() -> None:
    values = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0, float("nan"), 100.4 / 127.5 - 1, 100.6 / 127.5 - 1])
    assert np.asarray(to_image(values.view(1, 1, 1, 8))).tolist() == [[0, 0, 128, 255, 255, 0, 100, 101]]
    assert np.asarray(to_image(torch.ones(1, 1, 1, dtype=torch.bfloat16))).tolist() == [[255]]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_save_image_takes_images_and_tensors(tmp_path: Path, extension: str) -> None:
    img = Image.new("RGB", (8, 6), RED)
    for source in (img, to_tensor(img)):
        path = tmp_path / "new" / f"a.{extension}"
        save_image(source, path)
        assert np.abs(pixels(path, 3).astype(int) - RED).max() <= 3
        assert os.listdir(path.parent) == [path.name]
        path.unlink()


def test_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "a.png", Image.new("RGB", (2, 2), RED))

    def full_disk(self: Image.Image, file: Path, **how: Any) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(DataError, match=r"a\.png: cannot be written \(No space left on device\)"):
        save_image(Image.new("RGB", (2, 2), BLUE), path)
    assert os.listdir(tmp_path) == ["a.png"]
    assert pixels(path, 3)[0, 0].tolist() == [*RED]


def test_save_with_unknown_extension(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.xyz: cannot be written \(unknown file extension: \.xyz\)"):
        save_image(Image.new("L", (2, 2)), tmp_path / "a.xyz")
    assert os.listdir(tmp_path) == []


def test_list_images(tmp_path: Path) -> None:
    wanted = ["A.JPG", "b.jpeg", "sub/c.Png", "sub/deep/d.tiff", "z.webp", "z/e.ppm", "z/f.pgm", "z/g.bmp", "z/h.tif"]
    thumbnails = [
        "@eaDir/A.JPG/SYNOPHOTO_THUMB_XL.jpg",
        "sub/@eaDir/c.png",
        "__MACOSX/b.jpg",
        "$RECYCLE.BIN/d.png",
        "~snapshot/A.JPG",
    ]
    thumbnails += ["~snapshot/A.JPG", "@__thumb/A.JPG", "@tmp/x.png", "FOUND.000/y.png"]
    others = ["readme.txt", ".hidden.png", ".cache/x.png", "noextension", "png", "._b.jpeg", "lost+found/f.png"]
    for name in [*wanted, *thumbnails, *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    assert list_images(tmp_path) == sorted(str(tmp_path / name) for name in wanted)
    with pytest.raises(DataError, match="nowhere: cannot be listed"):
        list_images(tmp_path / "nowhere")


def test_only_folders_of_the_user_must_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be listed is refused, as images may be in it; but not what the file system keeps for itself."""
    for name in ("lost+found", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "a.png").touch()
    scandir = os.scandir

    def locked(folder: str) -> Any:
        if os.path.basename(folder) in closed:
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", locked)
    closed = ["lost+found"]
    assert list_images(tmp_path) == [str(tmp_path / "a.png")]
    closed = ["mine"]
    with pytest.raises(DataError, match=r"mine: cannot be listed \(Permission denied\)"):
        list_images(tmp_path)
