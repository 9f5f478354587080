"""Tells by its content what a file is that is not a checkpoint, so that the error can say so."""

import codecs
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

HEAD = 4096  # bytes that are looked at

_OTHER = "use weights saved by PyTorch (a state_dict)"
_UNPACK = "unpack it and name the weights file inside"

# what the file begins with, what it then is, and what to do
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, not the file itself: run git lfs pull in its folder",
    ),
    (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file, as Keras writes: {_OTHER}"),
    (b"\x93NUMPY", f"is a NumPy array (.npy): {_OTHER}"),
    (b"GGUF", f"is a GGUF file: {_OTHER}"),
    (b"MATLAB", f"is a MATLAB file: {_OTHER}"),
    (b"\x89PNG\r\n\x1a\n", "is a picture (PNG): name a weights file"),
    (b"\xff\xd8\xff", "is a picture (JPEG): name a weights file"),
    (b"%PDF", "is a PDF document: name a weights file"),
    (b"\x1f\x8b", f"is compressed (gzip): {_UNPACK}"),
    (b"BZh", f"is compressed (bzip2): {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"is compressed (xz): {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"is compressed (zstd): {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7-Zip archive: {_UNPACK}"),
    (b"Rar!", f"is a RAR archive: {_UNPACK}"),
)


def kind_of(path: Path) -> str:
    """What the file is and what to do, as in 'is empty: ...'; '' if that is not known. Reads little of it."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if not head:
            return damaged(path, "it is empty")
        if not head.strip(b"\0"):
            return damaged(path, "it starts with nothing but zeros, as after an interrupted copy")
        if is_safetensors(path):
            return damaged(path, "a truncated or altered safetensors file")
        looks: tuple[Callable[[Path, bytes], str], ...] = (_by_magic, _of_zip, _of_tar, _of_text, _of_protobuf)
        return next(filter(None, (look(path, head) for look in looks)), "")
    except Exception:  # of a damaged archive, Python's readers make almost any type
        return ""


def damaged(path: Path, why: str = "") -> str:
    """The message for a file that begins like a checkpoint, or like nothing known."""
    what = f"({path.stat().st_size} bytes)" + (f", {why}" if why else "")
    return f"is damaged or not a checkpoint {what}: restore it, or use another --epoch or run"


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as one of safetensors: the length of a header in JSON, and then that header."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= 100_000_000


def _by_magic(path: Path, head: bytes) -> str:
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")


def _of_zip(path: Path, head: bytes) -> str:
    if not head.startswith(b"PK\x03\x04"):
        return ""
    if not zipfile.is_zipfile(path):
        return damaged(path, "its end is missing, as after an interrupted download")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith(("/constants.pkl", ".debug_pkl")) or "/code/" in name for name in names):
        return (
            "is a TorchScript archive, a program rather than weights: save them in Python with "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        )
    if any(name.endswith((".json", "/archive_format")) and "model" in name.lower() for name in names):
        return "is a torch.export program (.pt2), not weights: save the network's state_dict() with torch.save"
    if any(name.endswith(".weights.h5") for name in names):
        return f"is a Keras model: {_OTHER}"
    if names and all(name.endswith(".npy") for name in names):
        return f"is a NumPy archive (.npz): {_OTHER}"
    if any(name.endswith("data.pkl") for name in names):
        return ""  # a checkpoint of torch
    weights = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".safetensors"))]
    return f"is a zip archive ({', '.join((weights or names)[:3]) or 'empty'}): {_UNPACK}"


def _of_tar(path: Path, head: bytes) -> str:
    if not tarfile.is_tarfile(path):
        return ""
    with tarfile.open(path) as archive:
        names = [member.name for member in archive]
    if {"storages", "tensors", "pickle"} <= set(names):
        return "was saved by a torch version before 0.2 (2017): load it with that version and save the state_dict again"
    weights = [name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".safetensors"))]
    return f"is a tar archive ({', '.join((weights or names)[:3]) or 'empty'}): {_UNPACK}"


def _of_text(path: Path, head: bytes) -> str:
    start = head.decode("utf-8-sig", "replace").strip()[:200].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<!--", "<script")):
        return (
            "is a web page (HTML), such as a login or 'not found' page, not a checkpoint: download it again, and check "
            "the page in a browser"
        )
    if start.startswith("<"):
        return "is an XML document, as servers send when access to a file is denied: download it again"
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head).strip()  # its last letter may be cut
    except UnicodeDecodeError:
        return ""
    if not text or any(ord(letter) < 32 and letter not in "\t\r\n\f" for letter in text):
        return ""
    if "annex/objects/" in start:
        return "is a git-annex pointer, not the file itself: run git annex get on it"
    if start.startswith(("{", "[")):
        return "is text (JSON), not weights: name the weights file itself"
    return f"is text ({text.splitlines()[0][:40]!r}), not weights: name the weights file itself"


def _of_protobuf(path: Path, head: bytes) -> str:
    """ONNX and TensorFlow write protocol buffers, which begin with no magic number."""
    if head[4:8] == b"TFL3":
        return f"is a TensorFlow Lite model: {_OTHER}"
    onnx = len(head) > 2 and head[0] == 8 and 1 <= head[1] <= 30 and head[2] in (0x12, 0x1A, 0x22, 0x3A)
    if path.suffix.lower() == ".onnx" or (onnx and b"tensorflow" not in head.lower()):
        return f"is an ONNX model: {_OTHER}"
    if path.suffix.lower() in (".pb", ".index", ".meta", ".data-00000-of-00001") or b"tensorflow" in head.lower():
        return f"is a TensorFlow file: {_OTHER}"
    return ""
