"""A training in this process, as small as it goes, and the comparison of its states."""

from pathlib import Path
from typing import Any

import torch

import train
from tests.tools import TINY

LOGGED = ["--print_freq", "1", "--seed", "3"]


def run(images: Path, name: str, *flags: str) -> dict[str, Any]:
    """Train in this process; returns the saved state."""
    folder = images.parent / "checkpoints"
    argv = ["--dataroot", str(images), "--checkpoints_dir", str(folder), "--name", name, *TINY]
    assert train.main([*argv, *LOGGED, *flags]) == 0
    return torch.load(folder / name / "latest_state.pth", weights_only=True)


def same(a: Any, b: Any, path: str = "") -> None:
    """Assert equality, bit for bit, of nested states."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}/{i}")
    else:
        assert a == b, path
