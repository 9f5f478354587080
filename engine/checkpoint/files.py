"""Files of weights and states: written whole or not at all, and read without running what is in them."""

import argparse
import contextlib
import errno
import io
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from coopcut.engine.checkpoint.file_kinds import damaged, is_safetensors, kind_of
from coopcut.util.errors import CheckpointError
from coopcut.util.memory import is_out_of_memory

STATE = "latest_state.pth"
READY = ".ready"  # ends the name of the last file, until it is renamed, once all files of a `write_files` are written
LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"  # in files of torch before 1.6, after the pickle's version


def write_files(folder: Path, contents: Mapping[str, Any]) -> None:
    """Save each value of `contents` under its file name in `folder`, all of them or none.

    Every file is first written in full beside its place and flushed to the disk; only when all of them are there
    are they renamed, the last one named last. A full disk therefore leaves the previous files as they were, and what a
    kill interrupts is finished or forgotten by `finish_writing`. Content of type bytes is written as it is.
    Raises `CheckpointError`.
    """
    staged: list[tuple[Path, Path]] = []
    path = folder
    try:
        for name, content in contents.items():
            path = folder / name
            temporary = folder / f".{name}.{os.getpid()}.tmp"
            staged.append((temporary, path))
            buffer = io.BytesIO(content if isinstance(content, bytes) else b"")
            if not isinstance(content, bytes):
                torch.save(content, buffer)  # not into the file: torch reports a full disk as an internal error
            with temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        temporary, path = staged[-1]
        staged[-1] = temporary.with_suffix(READY), path
        os.replace(temporary, staged[-1][0])  # from here on all is written
        for temporary, path in staged:
            os.replace(temporary, path)
        _flush_folder(folder)
    except OSError as error:
        there = (folder / STATE).is_file()
        what = "the previous checkpoint is unchanged" if there else "nothing has been saved yet"
        again = "resume with --continue_train" if there else "start again"
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}); {what}: free up space or check the permissions, "
            f"then {again}"
        ) from None
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def has_state(folder: Path) -> bool:
    """Whether `folder` holds a full state, or one that `finish_writing` will put in place."""
    return (folder / STATE).is_file() or any(folder.glob(f".{STATE}.*{READY}"))


def finish_writing(folder: Path) -> None:
    """Put in place what a killed `write_files` had written in full, and remove what it had not. Raises `OSError`."""
    for record in folder.glob(f".*{READY}"):
        name, number = record.name[1:].removesuffix(READY).rsplit(".", 1)
        for written in folder.glob(f".*.{number}.tmp"):
            os.replace(written, folder / written.name[1:].removesuffix(f".{number}.tmp"))
        os.replace(record, folder / name)
    for left in folder.glob(".*.tmp"):
        left.unlink()


def read_file(path: Path) -> Any:
    """The content of a file that `write_files`, CUT, Lightning or safetensors wrote, on the CPU.

    Raises `CheckpointError`, which says what any other file is.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: name a weights file in it")
    if not path.exists():
        raise CheckpointError(f"{path} does not exist{_whats_there(path)}")
    if not path.is_file():
        raise CheckpointError(f"{path} is a pipe or a device: save the weights as a regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's thoughts on a pickle that it goes on to refuse
            if is_safetensors(path):
                return load_file(path)
            _check_sums(path)
            with torch.serialization.safe_globals([argparse.Namespace]):  # Lightning keeps a script's options beside
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file, torch's reader makes almost any type
        if is_out_of_memory(error) and not _wants_too_much(error, path):
            raise
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # that one: sought beyond the end
            raise CheckpointError(
                f"{path} cannot be read ({error.strerror}): check the file and its permissions"
            ) from None
        raise CheckpointError(f"{path} {_what_is_wrong(path, str(error))}") from None


ANOTHER = "it belongs to a different architecture: check --netG, --ngf, --netD, --ndf, --norm*, --no_antialias*"


def load_weights(net: nn.Module, weights: Mapping[str, Tensor], source: Path, hint: str = ANOTHER) -> None:
    """Fill `net`. Raises `CheckpointError`, naming the first difference, if the weights are of another network.

    hint: the end of that message.
    """
    ours = net.state_dict()
    for name in (*ours, *weights):
        if name not in weights or name not in ours:
            missing = "lacks" if name not in weights else "has the unexpected"
            raise CheckpointError(f"{source} {missing} {name}; {hint}")
        if weights[name].shape != ours[name].shape:
            theirs, wanted = tuple(weights[name].shape), tuple(ours[name].shape)
            raise CheckpointError(f"{source}: {name} has shape {theirs} instead of {wanted}; {hint}")
        if weights[name].is_meta:
            raise CheckpointError(f"{source}: {name} has a shape but no values: save it from a real device, not meta")
        if weights[name].is_floating_point() != ours[name].is_floating_point():
            types = f"{weights[name].dtype} instead of {ours[name].dtype}"
            raise CheckpointError(f"{source}: {name} holds {types}: save the weights as floating-point numbers")
    try:
        net.load_state_dict(dict(weights))
    except RuntimeError as error:  # sparse tensors, say
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{source} does not load into the network ({reason}); save plain dense tensors") from None


def _check_sums(path: Path) -> None:
    """Raise `zipfile.BadZipFile` if a part of the archive is not what was written; torch reads on over such damage."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
        if part is not None:
            raise zipfile.BadZipFile(part)


def _wants_too_much(error: BaseException, path: Path) -> bool:
    """Whether a tensor needs more memory than the file has bytes: then the file is at fault."""
    asked = re.search(r"allocate (\d+) bytes", str(error))
    return asked is not None and int(asked[1]) > path.stat().st_size


def _what_is_wrong(path: Path, reason: str) -> str:
    """What a file is that could not be read, and what to do. reason: what torch says."""
    named = re.search(r"GLOBAL ([\w.]+)", reason)
    kind = kind_of(path)
    if kind and not named:
        return kind
    if named or _is_plain_pickle(path):
        what = f" ({named[1]})" if named else ""
        return (
            f"holds more than tensors{what} and could run code when loaded, so it is refused: if you trust it, load it "
            "elsewhere and save only the network's state_dict() with torch.save"
        )
    return damaged(path)


def _is_plain_pickle(path: Path) -> bool:
    """Whether a file begins like Python's own pickles; those of torch begin with a number, or are in a zip archive."""
    with path.open("rb") as file:
        start = file.read(14)
    return len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5 and start[2:] != LEGACY


def _whats_there(path: Path) -> str:
    """What lies where a file is missing; for <epoch>_net_<name>.pth only those of the other epochs, the newest last."""
    folder = path.parent
    if not folder.is_dir():
        return ", nor does its folder: check --name (in training also --pretrained_name) and --checkpoints_dir"
    found = [p.name for p in folder.iterdir() if p.suffix in (".pth", ".pt", ".ckpt", ".safetensors")]
    _, net, network = path.name.rpartition("_net_")
    names = [name for name in found if net and name.endswith(net + network)] or found
    names.sort(key=lambda name: (len(Path(name).stem), name))  # 5 before 10 before latest
    return f"; {folder} holds {'..., ' * (len(names) > 8)}{', '.join(names[-8:]) or 'no checkpoint'}"


def _flush_folder(folder: Path) -> None:
    """Make the renames survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
