"""Networks: shapes, features, initial weights, fixed filters, and the options read off weights."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from coopcut.engine.precision import Network
from coopcut.networks import create_D, create_F, create_G
from coopcut.networks.blur import Downsample, Upsample
from coopcut.networks.contract import Generator
from coopcut.networks.fused import convolve_upsampled
from coopcut.networks.infer import infer_generator_options
from coopcut.networks.layers import InstanceNorm2d, init_weights, norm_layer
from coopcut.networks.patch_discriminator import NLayerDiscriminator, PixelDiscriminator
from coopcut.networks.registry import GENERATORS, PROJECTIONS
from coopcut.networks.resnet_generator import Resnet4, Resnet9
from coopcut.networks.taps import Taps
from coopcut.objectives.patches import at, mirrored, sample_patch_ids, sample_patches
from coopcut.options.option import Options
from coopcut.util.errors import OptionError
from tests.steps import method_with
from tests.tools import train_options

SMALL = "--ngf 4 --ndf 4 --crop_size 32 --load_size 32"


def small(*flags: str) -> Options:
    return train_options(" ".join([SMALL, *flags]).split())


def tapped(net: Generator, layers: Sequence[int]) -> Taps:
    return Taps(Network(net, torch.device("cpu")), layers)


@pytest.mark.parametrize("name", list(GENERATORS))
@pytest.mark.parametrize("flags", ["", "--no_antialias --no_antialias_up"])
def test_generator_shapes_and_features(name: str, flags: str) -> None:
    net = create_G(small("--netG", name, flags), 3, 1)
    side = 5 * net.multiple
    x = torch.rand(2, 3, side, side + 4 * net.multiple) * 2 - 1
    taps = tapped(net, range(len(net.taps)))
    y, features = taps.forward(x)
    assert y.shape == (2, 1, *x.shape[2:])
    assert [f.shape[1] for f in features] == taps.channels
    assert torch.equal(net(x), y)
    some = tapped(net, [0, 4, 8])
    encoded = some.encode(x)
    for layer, feature in zip((0, 4), encoded, strict=False):
        assert torch.equal(feature, features[layer])
    ids = [torch.tensor([[0, 7], [3, 1]])] * 3
    for feature, patches in zip(encoded, some.encode(x, at(ids)), strict=True):
        assert torch.equal(patches, sample_patches(feature, ids[0]))


def test_instance_norm_is_that_of_torch() -> None:
    """Also for a gradient with the strides of [B, H, W, C], where torch's own is wrong on a CPU for one image."""
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    norm = norm_layer("instance")(4)
    torch.testing.assert_close(norm(x), nn.InstanceNorm2d(4)(x))
    assert torch.autograd.gradcheck(lambda x: norm(x).permute(0, 2, 3, 1).flatten(1, 2) ** 2, x)
    far = (30 + torch.randn(2, 4, 64, 64)).to(memory_format=torch.channels_last)
    expected = nn.InstanceNorm2d(4)(far.double())
    torch.testing.assert_close(norm(far).double(), expected, rtol=0, atol=1e-4)
    half = far[:1].bfloat16().to(memory_format=torch.channels_last)  # values up to 4 in steps of 1/64
    torch.testing.assert_close(norm(half).double(), nn.InstanceNorm2d(4)(half.double()), rtol=0, atol=1 / 64)
    constant = torch.full_like(half, 0.7)
    assert float(norm(constant).abs().max()) < 1e-4
    assert not list(norm.parameters())


def test_antialiased_features_have_the_sizes_of_the_paper() -> None:
    taps = tapped(Resnet9(3, 3, ngf=4), [0, 4, 8, 12, 16])
    shapes = [tuple(f.shape[1:]) for f in taps.encode(torch.zeros(1, 3, 32, 32))]
    assert shapes == [(3, 38, 38), (8, 32, 32), (16, 16, 16), (16, 8, 8), (16, 8, 8)]


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_patch_discriminator_sizes(layers: int) -> None:
    net = NLayerDiscriminator(3, ndf=4, n_layers=layers)
    if layers == 3:
        assert net(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    assert min(net(torch.zeros(1, 3, net.min_size, net.min_size)).shape[2:]) >= 1


def test_receptive_field_is_70() -> None:
    net = NLayerDiscriminator(1, ndf=2, n_layers=3, norm="none", antialias=False)
    init_weights(net, "normal", 1.0)
    x = torch.rand(1, 1, 128, 128, requires_grad=True)
    scores = net(x)
    (gradient,) = torch.autograd.grad(scores[0, 0, 7, 7], x)
    rows = gradient[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_pixel_discriminator_sees_one_pixel() -> None:
    net = PixelDiscriminator(3, ndf=4, norm="none")
    x = torch.rand(1, 3, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 0, 2, 3], x)
    assert int((gradient.abs().sum(1) > 0).sum()) == 1


def test_gradients_of_the_blur_are_those_of_its_convolution_also_the_second_ones() -> None:
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64, requires_grad=True)
    down = Downsample(3).double()
    assert torch.autograd.gradcheck(down, x)
    assert torch.autograd.gradgradcheck(down, x)
    with torch.no_grad():
        torch.testing.assert_close(down(x), down(x.clone().requires_grad_(True)), rtol=0, atol=0)


def test_a_convolution_of_upsampled_images_keeps_them_small() -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    up, convolution = Upsample(3).double(), nn.Conv2d(3, 2, 3, padding=1).double()
    expected, found = convolution(up(x)), convolve_upsampled(up, convolution, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    wanted = [x, *convolution.parameters()]
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), wanted) for y in (expected, found)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    changed = x.detach().clone().requires_grad_(True)
    small = changed * 1
    found = convolve_upsampled(up, convolution, small)
    small.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        found.sum().backward()


def test_networks_run_as_pairs_on_the_meta_device_and_with_hooks() -> None:
    """There every tensor has the address 0; and who hooks a module sees what it gives."""
    net: Any = Resnet4(3, 3, ngf=4).to("meta")
    net(torch.empty(1, 3, 32, 32, device="meta")).sum().backward()
    net = Resnet4(3, 3, ngf=4)
    plain = net(torch.ones(1, 3, 32, 32))
    seen: list[int] = []
    for index, module in enumerate(net.model):
        module.register_forward_hook(lambda module, given, output, index=index: seen.append(index))
    torch.testing.assert_close(net(torch.ones(1, 3, 32, 32)), plain)
    assert seen == list(range(len(net.model)))


def test_the_norm_that_rectifies_has_the_values_and_gradients_of_norm_and_rectifier() -> None:
    x = (3 * torch.randn(2, 4, 6, 5) + torch.arange(4.0)[:, None, None]).requires_grad_(True)
    weights = torch.randn(2, 4, 6, 5)
    norm = InstanceNorm2d(4)
    apart = nn.functional.relu(nn.functional.instance_norm(x))
    (expected,) = torch.autograd.grad((apart * weights).sum(), x)
    together = norm.rectified(x)
    (gradient,) = torch.autograd.grad((together * weights).sum(), x)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
    seconds: list[torch.Tensor] = []
    for rectified in (norm.rectified, lambda x: nn.functional.relu(nn.functional.group_norm(x, 4))):
        (gradient,) = torch.autograd.grad((rectified(x) * weights).sum(), x, create_graph=True)
        seconds += torch.autograd.grad(gradient.square().sum(), x)
    torch.testing.assert_close(*seconds, rtol=1e-4, atol=1e-5)
    assert float(seconds[1].abs().max()) > 0.01
    for other in (x.detach(), x.double(), x.bfloat16()):  # what takes torch's own way
        torch.testing.assert_close(norm.rectified(other), nn.functional.relu(norm(other)), rtol=0, atol=0)


def test_blur_keeps_a_constant_and_has_known_weights() -> None:
    constant = torch.full((1, 2, 8, 8), 3.0)
    torch.testing.assert_close(Downsample(2)(constant), torch.full((1, 2, 4, 4), 3.0))
    torch.testing.assert_close(Upsample(2)(constant), torch.full((1, 2, 16, 16), 3.0))
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 4, 4] = 16
    torch.testing.assert_close(Downsample(1)(dot)[0, 0, 2, 2], torch.tensor(4.0))
    torch.testing.assert_close(Upsample(1)(dot).sum(), torch.tensor(64.0))


@pytest.mark.parametrize(("kind", "std"), [("normal", 0.02), ("xavier", 0.02 * (2 / (64 * 9 * 2)) ** 0.5)])
def test_initial_weights(kind: str, std: float) -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(64, 64, 3)
    init_weights(net, kind, 0.02)
    assert net.weight.std().item() == pytest.approx(std, rel=0.02)
    assert float(net.bias.detach().abs().max()) == 0  # type: ignore[union-attr]


def test_kaiming_and_orthogonal() -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(64, 64, 3)
    init_weights(net, "kaiming", 0.02)
    assert net.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    init_weights(net, "orthogonal", 0.5)
    rows = net.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, 0.25 * torch.eye(64), atol=1e-5, rtol=0)


def test_sampled_patches_are_different_positions_and_unit_vectors() -> None:
    features = [torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 2)]
    ids = sample_patch_ids(features, 7, torch.Generator().manual_seed(0))
    assert [len(i) for i in ids] == [7, 4]
    assert len(set(ids[0].tolist())) == 7
    for netF in PROJECTIONS:
        net = create_F(small("--init_gain 1 --netF", netF), [3, 6])
        out = net(list(map(sample_patches, features, ids)))
        assert [tuple(v.shape[:2]) for v in out] == [(2, 7), (2, 4)]
        for vectors in out:
            torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:2]))
    mlp = create_F(small("--netF_nc 8"), [3, 6])(list(map(sample_patches, features, ids)))
    assert [v.shape[2] for v in mlp] == [8, 8]
    raw = create_F(small("--netF sample"), [3])([sample_patches(features[0], ids[0])])[0]
    row, column = divmod(int(ids[0][3]), 5)
    torch.testing.assert_close(raw[1, 3], nn.functional.normalize(features[0][1, :, row, column], dim=0))


def test_each_image_may_have_positions_of_its_own() -> None:
    feature = torch.randn(2, 3, 4, 5, requires_grad=True)
    own = torch.tensor([[0, 19, 7], [3, 1, 2]])
    together = sample_patches(feature, own)
    apart = torch.cat([sample_patches(feature[i : i + 1], own[i]) for i in (0, 1)])
    torch.testing.assert_close(together, apart, rtol=0, atol=0)
    flipped = sample_patches(feature.flip(3), mirrored(own, feature))
    torch.testing.assert_close(flipped, together, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(together[0, :, 0].sum() + 2 * together[1, 1, 2], feature)
    taken = gradient.flatten(2).abs().sum(1) > 0
    assert [row.nonzero().flatten().tolist() for row in taken] == [[0, 7, 19], [1]]


def test_zero_features_give_finite_gradients() -> None:
    feature = torch.zeros(1, 3, 2, 2, requires_grad=True)
    out = create_F(small("--netF sample"), [3])([sample_patches(feature, torch.arange(4))])[0]
    out.sum().backward()
    assert feature.grad is not None
    assert bool(feature.grad.isfinite().all())


def test_wrong_nce_layers_are_refused_by_number() -> None:
    with pytest.raises(OptionError, match="resnet_4blocks has the layers 0 to 26"):
        method_with("--nce_layers 0,99 --netG resnet_4blocks")


@pytest.mark.parametrize("netG", list(GENERATORS))
@pytest.mark.parametrize("flags", ["", "--no_antialias", "--no_antialias_up", "--normG batch", "--normG none"])
def test_options_are_read_off_the_weights(netG: str, flags: str) -> None:
    opt = small("--netG", netG, flags)
    found = infer_generator_options(create_G(opt, 3, 3).state_dict())
    assert found == {name: getattr(opt, name) for name in found}
    assert len(found) == 8


def test_dropout_is_read_off_the_weights() -> None:
    opt = small("--no_dropout False")
    assert infer_generator_options(create_G(opt, 3, 3).state_dict())["no_dropout"] is False
    assert infer_generator_options(create_D(opt, 3).state_dict()) == {}
