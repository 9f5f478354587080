"""Feature networks: deterministic, of any size of image, told apart by their keys."""

import hashlib
import io
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn

from coopcut.images.io import to_tensor
from coopcut.metrics import inception
from coopcut.metrics.builtin import BuiltinNetwork, gabor_filters
from coopcut.metrics.features import create_features
from coopcut.util.errors import CheckpointError, DataError, OptionError


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng([seed, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_builtin_is_the_same_everywhere() -> None:
    """Weights of the first version; another figure here means that `VERSION` must go up."""
    network = BuiltinNetwork()
    assert network.fingerprint() == BuiltinNetwork().fingerprint()
    assert network.fingerprint().startswith("2ba7497e")
    waves = gabor_filters()
    assert np.allclose(waves.sum(axis=(1, 2)), 0, atol=1e-12)
    assert np.allclose(np.hypot(waves[:4], waves[4:]).sum(axis=(1, 2)), 1)


def test_builtin_of_a_plain_image() -> None:
    """Gray 1/2: brightness b, no other color, no contrast: 5 b is the first mean at each scale."""
    features = create_features("builtin")
    value = 191 / 127.5 - 1
    (vector,) = features([np.full((50, 70, 3), 191, np.uint8)])
    by_scale = vector.reshape(4, 2, 31)  # scales; mean and standard deviation; maps
    assert np.allclose(by_scale[:, 0, 0], 5 * value, atol=1e-3)
    assert np.allclose(by_scale[:, 0, 1:15], 0, atol=0.01)
    assert np.allclose(by_scale[:, 1], 0, atol=0.01)


def test_mixed_sizes_and_channels() -> None:
    features = create_features("builtin", size=32)
    gray = picture(20, 30)[:, :, 0]
    found = features([picture(40, 40), gray, gray[:, :, None], np.repeat(gray[:, :, None], 3, 2)])
    assert found.shape == (4, features.dims)
    assert found.dtype == np.float64
    assert np.array_equal(found[1], found[2])
    assert np.array_equal(found[1], found[3])
    assert np.allclose(found[0], features([picture(40, 40)])[0], atol=1e-5)  # alone or in a batch
    assert features([]).shape == (0, features.dims)
    with pytest.raises(ValueError, match="uint8"):
        features([picture(8, 8).astype(np.float32)])


def test_tensors_are_the_same_images() -> None:
    features = create_features("builtin", size=32)
    images = [picture(24, 24, seed) for seed in range(3)]
    tensor = torch.stack([to_tensor(Image.fromarray(image)) for image in images])
    assert np.array_equal(features(tensor), features(images))


def test_growing_corruption_leads_further_away() -> None:
    pytest.importorskip("torchmetrics", reason="the package torchmetrics is not installed")
    from coopcut.metrics.distribution import frechet_distance

    features = create_features("builtin", size=64)
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(48)]
    clean = [Image.fromarray(p).resize((64, 64), Image.Resampling.NEAREST) for p in small]
    known, rest = features([np.asarray(img) for img in clean[:24]]), clean[24:]

    def fid(pictures: list[NDArray[np.uint8]]) -> float:
        return frechet_distance(known, features(pictures))

    blurred = [fid([np.asarray(p.filter(ImageFilter.GaussianBlur(r))) for p in rest]) for r in (0, 1, 2, 4)]
    assert blurred == sorted(blurred)
    noise = rng.standard_normal((24, 64, 64, 3))
    noisy = [
        fid([np.clip(np.asarray(p) + s * n, 0, 255).astype(np.uint8) for p, n in zip(rest, noise, strict=True)])
        for s in (0, 15, 30, 60)
    ]
    assert noisy == sorted(noisy)


class Means(nn.Module):
    """Mean colors."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class Maps(nn.Module):
    """No vectors."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def torchscript(path: Path, module: nn.Module) -> str:
    torch.jit.save(torch.jit.trace(module, torch.zeros(2, 3, 32, 32)), str(path))
    return str(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript(tmp_path: Path) -> None:
    path = torchscript(tmp_path / "means.pt", Means())
    plain = np.full((9, 9, 3), 255, np.uint8)
    assert np.allclose(create_features(path, normalize="unit")([plain]), 1)
    assert np.allclose(create_features(path, normalize="symmetric")([plain]), 1)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    features = create_features(path)
    assert np.allclose(features([plain]), expected, atol=1e-5)
    assert (features.name, features.dims) == ("means.pt", 3)
    assert "224x224" in features.transform
    with pytest.raises(DataError, match=r"maps.pt gives \(1, 3, 64, 64\) for 1 images; expected \[B, d\]"):
        create_features(torchscript(tmp_path / "maps.pt", Maps()), size=64)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_keys_tell_network_and_scaling_apart(tmp_path: Path) -> None:
    path = torchscript(tmp_path / "means.pt", Means())
    made = [
        create_features("builtin"),
        create_features("builtin", size=64),
        create_features(path),
        create_features(path, size=64),
        create_features(path, normalize="unit"),
    ]
    assert len({features.key for features in made}) == len(made)
    assert create_features("builtin").key == made[0].key


def test_what_cannot_be_had(tmp_path: Path) -> None:
    for name, says in (("vgg", "neither builtin nor inception"), ("missing.pt", "No such file")):
        with pytest.raises(OptionError, match=says):
            create_features(name)
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(OptionError, match="not a TorchScript module"):
        create_features(str(tmp_path / "text.pt"))
    with pytest.raises(OptionError, match="--feature_size 8"):
        create_features("builtin", size=8)
    with pytest.raises(OptionError, match="--weights x belongs to --features inception"):
        create_features("builtin", weights="x")


# -- Inception --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch, and no network."""

    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError(OSError("no route to host"))

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    return tmp_path / "hub" / "checkpoints"


def test_inception_without_network(hub: Path) -> None:
    pytest.importorskip("torch_fidelity", reason="the package torch-fidelity is not installed")
    with pytest.raises(CheckpointError) as caught:
        create_features("inception")
    for part in (inception.ADDRESS, str(hub / inception.FILES[0]), "--weights"):
        assert part in str(caught.value)
    assert list(hub.iterdir()) == []


def test_inception_with_wrong_or_missing_weights(hub: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity", reason="the package torch-fidelity is not installed")
    (tmp_path / "wrong.pth").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"SHA-256 starts with .* instead of 6726825d"):
        create_features("inception", weights=tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match=r"--weights .*none.pth does not exist"):
        create_features("inception", weights=tmp_path / "none.pth")


def test_a_download_is_checked_before_it_is_kept(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"weights"
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(content))
    with pytest.raises(CheckpointError, match="SHA-256"):
        inception.find_weights(None)
    assert list(hub.iterdir()) == []
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(content).hexdigest()[:8])
    path = inception.find_weights(None)
    assert path == hub / inception.FILES[0]
    assert path.read_bytes() == content
    monkeypatch.setattr(urllib.request, "urlopen", None)  # the second time it is there
    assert inception.find_weights(None) == path
