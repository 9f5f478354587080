"""train.py in double precision: python tests/double.py [flags of train.py]

Two processes add up the parts of a gradient in another order than one. In single precision a rectifier at its kink can
turn that rounding into percents of a gradient; in double precision both agree to a millionth.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import train  # noqa: E402
from coopcut.data.batch import Batch  # noqa: E402
from coopcut.util.cli import run_script  # noqa: E402

_to = Batch.to


def _to_double(self: Batch, device: Any) -> Batch:
    batch = _to(self, device)
    return replace(batch, tensors={name: images.double() for name, images in batch.tensors.items()})


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    Batch.to = _to_double  # type: ignore[method-assign]
    sys.argv[0] = "train.py"
    run_script(train.main)
