"""LPIPS (Zhang et al., CVPR 2018) with AlexNet, if the weights of AlexNet are on disk; nothing is downloaded for it."""

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from coopcut.metrics.inception import check_sha256, given_file
from coopcut.metrics.packages import package

FILE, SHA256 = "alexnet-owt-7be5be79.pth", "7be5be79"  # of torchvision


def load_lpips(weights: Path | None) -> Callable[[Tensor, Tensor], Tensor] | None:
    """A function of two tensors [B, 3, H, W] in [-1, 1]; None if no weights are given and none are in torch's cache.

    Raises `CheckpointError` for a given file that is missing or another one.
    """
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if weights:
        given_file("--lpips_weights", path, f"torchvision's {FILE}")
    elif not path.is_file():
        return None
    check_sha256(path, SHA256, "--lpips_weights" if weights else "torchvision's")
    module = package("torchmetrics.image.lpip")
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (Path(folder) / "checkpoints").mkdir()
        os.symlink(path.resolve(), Path(folder) / "checkpoints" / FILE)
        torch.hub.set_dir(folder)  # torchmetrics takes the network from there, and from nowhere else
        try:
            metric = module.LearnedPerceptualImagePatchSimilarity(net_type="alex")
        finally:
            torch.hub.set_dir(before)

    return torch.inference_mode()(metric)
