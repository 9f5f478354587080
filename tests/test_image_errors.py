"""Only what is damaged is called so: memory, guards of libraries, warnings and the file system have their own words."""

import errno
import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from coopcut.images.decode import check_header
from coopcut.images.io import read_image
from coopcut.util.errors import DataError
from tests.tools import ROOT


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


LARGE = {
    "iCCP": chunk(b"iCCP", b"scanner\0\0" + zlib.compress(bytes(2_000_000))),
    "zTXt": chunk(b"zTXt", b"notes\0\0" + zlib.compress(b"a" * 2_000_000)),
    "iTXt": chunk(b"iTXt", b"notes\0\1\0\0\0" + zlib.compress(b"a" * 2_000_000)),
    "tEXt": chunk(b"tEXt", b"notes\0" + b"a" * 2_000_000),
}


@pytest.mark.parametrize("mode", ["RGB", "I;16", "deep"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", LARGE)
def test_png_with_a_large_profile_or_text(tmp_path: Path, kind: str, after: bool, mode: str) -> None:
    """Also after the pixels, where only decoding comes upon it."""
    path = tmp_path / "a.png"
    if mode == "deep":
        head = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
        body = zlib.compress(b"\0" + struct.pack(">6H", 65535, 0, 0, 257, 0, 0))
        raw = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    else:
        file = io.BytesIO()
        Image.new(mode, (2, 1), (255, 0, 0) if mode == "RGB" else 65535).save(file, "PNG")
        raw = file.getvalue()
    place = len(raw) - 12 if after else 33
    path.write_bytes(raw[:place] + LARGE[kind] + raw[place:])
    check_header(path)
    assert read_image(path, 3).getpixel((0, 0)) == ((255, 255, 255) if mode == "I;16" else (255, 0, 0))


def test_a_guard_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    file = io.BytesIO()
    Image.new("RGB", (2, 1)).save(file, "PNG")
    path.write_bytes(file.getvalue()[:33] + LARGE["iCCP"] + file.getvalue()[33:])
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 1000)
    with pytest.raises(DataError, match=r"a\.png: its color profile or text chunks are too large .*; remove them"):
        read_image(path, 3)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("out of memory error"),  # Pillow's decoders in C
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        zlib.error("Error -4 while decompressing data: out of memory"),
    ],
    ids=repr,
)
def test_out_of_memory_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: object) -> None:
        raise error

    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(MemoryError):
        read_image(path, 3)


LIMITED = """
import resource, sys
from pathlib import Path
from coopcut.images.io import read_image
for path in sys.argv[1:]:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 10 * 2**20, -1))
    try:
        read_image(path, 3)
    except MemoryError:
        print("MemoryError")
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is one of Linux")
def test_out_of_memory_indeed(tmp_path: Path) -> None:
    Image.new("RGB", (6000, 6000)).save(tmp_path / "a.png", compress_level=1)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((6000, 6000), np.uint16), compression="zlib")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "a.png"), str(tmp_path / "a.tif")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("MemoryError\nMemoryError\n", "", 0)


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.EACCES, "Permission denied"), (errno.EIO, "Input/output error"), (errno.EMFILE, "Too many open files")],
)
def test_the_file_system_is_not_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def fail(*arguments: object, **how: object) -> None:
        raise OSError(number, says)

    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DataError) as caught:
        read_image(path, 3)
    assert str(caught.value) == f"{path}: cannot be read ({says}); check the file and its permissions"


def test_a_folder_named_like_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.png" / "x").touch()
    with pytest.raises(DataError, match=r"a\.png: cannot be read \(Is a directory\)"):
        read_image(tmp_path / "a.png", 3)


def huge(path: Path) -> None:
    Image.new("L", (400, 400)).save(path)


def with_transparent_palette(path: Path) -> None:
    img = Image.new("P", (4, 4))
    img.putpalette([1, 2, 3, 4, 5, 6])
    img.save(path, transparency=b"\x80\xff")


@pytest.mark.parametrize("make", [huge, with_transparent_palette])
def test_what_a_library_warns_of_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    """And with warnings as errors it is the warning that is raised, not damage."""
    make(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = np.asarray(read_image(tmp_path / "a.png", 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert np.array_equal(np.asarray(read_image(tmp_path / "a.png", 3)), before)
        except Warning as warning:
            assert "exceeds limit" in str(warning)  # noqa: PT017 (whether it is raised depends on the library)


@pytest.mark.parametrize("error", [AttributeError("a mistake"), AssertionError("a mistake"), TypeError("a mistake")])
def test_mistakes_of_ours_are_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    monkeypatch.setattr("coopcut.images.io._finished", fail)
    with pytest.raises(type(error), match="a mistake"):
        read_image(path, 3)
