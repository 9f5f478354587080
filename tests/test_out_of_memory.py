"""Out of memory: what means it, and a folder that is translated but for what does not fit."""

import errno
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from coopcut.inference.translator import Translator
from coopcut.networks import create_G
from coopcut.util.errors import DataError, NoMemoryError
from coopcut.util.memory import is_out_of_memory
from tests.tools import (
    CONTINUE,
    CPU,
    FAKES,
    ROOT,
    TINY,
    check_refusal,
    make_images,
    names_in,
    run,
    train_options,
    translate,
    tree,
    write_image,
)

GPU = torch.device("cuda")
ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
KINDS: dict[str, tuple[Exception, str]] = {
    "cuda": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee"),
        "CUDA out of memory. Tried to",
    ),
    "python": (MemoryError(), "MemoryError"),
    "cpu": (
        RuntimeError(f"{ALLOCATOR}allocate 9 bytes. Error code 12"),
        "can't allocate memory: you tried to allocate 9",
    ),
    "windows": (
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        "not enough memory",
    ),
    "onednn": (RuntimeError("could not create a primitive"), "could not create a primitive"),
    "driver": (RuntimeError("CUDA error: out of memory\nCUDA kernel errors"), "CUDA error: out of memory"),
    "cublas": (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "CUDA error: CUBLAS_STATUS"),
    "apple": (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), "MPS backend out of memory"),
    "c++": (RuntimeError("std::bad_alloc"), "std::bad_alloc"),
    "compiler": (RuntimeError("backend='inductor' raised:\nMemoryError: "), "backend='inductor'"),
    "system": (OSError(errno.ENOMEM, "Cannot allocate memory"), "[Errno 12] Cannot allocate"),
    "pillow": (OSError("out of memory error when writing image file"), "out of memory error when writing"),
}
MISTAKES = (
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("a mistake"),
    OSError(errno.ENOSPC, "No space left on device"),
    DataError("a.png: out of memory is the name of this picture"),
    ValueError("out of memory"),
)


def raises(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: object, **more: object) -> Any:
        raise error

    return fail


def test_what_means_out_of_memory() -> None:
    assert [kind for kind, (error, _) in KINDS.items() if not is_out_of_memory(error)] == []
    assert [error for error in MISTAKES if is_out_of_memory(error)] == []


# -- the scripts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_out_of_memory_in_training(a_run: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    before = tree(a_run)
    error, reason = KINDS[kind]
    monkeypatch.setattr("coopcut.models.cut.CUT.step", raises(error))
    outcome = run("train", *CONTINUE)
    advice = (
        "): try --selective_checkpointing, --activation_checkpointing or --num_patches 8; saved files are unchanged"
    )
    check_refusal(outcome, (f"train.py: error: out of memory ({reason}", advice))
    after = tree(a_run)
    assert all(after[name] == before[name] for name in before if name.endswith(".pth"))


def refuse_above(pixels: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks run out of memory on batches of more pixels."""
    forward = Translator._translate

    def translate(self: Translator, images: Tensor) -> Tensor:
        if images.shape[0] * images.shape[2] * images.shape[3] > pixels:
            raise error
        return forward(self, images)

    monkeypatch.setattr(Translator, "_translate", translate)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_an_image_that_does_not_fit(a_run: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make_images(Path("album"), 3, 24)
    write_image(Path("album/1large.png"), 60, 40)
    error, reason = KINDS[kind]
    refuse_above(1000, error, monkeypatch)
    outcome = translate("--dataroot", "album", "--preprocess", "none", code=1)
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("warning: skipped: album/1large.png: 60x40 pixels do not fit into memory (")
    assert reason in outcome.err
    assert "): try --preprocess scale_width --load_size 30" in outcome.err
    assert "3 images translated, 1 skipped" in outcome.out
    assert names_in(FAKES) == ["0.png", "1.png", "2.png"]


def test_no_image_fits(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_above(0, MemoryError(), monkeypatch)
    monkeypatch.setattr("coopcut.options.savings._cpu_has_bf16", lambda: False)
    outcome = translate("--dataroot", "data", "--preprocess", "none", code=2)
    first = "data/testA/0.png: 40x40 pixels do not fit into memory (MemoryError): "
    first += "try --preprocess scale_width --load_size 20"
    said = f"test.py: error: none of the 3 images in data could be read and translated; the first: {first}"
    assert outcome.err.splitlines()[-1] == said
    assert [line.split(": ")[1] for line in outcome.err.splitlines()[:-1]] == ["skipped"] * 3
    alone = translate("--dataroot", "data/testA/0.png", "--preprocess", "none", code=2)
    assert alone.err == f"test.py: error: {first}\n"


def test_a_batch_that_does_not_fit(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_images(Path("album"), 5, 24)
    translate("--dataroot", "album", "--preprocess", "none")
    expected = tree(FAKES)
    refuse_above(600, KINDS["cpu"][0], monkeypatch)
    outcome = translate("--dataroot", "album", "--preprocess", "none", "--batch_size", 2, "--results_dir", "again")
    what = "2 images of 24x24 pixels at once do not fit into memory: translating them one by one"
    assert outcome.err == f"warning: {what}; lower --batch_size to avoid this\n"
    assert tree(Path("again/tiny/test_latest/images/fake_B")) == expected


def test_a_batch_with_batch_norm_says_what_changes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--dataroot", "data", "--name", "tiny", *TINY, "--normG", "batch", "--max_iters", 1, "--no_html"]
    assert run("train", *flags).code == 0
    refuse_above(1100, MemoryError(), monkeypatch)
    outcome = translate("--dataroot", "data", "--batch_size", 3)
    assert (
        "one by one, each normalized by its own statistics (see --eval); lower --batch_size to avoid this\n"
        in outcome.err
    )
    assert "statistics" not in translate("--dataroot", "data", "--batch_size", 3, "--eval").err


def test_a_network_that_does_not_fit(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coopcut.options.savings._cpu_has_bf16", lambda: False)
    monkeypatch.setattr(torch.nn.Module, "to", raises(MemoryError()))
    said = "test.py: error: out of memory (MemoryError): close other programs, or use a machine with more memory; "
    assert translate("--dataroot", "data", code=2).err == f"{said}saved files are unchanged\n"


def test_an_image_that_cannot_be_read_or_written(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(Path("data/testA/large.png"), 60, 40)
    resize, save = Image.Image.resize, Image.Image.save

    def no_resize(self: Image.Image, *arguments: Any, **more: Any) -> Image.Image:
        return raises(MemoryError())() if self.size == (60, 40) else resize(self, *arguments, **more)

    monkeypatch.setattr(Image.Image, "resize", no_resize)
    outcome = translate("--dataroot", "data", code=1)
    what = "out of memory while reading its 60x40 pixels (MemoryError): lower --load_size, or cut it into smaller"
    assert outcome.err == f"warning: skipped: data/testA/large.png: {what} images\n"

    def no_save(self: Image.Image, path: Any, *arguments: Any, **more: Any) -> None:
        if self.size == (60, 40) and "fake_B" in str(path):
            raise OSError("out of memory error when writing image file")
        save(self, path, *arguments, **more)

    monkeypatch.setattr(Image.Image, "save", no_save)
    outcome = translate("--dataroot", "data", "--preprocess", "none", "--results_dir", "again", code=1)
    what = "60x40 pixels: no memory to save them (out of memory error when writing image file)"
    assert outcome.err == f"warning: skipped: data/testA/large.png: {what}\n"
    folder = Path("again/tiny/test_latest")
    assert names_in(folder / "images/fake_B") == names_in(folder / "images/real_A") == ["0.png", "1.png", "2.png"]
    assert "large" not in (folder / "index.html").read_text()


def test_the_picture_of_a_busy_moment_is_saved_again(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, failed = Image.Image.save, list[object]()

    def save_later(self: Image.Image, path: Any, *arguments: Any, **more: Any) -> None:
        if not failed:
            failed.append(path)
            raise MemoryError
        save(self, path, *arguments, **more)

    monkeypatch.setattr(Image.Image, "save", save_later)
    assert translate("--dataroot", "data").err == ""
    assert names_in(FAKES) == ["0.png", "1.png", "2.png"]


def test_mistakes_in_translating_keep_their_traceback(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in MISTAKES[:3]:
        refuse_above(0, error, monkeypatch)
        with pytest.raises(RuntimeError, match=str(error)):
            run("test", "--name", "tiny", "--dataroot", "data", *CPU)


# -- from Python, and for real ----------------------------------------------------------------------------------------


def test_python_call_out_of_memory(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error for every kind, which holds none of the tensors that were there."""
    translator = Translator.load(a_run, gpu_ids=-1)
    held: list[weakref.ref[Tensor]] = []

    def fail(images: Tensor) -> Tensor:
        large = images * 2
        held.append(weakref.ref(large))
        raise KINDS["cuda"][0]

    monkeypatch.setattr(translator, "_call", fail)
    gc.disable()
    try:
        with pytest.raises(
            NoMemoryError, match=r"an image of 20x16 pixels does not fit into the memory of the CPU \(CUDA"
        ):
            translator(Image.new("RGB", (20, 16)))
        assert held[0]() is None
        with pytest.raises(NoMemoryError, match=r"a batch of 3 images of 16x16 pixels"):
            translator.translate(torch.zeros(3, 3, 16, 16))
    finally:
        gc.enable()


LIMITED = """
import resource, sys
import test
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 280 * 2**20,) * 2)
from coopcut.util.cli import run_script
run_script(test.main)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit of a process is that of Linux")
def test_with_a_real_limit_on_memory(place: Path) -> None:
    """4 images of 400x400 do not fit, one does; 3000x1000 do not. Of a generator 16 channels wide."""
    torch.save(create_G(train_options([*TINY, "--ngf", "16"]), 3, 3).state_dict(), "g.pth")
    for name in "abcd":
        write_image(Path(f"album/{name}.png"), 400, 400)
    write_image(Path("album/e.png"), 3000, 1000)
    flags = [
        "--dataroot",
        "album",
        "--checkpoint",
        "g.pth",
        "--preprocess",
        "none",
        "--batch_size",
        "4",
        "--gpu_ids",
        "-1",
    ]
    code = LIMITED.replace("import resource, sys", f"import resource, sys; sys.argv[0] = {str(ROOT / 'test.py')!r}")
    command = [sys.executable, "-c", code, *flags, "--num_threads", "0"]

    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done
    assert [line.split(" do not fit")[0] for line in lines] == [
        "warning: 4 images of 400x400 pixels at once",
        "warning: skipped: album/e.png: 3000x1000 pixels",
    ]
    assert names_in(Path("results/album_cut/test_g/images/fake_B")) == ["a.png", "b.png", "c.png", "d.png"]
