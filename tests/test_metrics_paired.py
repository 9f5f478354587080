"""Errors against counterparts: hand-made figures, and the libraries'."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from coopcut.metrics.lpips import FILE, load_lpips
from coopcut.metrics.paired import paired_errors
from coopcut.metrics.report import table
from coopcut.util.errors import CheckpointError

pytest.importorskip("torchmetrics", reason="the package torchmetrics is not installed")


def test_figures() -> None:
    truth = np.full((2, 2, 3), 100, np.uint8)
    fake = truth.copy()
    fake[0, 0] = (105, 100, 95)  # within 5
    fake[0, 1] = (106, 100, 100)  # within 10
    fake[1, 0] = (100, 100, 111)  # within neither; fake[1, 1] is exact
    errors = paired_errors([(fake, truth)])
    mse = (25 + 25 + 36 + 121) / 12
    assert errors.rmse == pytest.approx(mse**0.5)
    assert (errors.within_5, errors.within_10, errors.images) == (0.5, 0.75, 1)
    assert errors.psnr == pytest.approx(10 * math.log10(255**2 / mse))
    assert math.isnan(errors.ssim)  # smaller than its window
    assert errors.lpips is None
    with pytest.raises(ValueError, match="no pairs"):
        paired_errors([])


def test_of_equal_images() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    errors = paired_errors([(picture, picture)])
    assert (errors.rmse, errors.within_5, errors.psnr) == (0, 1, math.inf)
    assert errors.ssim == pytest.approx(1)


def test_ssim_is_that_of_the_library_and_the_mean_over_images() -> None:
    from torchmetrics.functional.image import structural_similarity_index_measure

    rng = np.random.default_rng(1)
    pairs = [tuple(rng.integers(0, 256, (2, side, 16, 3), dtype=np.uint8)) for side in (16, 24)]
    expected = []
    for pair in pairs:
        a, b = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() for picture in pair)
        expected.append(float(torch.as_tensor(structural_similarity_index_measure(a, b, data_range=255.0))))
    assert paired_errors(pairs).ssim == pytest.approx(np.mean(expected))


def test_growing_corruption() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(60, 190, (24, 24, 3), dtype=np.uint8)
    noise = rng.standard_normal(truth.shape)
    rows = [paired_errors([(np.clip(truth + size * noise, 0, 255).astype(np.uint8), truth)]) for size in (2, 6, 20, 60)]
    assert [row.rmse for row in rows] == sorted(row.rmse for row in rows)
    for name in ("within_5", "within_10", "psnr", "ssim"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values, reverse=True)


def test_lpips_takes_part_if_it_is_there() -> None:
    large, small = (np.zeros((side, side, 3), np.uint8) for side in (32, 31))
    seen = []

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append((tuple(a.shape), float(a.min()), float(b.max())))
        return torch.tensor(0.25)

    errors = paired_errors([(large, large + 255), (small, small)], distance)
    assert errors.lpips == 0.25
    assert seen == [((1, 3, 32, 32), -1, 1)]  # the other is too small for the network
    names, row = table({"x": errors.as_dict()})
    assert "LPIPS" in names
    assert "0.2500" in row
    assert errors.as_dict()["LPIPS"] == 0.25


def test_lpips_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert load_lpips(None) is None
    with pytest.raises(CheckpointError, match=f"--lpips_weights .* does not exist; expected torchvision's {FILE}"):
        load_lpips(tmp_path / "none.pth")
    (tmp_path / "wrong.pth").write_bytes(b"wrong")
    with pytest.raises(CheckpointError, match="instead of 7be5be79"):
        load_lpips(tmp_path / "wrong.pth")
