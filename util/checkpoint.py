"""Files of weights and states: written whole or not at all, and read without running what is in them."""

import contextlib
import errno
import io
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from util.errors import CheckpointError

STATE = "latest_state.pth"


def write_files(folder: Path, contents: Mapping[str, Any]) -> None:
    """Save each value of `contents` under its file name in `folder`, all of them or none.

    Every file is first written in full beside its place and flushed to the disk; only when all of them are there
    are they renamed, the last one named last. A full disk therefore leaves the previous files as they were.
    Raises `CheckpointError`.
    """
    staged: list[tuple[Path, Path]] = []
    path = folder
    try:
        for name, content in contents.items():
            path = folder / name
            temporary = folder / f".{name}.{os.getpid()}.tmp"
            staged.append((temporary, path))
            buffer = io.BytesIO()  # torch's own writer would report a full disk as an internal error
            torch.save(content, buffer)
            with temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        for temporary, path in staged:
            os.replace(temporary, path)
        _flush_folder(folder)
    except OSError as error:
        raise CheckpointError(
            f"{path} could not be written ({error.strerror or error}); the previous checkpoint is as it was: "
            "make room or check the permissions, then go on with --continue_train"
        ) from None
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def read_file(path: Path) -> Any:
    """The content of a file that `write_files` or CUT wrote, on the CPU. Raises `CheckpointError`."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist{_whats_there(path.parent)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's thoughts on a pickle that it goes on to refuse
            _check_sums(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # of a damaged file, torch's reader makes almost any type
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # that one: sought beyond the end
            raise CheckpointError(f"{path} cannot be read ({error.strerror})") from None
        if "GLOBAL" in str(error) or _is_plain_pickle(path):
            raise CheckpointError(
                f"{path} holds more than tensors and could run code when loaded; it is refused: "
                "take a file of weights (a state_dict)"
            ) from None
        raise CheckpointError(_damaged(path)) from None


def strip_prefix(weights: Any, source: Path) -> dict[str, Tensor]:
    """`weights` without the `module.` that CUT puts before every name on some machines. Raises `CheckpointError`."""
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise CheckpointError(f"{source} is not a file of one network's weights (a state_dict)")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def load_weights(net: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Fill `net`. Raises `CheckpointError`, naming the first difference, if the weights are of another network."""
    ours = net.state_dict()
    hint = "it belongs to another architecture: check --netG, --ngf, --netD, --ndf, --norm*, --no_antialias*"
    for name in (*ours, *weights):
        if name not in weights or name not in ours:
            missing = "lacks" if name not in weights else "has the unexpected"
            raise CheckpointError(f"{source} {missing} {name}; {hint}")
        if weights[name].shape != ours[name].shape:
            theirs, wanted = tuple(weights[name].shape), tuple(ours[name].shape)
            raise CheckpointError(f"{source}: {name} has the shape {theirs} instead of {wanted}; {hint}")
    net.load_state_dict(dict(weights))


def _check_sums(path: Path) -> None:
    """Raise `zipfile.BadZipFile` if a part of the archive is not what was written; torch reads on over such damage."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
        if part is not None:
            raise zipfile.BadZipFile(part)


def _is_plain_pickle(path: Path) -> bool:
    """Whether a file begins like Python's own pickles; those of torch are of protocol 2 or inside a zip archive."""
    with path.open("rb") as file:
        start = file.read(2)
    return len(start) == 2 and start[0] == 0x80 and start[1] > 2


def _damaged(path: Path) -> str:
    size = path.stat().st_size
    return f"{path} is damaged or not a checkpoint ({size} bytes): restore it, or take another --epoch or run"


def _whats_there(folder: Path) -> str:
    if not folder.is_dir():
        return " and neither does its folder: check --name (in training also --pretrained_name) and --checkpoints_dir"
    names = sorted(p.name for p in folder.glob("*.pth"))
    return f"; {folder} holds {', '.join(names[:8]) or 'no checkpoint'}{', ...' if len(names) > 8 else ''}"


def _flush_folder(folder: Path) -> None:
    """Make the renames survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
