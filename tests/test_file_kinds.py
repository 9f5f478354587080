"""Files that are no checkpoints: the answer says what they are and what to do."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coopcut.engine.checkpoint.files import read_file
from coopcut.util.errors import CheckpointError
from tests.tools import TEST, refused


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def tarred(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Conv2d(1, 1, 1)), buffer)
    return buffer.getvalue()


def saved_by_numpy() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "LFS": (lambda: LFS, "is a Git LFS pointer, not the file itself: run git lfs pull in its folder"),
    "annex": (lambda: b"/annex/objects/SHA256E-s1--0.pth\n", "is a git-annex pointer"),
    "page": (
        lambda: b"<!DOCTYPE html><html>login</html>",
        "is a web page (HTML), such as a login or 'not found' page, ",
    ),
    "page after lines": (lambda: b"\r\n\n<HTML lang=de>\xe4</HTML>", "is a web page (HTML)"),
    "XML": (lambda: b'<?xml version="1.0"?><Error/>', "is an XML document"),
    "JSON": (lambda: b'{"error": "not found"}', "is text (JSON)"),
    "text": (lambda: b"Not Found", "is text ('Not Found')"),
    "long text": (lambda: "ä".encode() * 4095, "is text ("),
    "TorchScript": (scripted, "is a TorchScript archive, a program rather than weights: save them"),
    "export": (lambda: zipped("m/archive_format", "m/models/model.json"), "is a torch.export program (.pt2)"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(9), "is an HDF5 file, as Keras writes"),
    "Keras": (lambda: zipped("metadata.json", "config.json", "model.weights.h5"), "is a Keras model"),
    "npz": (saved_by_numpy, "is a NumPy archive (.npz)"),
    "npy": (lambda: b"\x93NUMPY\x01\x00", "is a NumPy array (.npy)"),
    "ONNX": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x051.9", "is an ONNX model"),
    "TensorFlow": (lambda: b"\x08\x01\x12\xe9\x03tensorflow", "is a TensorFlow file"),
    "TFLite": (lambda: b"\x1c\x00\x00\x00TFL3\x00\x00", "is a TensorFlow Lite model"),
    "zip": (lambda: zipped("readme.txt", "a/latest_net_G.pth"), "is a zip archive (a/latest_net_G.pth): unpack it"),
    "tar": (lambda: tarred("r/latest_net_G.pth"), "is a tar archive (r/latest_net_G.pth): unpack it"),
    "gzip": (lambda: gzip.compress(b"x"), "is compressed (gzip): unpack it"),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(9), "is a picture (PNG)"),
    "empty": (lambda: b"", "is damaged or not a checkpoint (0 bytes), it is empty: restore it"),
    "zeros": (lambda: bytes(99), "(99 bytes), it starts with nothing but zeros"),
    "cut": (
        lambda: zipped("archive/data.pkl")[:40],
        "(40 bytes), its end is missing, as after an interrupted download",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_the_kind_of_a_file_is_said(kind: str, tmp_path: Path) -> None:
    make, says = KINDS[kind]
    path = tmp_path / "latest_net_G.pth"
    path.write_bytes(make())
    with pytest.raises(CheckpointError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path} is ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_reader_says_it(a_run: Path) -> None:
    for name in ("latest_net_G.pth", "latest_state.pth"):
        (a_run / name).write_bytes(LFS)
    refused("test", TEST, "checkpoints/tiny/latest_net_G.pth is a Git LFS pointer", "git lfs pull")
    start = ["--dataroot", "data", "--name", "new", "--gpu_ids", -1, "--pretrained_name", "tiny"]
    refused("train", start, "checkpoints/tiny/latest_net_G.pth is a Git LFS pointer")
    again = ["--name", "tiny", "--continue_train", "--gpu_ids", -1]
    refused("train", again, "checkpoints/tiny/latest_state.pth is a Git LFS pointer")


def test_a_folder_in_the_place_of_a_file(a_run: Path) -> None:
    (a_run / "latest_net_G.pth").unlink()
    (a_run / "latest_net_G.pth").mkdir()
    refused("test", TEST, "checkpoints/tiny/latest_net_G.pth is a folder: name a weights file in it")


def test_other_weights_of_a_folder_are_listed(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.ckpt", "c.txt"):
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=r"latest_net_G\.pth does not exist; .* holds a\.safetensors, b\.ckpt$"):
        read_file(tmp_path / "latest_net_G.pth")


def test_a_pipe_is_not_said_to_be_missing(a_run: Path) -> None:
    os.mkfifo("pipe.pth")
    flags = ["--checkpoint", "pipe.pth", "--dataroot", "data", "--gpu_ids", -1]
    refused("test", flags, "pipe.pth is a pipe or a device: save the weights as a regular file")
