"""Inception v3 with the weights of the published FIDs, from a file, torch's cache, or its official address."""

import hashlib
import io
import shutil
import urllib.request
from pathlib import Path

import torch
from torch import Tensor, nn

from coopcut.engine.checkpoint.file_kinds import kind_of
from coopcut.engine.checkpoint.files import read_file
from coopcut.metrics.packages import package
from coopcut.util.errors import CheckpointError
from coopcut.util.files import replacing

SHA256 = "6726825d"  # of the file begins so
FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")  # the same content
ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILES[0]}"
TIMEOUT = 20.0  # seconds without an answer


class Inception(nn.Module):
    """Images uint8 [B, 3, H, W] -> [B, 2048], scaled to 299x299 as TensorFlow 1 did it (torch-fidelity)."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: Tensor) -> Tensor:
        return self.extractor(images)[0]


def load_inception(weights: str | Path | None) -> tuple[Inception, str]:
    """The network and the SHA-256 of its file. Raises `CheckpointError` for a missing or wrong file."""
    module = package("torch_fidelity.feature_extractor_inceptionv3")
    path = find_weights(weights)
    fingerprint = check_sha256(path, SHA256, "--weights")
    buffer = io.BytesIO()  # the extractor would unpickle anything; this has been read as tensors alone
    torch.save(read_file(path), buffer)
    buffer.seek(0)
    try:
        extractor = module.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=buffer)
    except RuntimeError:
        raise CheckpointError(f"--weights {path} does not fit Inception v3; expected {FILES[0]}") from None
    return Inception(extractor), fingerprint


def find_weights(given: str | Path | None) -> Path:
    """The file: the one that is given, or in torch's cache, or downloaded to there. Raises `CheckpointError`."""
    if given is not None:
        return given_file("--weights", Path(given), f"the file of {ADDRESS}")
    places = [Path(torch.hub.get_dir()) / "checkpoints" / name for name in FILES]
    for place in places:
        if place.is_file():
            return place
    place = places[0]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            with urllib.request.urlopen(ADDRESS, timeout=TIMEOUT) as answer, temporary.open("wb") as file:
                shutil.copyfileobj(answer, file)
            check_sha256(temporary, SHA256, ADDRESS)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise CheckpointError(
            f"no weights for --features inception ({reason}): download {ADDRESS} elsewhere and save it as {place}, "
            "or name it with --weights"
        ) from None
    return place


def check_sha256(path: Path, prefix: str, what: str) -> str:
    """The SHA-256 of a file. Raises `CheckpointError`, saying `what` it is, unless it begins with `prefix`."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(prefix):
        kind = kind_of(path)
        why = f"; {path} {kind}" if kind else ": it is damaged or another file; download it again"
        raise CheckpointError(f"{what} {path}: its SHA-256 starts with {found[:8]} instead of {prefix}{why}")
    return found


def given_file(flag: str, path: Path, expected: str) -> Path:
    """`path`, if it is a file. Raises `CheckpointError`."""
    if not path.is_file():
        what = "is a folder: name the file in it" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{flag} {path} {what}; expected {expected}")
    return path
