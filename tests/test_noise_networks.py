"""Networks of images from noise: all that are registered, and what is particular to each."""

import copy
import io
import itertools
from typing import Any

import pytest
import torch
from torch import nn

from coopcut.networks import create_critic, create_noise_G
from coopcut.networks.contract import Critic, NoiseGenerator
from coopcut.networks.coopnets import CoopDescriptor
from coopcut.networks.dcgan import DCCritic, DCGenerator
from coopcut.networks.generation import Projected, start_of
from coopcut.networks.registry import CRITICS, NOISE_GENERATORS
from coopcut.networks.residual import CodedNorm, SelfAttention
from coopcut.networks.stylegan2 import EqualLinear, ModulatedConv, StyleGenerator, variation
from coopcut.objectives.adversarial import is_pure
from coopcut.options.option import Options
from coopcut.util.errors import OptionError
from tests.tools import train_options

SIZES = {"mlp": [4], "coopnets": [8, 16, 32, 64]}
ANY = [8, 16, 28, 32, 48, 64]
RESIDUAL = [8, 16, 24, 32, 48, 64]
SIZES |= {"dcgan": ANY, "stylegan2": ANY, "sngan": RESIDUAL, "biggan": RESIDUAL}
CONDITIONAL = ["biggan", "dcgan", "sngan", "stylegan2"]


def options(size: int, *flags: str) -> Options:
    tiny = ["--model", "gan", "--dataroot", "faces", "--ngf", "4", "--ndf", "4", "--nz", "6", "--crop_size", str(size)]
    return train_options([*tiny, *flags])


def generator(name: str, size: int, classes: int = 0, *flags: str) -> NoiseGenerator:
    torch.manual_seed(0)
    return create_noise_G(parsed(name, "netG", size, *flags), 3, classes)


def critic(name: str, size: int, classes: int = 0, *flags: str) -> Critic:
    torch.manual_seed(0)
    return create_critic(parsed(name, "netD", size, *flags), 3, classes)


def parsed(name: str, flag: str, size: int, *flags: str) -> Options:
    if name == "mlp":
        both = ["--model", "gan", "--dataroot", "ring:8", "--nz", "6", "--mlp_width", "5"]
        return train_options([*both, *flags])
    return options(size, f"--{flag}", name, *flags)


EVERY_G = [(name, size) for name in NOISE_GENERATORS for size in SIZES.get(name, [32])]
EVERY_D = [(name, size) for name in CRITICS for size in SIZES.get(name, [32])]


@pytest.mark.parametrize(("name", "size"), EVERY_G)
def test_a_generator_makes_images_of_its_size(name: str, size: int) -> None:
    net = generator(name, size)
    images = net(torch.randn(3, 6))
    assert net.nz == 6
    assert images.shape == (3, 3, net.size, net.size)
    assert net.size == (1 if name == "mlp" else size)
    assert name == "mlp" or float(images.detach().abs().max()) <= 1
    images.square().mean().backward()
    still = [n for n, p in net.named_parameters() if p.grad is None]
    assert still == []


@pytest.mark.parametrize(("name", "size"), EVERY_D)
def test_a_critic_gives_one_score_to_each_image(name: str, size: int) -> None:
    net = critic(name, size)
    side = 1 if name == "mlp" else size
    scores = net(torch.randn(5, 3, side, side))
    assert scores.shape == (5, 1, 1, 1)
    scores.square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    bias = net.score_bias
    if bias is not None:
        with torch.no_grad():
            bias.add_(2.0)
        net.eval()
        x = torch.randn(5, 3, side, side)
        shifted, again = net(x), None
        with torch.no_grad():
            bias.sub_(2.0)
            again = net(x)
        torch.testing.assert_close(shifted - again, torch.full_like(again, 2.0))


@pytest.mark.parametrize("name", NOISE_GENERATORS)
def test_samples_do_not_depend_on_their_batch(name: str) -> None:
    net = generator(name, 16).eval()
    z = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(net(z)[2:3], net(z[2:3]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CRITICS)
def test_critics_have_gradients_of_gradients(name: str) -> None:
    net = critic(name, 16)
    side = 1 if name == "mlp" else 16
    x = torch.randn(4, 3, side, side, requires_grad=True)
    (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    found = [p.grad for p in net.parameters() if p.grad is not None]
    assert found
    assert all(bool(g.isfinite().all()) for g in found)
    assert any(float(g.abs().max()) > 0 for g in found)


@pytest.mark.parametrize("make", [generator, critic])
@pytest.mark.parametrize("name", sorted({*NOISE_GENERATORS, *CRITICS}))
def test_copies_and_states(name: str, make: Any) -> None:
    if name not in (NOISE_GENERATORS if make is generator else CRITICS):
        return
    net = make(name, 16)
    twin, other = copy.deepcopy(net), make(name, 16)
    x = torch.randn(4, 6) if make is generator else torch.randn(4, 3, *([1, 1] if name == "mlp" else [16, 16]))
    for each in (net, twin):
        each.train()
    assert torch.equal(net(x), twin(x))
    for parameter in other.parameters():
        nn.init.constant_(parameter.data, 0.1)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(net.eval()(x), other.eval()(x))


@pytest.mark.parametrize("name", CONDITIONAL)
def test_another_class_gives_another_image_and_score(name: str) -> None:
    G, D = generator(name, 16, classes=3), critic(name, 16, classes=3)
    assert (G.classes, D.classes) == (3, 3)
    for parameter in itertools.chain(G.parameters(), D.parameters()):
        if parameter.ndim == 0:
            nn.init.constant_(parameter, 1.0)
    for module in G.modules():
        if isinstance(module, CodedNorm) and module.scale is not None:
            nn.init.normal_(module.scale.weight)
    z, x = torch.randn(2, 6).repeat(2, 1), torch.randn(2, 3, 16, 16).repeat(2, 1, 1, 1)
    y = torch.tensor([0, 0, 1, 2])
    with torch.no_grad():
        for found in (G.eval()(z, y), D.eval()(x, y)):
            assert not torch.allclose(found[:2], found[2:])
        for net, inputs in ((G, z), (D, x)):
            with pytest.raises(ValueError, match="needs the classes"):
                net(inputs)


@pytest.mark.parametrize("name", sorted({*NOISE_GENERATORS} - {*CONDITIONAL}))
def test_the_others_refuse_classes(name: str) -> None:
    for make in (generator, critic):
        with pytest.raises(OptionError, match=f"--net. {name} takes no classes"):
            make(name, 16, 3)


@pytest.mark.parametrize(("name", "size"), [("dcgan", 36), ("sngan", 28), ("biggan", 20), ("coopnets", 48)])
def test_sizes_that_a_network_has_not(name: str, size: int) -> None:
    with pytest.raises(OptionError, match=f"--crop_size {size}: --netG {name} makes images of"):
        generator(name, size)


def test_starts() -> None:
    found = {size: start_of(size, "x") for size in (8, 10, 12, 14, 28, 32, 48, 64, 96, 256)}
    assert found == {8: (4, 1), 10: (5, 1), 12: (6, 1), 14: (7, 1), 28: (7, 2), 32: (4, 3), 48: (6, 3), 64: (4, 4),
                     96: (6, 4), 256: (4, 6)}  # fmt: skip
    for size in (4, 5, 7, 9, 36, 44):
        with pytest.raises(OptionError):
            start_of(size, "x")


def numbers(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_dcgan_is_that_of_the_paper() -> None:
    """100 -> 512 x 4 x 4 -> 256 -> 128 -> 64 -> 3 x 64 x 64, and back to a score."""
    G, D = DCGenerator((100, 0), 64), DCCritic(3, 64)
    kernels = 100 * 512 * 16 + (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) * 16 + 3
    assert numbers(G) == kernels + 2 * (512 + 256 + 128 + 64)
    kernels = (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) * 16 + 64 + 512 * 16 + 1
    assert numbers(D) == kernels + 2 * (128 + 256 + 512)


def test_coopnets_are_those_of_the_paper() -> None:
    opt = train_options(["--model", "coopnets", "--dataroot", "x", "--crop_size", "64"])
    G, D = create_noise_G(opt, 3, 0), create_critic(opt, 3, 0)
    shapes = [tuple(p.shape) for p in D.parameters() if p.ndim > 1]
    assert shapes == [(64, 3, 5, 5), (128, 64, 3, 3), (256, 128, 3, 3), (100, 256 * 16 * 16)]
    shapes = [tuple(p.shape) for p in G.parameters() if p.ndim > 1]
    assert shapes == [(512 * 16, 100), (512, 256, 5, 5), (256, 128, 5, 5), (128, 64, 5, 5), (64, 3, 5, 5)]
    x = torch.randn(2, 3, 64, 64)
    assert isinstance(D, CoopDescriptor)
    torch.testing.assert_close(D(x).flatten(), D.last(D.body(x)).sum(1))


def test_initial_weights_also_below_a_spectral_norm() -> None:
    net = critic("dcgan", 32, 0, "--normD", "spectral", "--init_gain", "0.5", "--ndf", "32")
    originals = [p for n, p in net.named_parameters() if n.endswith("original") and p.ndim == 4]
    assert len(originals) == 3
    for weight in originals:
        assert float(weight.std()) == pytest.approx(0.5, rel=0.1)


def test_spectral_norm_makes_the_largest_singular_value_one() -> None:
    net = critic("sngan", 16)
    for _ in range(30):
        net(torch.randn(2, 3, 16, 16))
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.eval().weight.detach().flatten(1)
            assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.05)


def test_the_projection_of_a_class() -> None:
    head = Projected(4, 3)
    features, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 1, 0])
    assert head.embedding is not None
    embedded = head.embedding.weight[y]  # type: ignore[index]
    expected = head.last(features)[:, 0] + (embedded * features).sum(1)
    torch.testing.assert_close(head(features, y).flatten(), expected)


def test_attention_begins_as_the_identity() -> None:
    layer, x = SelfAttention(16, "none"), torch.randn(2, 16, 8, 8)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.gamma, 1.0)
    assert not torch.allclose(layer(x), x)
    flat = x.mean((2, 3), keepdim=True).expand_as(x)  # all values alike: attention gives back what they are
    torch.testing.assert_close(layer(flat), flat + layer.out(layer.value(flat)))


def test_a_norm_with_a_code() -> None:
    layer, x = CodedNorm(2, 3), torch.randn(4, 2, 5, 5)
    assert layer.scale is not None
    nn.init.zeros_(layer.scale.weight)
    layer.scale.bias.data = torch.tensor([1.0, -1.0, 3.0, 0.0])  # scales 2 and 0, shifts 3 and 0
    made = layer(x, torch.randn(4, 3))
    assert float(made[:, 0].mean()) == pytest.approx(3, abs=1e-4)
    assert float(made[:, 0].std(unbiased=False)) == pytest.approx(2, rel=1e-3)
    assert float(made[:, 1].abs().max()) == 0


def test_demodulation_keeps_the_variance() -> None:
    """Whatever the style, independent inputs of variance 1 come out with variance 1 (Karras et al. 2020, eq. 3)."""
    torch.manual_seed(0)
    layer = ModulatedConv(16, 256, 3, code=4)
    x, w = torch.randn(2, 16, 20, 20), torch.tensor([[5.0, 0, 0, 0], [0, -2.0, 1.0, 0]])
    y = layer(x, w)[..., 1:-1, 1:-1]
    for image in y:
        assert float(image.var()) == pytest.approx(1, rel=0.1)
    by_hand = layer.weight * layer.scale * layer.style(w[:1])[0][None, :, None, None]
    by_hand = by_hand / (by_hand.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(
        layer(x[:1], w[:1]), nn.functional.conv2d(x[:1], by_hand, padding=1), rtol=1e-4, atol=1e-4
    )


def test_truncation_draws_toward_the_mean_code() -> None:
    G = StyleGenerator((6, 0), 8, ngf=4).eval()
    z = torch.randn(4, 6)
    with torch.no_grad():
        assert torch.equal(G(z, truncation=1.0), G(z))
        at_mean = G(z, truncation=0.0)
        assert float((at_mean - at_mean[:1]).abs().max()) < 1e-6
        half = G.code(z, None).lerp(G.mean_code(z), 0.5)
        w = G.code(z, None)
        torch.testing.assert_close(half - G.mean_code(z), 0.5 * (w - G.mean_code(z)))
    assert [name for name in NOISE_GENERATORS if NOISE_GENERATORS[name].truncates] == ["stylegan2"]


def test_rates_of_an_equalized_layer() -> None:
    layer = EqualLinear(8, 2000, bias=0.3, rate=0.01)
    x = torch.randn(50, 8)
    made = layer(x)
    assert float((made - 0.3).std()) == pytest.approx(0.01 * 100 * float(x.square().mean().sqrt()), rel=0.05)
    assert float(layer.bias[0]) == pytest.approx(30)


def test_variation_within_a_group() -> None:
    same = torch.ones(4, 3, 2, 2)
    assert float(variation(same).abs().max()) < 1e-3
    two = torch.cat([torch.zeros(2, 3, 2, 2), torch.full((2, 3, 2, 2), 2.0)])
    torch.testing.assert_close(variation(two), torch.ones(4, 1, 2, 2))
    assert variation(torch.randn(7, 3, 2, 2)).shape == (7, 1, 2, 2)
    assert not is_pure(critic("stylegan2", 16))
    assert is_pure(critic("stylegan2", 16, 0, "--minibatch_std", "False"))
