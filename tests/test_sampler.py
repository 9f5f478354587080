"""Images from noise: the same for a seed whatever is made beside them."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from coopcut.engine.precision import Network
from coopcut.inference.completion import mask, rmse
from coopcut.inference.sampler import CHUNK, Sampler, between, noise
from coopcut.inference.samples import grid, sample_name
from coopcut.networks.contract import NoiseGenerator
from coopcut.networks.energy import EnergyModel
from coopcut.util.errors import DataError, OptionError


class Small(NoiseGenerator):
    """Convolutions and batch norm: [B, 6] -> [B, 3, 8, 8]."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.nz, self.size, self.classes = 6, 8, classes
        self.first, self.norm = nn.Linear(6 + classes, 4 * 64), nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    @classmethod
    def from_options(cls, *_: Any) -> "Small":
        return cls()

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if y is not None:
            z = torch.cat([z, nn.functional.one_hot(y, self.classes).to(z)], dim=1)
        made: Tensor = self.last(self.norm(self.first(z).view(-1, 4, 8, 8)).relu()).tanh()
        return made


def sampler(classes: tuple[str, ...] = ()) -> Sampler:
    return Sampler(Small(len(classes)), torch.device("cpu"), classes)


def test_an_image_does_not_depend_on_what_is_made_beside_it() -> None:
    made = sampler()
    whole = made.sample(range(2 * CHUNK + 3), seed=1)
    assert torch.equal(made.sample(range(5), seed=1), whole[:5])
    assert torch.equal(made.sample([2 * CHUNK + 1, 3], seed=1), whole[[2 * CHUNK + 1, 3]])
    assert not torch.equal(made.sample(range(5), seed=2), whole[:5])
    assert len(whole.flatten(1).unique(dim=0)) == len(whole)


def test_noise_is_standard_normal() -> None:
    found = noise(range(2000), 5, 10)
    assert found.dtype == torch.float32
    assert float(found.mean()) == pytest.approx(0, abs=0.02)
    assert float(found.std()) == pytest.approx(1, abs=0.02)
    assert float(np.corrcoef(found[:-1].flatten(), found[1:].flatten())[0, 1]) == pytest.approx(0, abs=0.03)


def test_classes_by_name_by_number_and_in_turn() -> None:
    made = sampler(("cat", "dog", "emu"))
    assert [made.class_of(i) for i in range(4)] == [0, 1, 2, 0]
    assert [made.class_of(9, text) for text in ("dog", "1", 1, "emu", "0")] == [1, 1, 1, 2, 0]
    for wrong in ("cow", "3", "-1"):
        with pytest.raises(OptionError, match="no such class; known: cat, dog, emu, or 0 to 2"):
            made.class_of(0, wrong)
    numbers = sampler(("3", "7"))  # a number is a name
    assert numbers.class_of(0, "7") == 1
    with pytest.raises(OptionError, match=r"no such class; known: 3, 7$"):
        numbers.class_of(0, "0")
    with pytest.raises(OptionError, match="knows no classes"):
        sampler().class_of(0, "cat")
    assert not torch.equal(made.sample([0], class_id="cat"), made.sample([0], class_id="dog"))
    assert [sample_name(i, made, "") for i in (0, 12345)] == ["00000_cat.png", "12345_cat.png"]
    assert sample_name(3, sampler(), "") == "00003.png"


def test_truncation_needs_a_latent_space() -> None:
    assert len(sampler().sample(range(2), truncation=1.0)) == 2
    with pytest.raises(OptionError, match="--truncation needs"):
        sampler().sample(range(2), truncation=0.7)


def test_the_way_between_two_noises_keeps_their_length() -> None:
    first, last = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    way = between(first, last, 3)
    torch.testing.assert_close(way[[0, 2]], torch.stack([first, last]), atol=1e-6, rtol=0)
    torch.testing.assert_close(way[1], torch.full((2,), 3 / math.sqrt(2)))
    torch.testing.assert_close(between(first, first, 2), torch.stack([first, first]))
    strip = sampler().interpolation(3, seed=4)
    torch.testing.assert_close(strip[[0, 2]], sampler().sample([0, 1], seed=4), atol=1e-6, rtol=1e-5)


def test_masks() -> None:
    center = mask("center", 8)
    assert center.sum() == 64 - 16
    assert center[0, 0, 2:6, 2:6].sum() == 0
    assert mask("left", 8)[0, 0, :, 3:5].tolist() == [[0, 1]] * 8
    assert 0.3 < float(mask("random", 32).mean()) < 0.7
    with pytest.raises(OptionError, match="--mask nothing"):
        mask("nothing", 8)


def test_a_mask_of_a_file(tmp_path: Any) -> None:
    from PIL import Image

    picture = np.zeros((4, 4), np.uint8)
    Image.fromarray(picture).save(tmp_path / "all.png")
    with pytest.raises(DataError, match="hides all"):
        mask(str(tmp_path / "all.png"), 8)
    picture[:, 2:] = 255
    Image.fromarray(picture).save(tmp_path / "half.png")
    assert mask(str(tmp_path / "half.png"), 8)[0, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_the_error_is_that_of_hidden_pixels() -> None:
    x, known = torch.zeros(2, 3, 4, 4), mask("left", 4)
    made = torch.full_like(x, 0.5)
    assert rmse(made, x, known) == pytest.approx(0.5 * 127.5)
    assert rmse(known * made, x, known) == 0


def test_a_sheet_of_pictures() -> None:
    from PIL import Image

    sheet = grid([Image.new("RGB", (32, 32), "red")] * 9, columns=4)
    assert sheet.size == (4 * 66 + 2, 3 * 66 + 2)
    assert sheet.getpixel((10, 10)) == (255, 0, 0)
    assert sheet.getpixel((200, 190)) == (255, 255, 255)


def test_a_network_that_is_given_classes() -> None:
    class Told(nn.Module):
        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return x.sum(dim=1) + (0 if y is None else 100 * y)

    network: Network[Any] = Network(Told(), torch.device("cpu"))
    x, y = torch.arange(4.0).view(4, 1), torch.tensor([1, 2])
    assert network.given(None) is network
    assert network.given(y)(x[:2]).tolist() == [100, 201]
    assert network.given(y)(x).tolist() == [100, 201, 102, 203]  # two batches of the same classes


def test_an_energy_model_climbs_from_its_chains() -> None:
    class Bowl(nn.Module):
        """f(x) = -|x - 0.5|^2 per pixel: its maximum is a picture of 0.5."""

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return -(x - 0.5).square().flatten(1).mean(1).view(-1, 1, 1, 1)

    torch.manual_seed(0)
    model = EnergyModel(Bowl(), 1, 4, chains=5, noise=0.0)  # type: ignore[arg-type]
    made = Sampler(model, torch.device("cpu"))
    images = made.sample(range(12), seed=1)
    assert torch.equal(images[3:7], made.sample(range(3, 7), seed=1))
    nearest = [(model.chains - image).abs().flatten(1).mean(1).min() for image in images]
    assert 0.0 < float(torch.stack(nearest).max()) <= 0.021  # as far as its sampler may go
    assert (images - 0.5).abs().mean() < (model.chains - 0.5).abs().mean()
    assert torch.cat([model.rows(step, 2) for step in range(5)]).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
