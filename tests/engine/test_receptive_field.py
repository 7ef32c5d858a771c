"""Receptive fields: equal to what happens when each pixel is changed, and the sizes that are known of well-known networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.inspect import ReceptiveField, receptive_field
from nnwidgets.engine.zoo.nets import LeNet5, ResNet20, VggSmall
from tests.engine.oracle_inspect import boxes_by_changing_pixels
from tests.engine.oracle_trace import everything


class Net(nn.Module):
    """Convolutions a to d of three channels, and a function that uses them."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in zip("abcd", layers, strict=False):
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def conv(inside: int = 3, outside: int = 3, kernel: int | tuple[int, int] = 3, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, **how)  # type: ignore[arg-type]


def assigned(net: Any, x: Tensor) -> Tensor:
    x = net.a(x)
    filled = torch.zeros_like(x)
    filled[:, :, 2:] = x[:, :, :-2]
    filled.relu_()
    return net.b(filled)


def shuffled(net: Any, x: Tensor) -> Tensor:
    x = net.a(x)
    left, right = x.chunk(2, 1)
    x = torch.cat([left, net.b(right)], 1)
    x = x.view(len(x), 2, 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
    return net.c(x.chunk(2, 1)[0])


def windows(net: Any, x: Tensor) -> Tensor:
    """Attention within windows of 4 x 4, as in Swin: nothing is seen beyond them."""
    x = net.a(x).permute(0, 2, 3, 1)
    b, h, w, c = x.shape
    x = x.reshape(b, h // 4, 4, w // 4, 4, c).transpose(2, 3).reshape(-1, 16, c)
    x = (x @ x.transpose(1, 2)).softmax(-1) @ x + x
    return x.view(b, h // 4, w // 4, 4, 4, c).transpose(2, 3).reshape(b, h, w, c).permute(0, 3, 1, 2)


def in_place_sum(net: Any, x: Tensor) -> Tensor:
    short = net.a(x)
    out = net.b(short)
    out += short
    out = F.relu(out, inplace=True)
    return net.c(out.flip(3))


NETS: dict[str, nn.Module] = {
    "strides and padding": nn.Sequential(conv(stride=2, padding=1), nn.ReLU(), conv(kernel=5, stride=3, padding=2)),
    "no padding": nn.Sequential(conv(), conv(kernel=(1, 3)), conv(kernel=(5, 2), stride=(1, 2))),
    "dilation": nn.Sequential(conv(dilation=2, padding=2), conv(dilation=3, padding=1), conv(stride=2)),
    "asymmetric": nn.Sequential(conv(padding=(2, 0), stride=(2, 1)), nn.ZeroPad2d((1, 0, 0, 2)), conv(dilation=(1, 2))),
    "pooling": nn.Sequential(conv(padding=1), nn.MaxPool2d(3, 2, 1), conv(), nn.AvgPool2d(2, ceil_mode=True)),
    "overlapping and dilated pooling": nn.Sequential(
        nn.MaxPool2d(3, 1, 1, 2), nn.MaxPool2d(3, 2, ceil_mode=True), conv(padding=2)
    ),
    "adaptive pooling": nn.Sequential(conv(), nn.AdaptiveAvgPool2d((5, 3)), conv(padding=1), nn.AdaptiveMaxPool2d(2)),
    "batch-norm": nn.Sequential(conv(), nn.BatchNorm2d(3), nn.ReLU(True), conv()),
    "residual addition": Net(lambda net, x: F.relu(net.b(net.a(x)) + net.a(x)), conv(), conv(padding=1)),
    "residual addition in place": Net(in_place_sum, conv(), conv(padding=1), conv(stride=2)),
    "joined channels": Net(
        lambda net, x: net.c(torch.cat([net.a(x), net.b(x)], 1)), conv(padding=1), conv(kernel=7, padding=3), conv(6)
    ),
    "depthwise": nn.Sequential(conv(groups=3, padding=1), conv(3, 6, 1), conv(6, 6, 5, groups=6, stride=2), conv(6, 3, 1)),
    "groups that see different fields": Net(
        lambda net, x: net.c(torch.cat([net.a(x), net.b(x)], 1))[:, :1],
        conv(padding=1),
        conv(kernel=5, padding=2),
        conv(6, 2, 3, groups=2),
    ),
    "channel shuffle": Net(shuffled, conv(3, 4, 1), conv(2, 2, 3, padding=1), conv(2, 2, 3)),
    "transposed": nn.Sequential(
        conv(stride=2), nn.ConvTranspose2d(3, 3, 3, 2, 1, 1), conv(padding=1), nn.ConvTranspose2d(3, 3, 2, 3)
    ),
    "nearest": nn.Sequential(conv(stride=2), nn.Upsample(scale_factor=2), conv(padding=1)),
    "nearest, exact": nn.Sequential(conv(stride=2), nn.Upsample((11, 9), mode="nearest-exact"), conv(padding=1)),
    "bilinear": nn.Sequential(conv(stride=2), nn.Upsample(scale_factor=2, mode="bilinear"), conv(padding=1)),
    "bilinear, corners aligned": nn.Sequential(conv(stride=2), nn.Upsample((9, 13), mode="bilinear", align_corners=True)),
    "cropped, padded, stepped": Net(lambda net, x: net.b(F.pad(net.a(x)[:, :, 1:, ::2], (0, 2, 1, 0))), conv(), conv(padding=1)),
    "reflected": nn.Sequential(nn.ReflectionPad2d(2), conv(), nn.ReplicationPad2d((1, 0, 2, 0)), conv()),
    "moved about": Net(
        lambda net, x: net.b(net.a(x).roll((2, 1), (2, 3)).flip(3)).transpose(2, 3), conv(padding=1), conv(padding=1)
    ),
    "part assigned in place": Net(assigned, conv(), conv()),
    "pixel shuffle": nn.Sequential(conv(3, 8, 3, padding=1), nn.PixelShuffle(2), conv(2, 3, 3)),
    "channels last": Net(
        lambda net, x: net.c(net.b(net.a(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)), conv(), nn.Linear(3, 3), conv()
    ),
    "windows of tokens": Net(windows, conv(padding=1)),
    "option A shortcut": Net(
        lambda net, x: net.b(net.a(x)) + F.pad(net.a(x)[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)),
        conv(padding=1),
        conv(3, 5, 3, stride=2, padding=1),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_boxes_are_those_of_changing_each_pixel(name: str) -> None:
    """For each unit of the answer, the box equals the one around the pixels that change it."""
    expected = boxes_by_changing_pixels(NETS[name], (3, 12, 12))
    field = receptive_field(NETS[name], (3, 12, 12), "")
    assert field.shape == (len(expected), len(expected[0]))
    assert field.notes == ()
    for y, row in enumerate(expected):
        for x, box in enumerate(row):
            if name == "part assigned in place":
                assert covers(field.box(y, x), box)
            else:
                assert field.box(y, x) == box, (y, x)
    assert not field.whole or name == "part assigned in place" or all(box == (0, 0, 12, 12) for row in expected for box in row)


def covers(outer: tuple[int, ...], inner: tuple[int, ...]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


@pytest.mark.parametrize(
    ("layer", "size", "stride"),
    [("conv1", 3, 1), ("conv2", 5, 1), ("conv3", 10, 2), ("conv4", 14, 2), ("conv5", 24, 4), ("conv6", 32, 4), ("fc", 32, 8)],
)
def test_sizes_and_strides_of_a_small_vgg(layer: str, size: int, stride: int) -> None:
    """Worked out by hand: each convolution adds 2 strides, each pooling one stride and doubles it."""
    field = receptive_field(VggSmall(), (3, 32, 32), layer)
    assert field.size == (size, size)
    assert field.whole == (layer in ("conv6", "fc") and field.shape == (1, 1))
    if layer != "fc":
        assert field.stride == (stride, stride)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "size", "stride"),
    [
        ("alexnet", "features", 195, 32),
        ("vgg16", "features.30", 212, 32),
        ("resnet50", "layer4", 427, 32),
        ("inception_v3", "Mixed_7c", 1311, 32),
        ("mobilenet_v2", "features", 491, 32),
        ("efficientnet_b0", "features", 851, 32),
        ("densenet121", "features", 2071, 32),
        ("swin_t", "features.1", 224, 4),
    ],
)
def test_sizes_of_well_known_networks(name: str, layer: str, size: int, stride: int) -> None:
    """By the formula of Araujo et al. (Distill 2019); torchvision strides in a bottleneck's second convolution: 427, not 483."""
    import torchvision

    how = {"init_weights": False} if name == "inception_v3" else {}
    side = 299 if name == "inception_v3" else 224
    field = receptive_field(torchvision.models.get_model(name, weights=None, **how), (3, side, side), layer)
    assert field.size == (size, size)
    assert field.stride == (stride, stride)


def test_a_field_may_be_larger_than_the_image() -> None:
    """ResNet-20 at 28 pixels: by the formula (each convolution adds two strides so far) far more than that."""
    strides = [1] * 7 + [2, 1, 1, 1, 1, 1] + [2, 1, 1, 1, 1, 1]
    size, step = 1, 1
    for stride in strides:
        size, step = size + 2 * step, step * stride
    field = receptive_field(ResNet20(), (1, 28, 28), "layer3")
    assert field.size == (size, size)
    assert field.stride == (4.0, 4.0)
    assert size > 28 and field.box(3, 3) == (0, 0, 28, 28)


def test_maps_of_a_single_place_still_know_their_stride() -> None:
    """Where there is no neighbour, the field goes on growing by the strides so far."""
    net = nn.Sequential(*(conv(stride=2, padding=1) for _ in range(4)), conv(padding=1))
    field = receptive_field(net, (3, 8, 8), "4")
    assert field.shape == (1, 1)
    assert field.size == (1 + 2 * (1 + 2 + 4 + 8) + 2 * 16,) * 2
    assert field.box() == (0, 0, 8, 8) and field.whole


GLOBAL: dict[str, nn.Module] = {
    "dense": nn.Sequential(conv(), nn.Flatten(), nn.Linear(300, 4)),
    "global pooling": nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1), conv(3, 4, 1)),
    "mean": Net(lambda net, x: net.b(net.a(x).mean((2, 3))), conv(), nn.Linear(3, 4)),
    "attention": Net(
        lambda net, x: net.b(*[net.a(x).flatten(2).transpose(1, 2)] * 3)[0],
        conv(3, 8),
        nn.MultiheadAttention(8, 2, batch_first=True),
    ),
    "fused attention": Net(lambda net, x: F.scaled_dot_product_attention(*[net.a(x).flatten(2).transpose(1, 2)] * 3), conv(3, 8)),
    "LSTM": Net(lambda net, x: net.b(net.a(x).flatten(2).transpose(1, 2))[0], conv(3, 8), nn.LSTM(8, 4, batch_first=True)),
}


@pytest.mark.parametrize("name", GLOBAL)
def test_what_joins_all_places_sees_the_whole_image(name: str) -> None:
    field = receptive_field(GLOBAL[name].eval(), (3, 12, 12), "")
    assert field.whole and field.notes == ()
    assert field.box() == field.path() == (0, 0, 12, 12)
    assert field.size == (12, 12)


def test_a_gate_is_told_apart_from_the_path_of_convolutions() -> None:
    """Squeeze-and-excitation lets the whole image in; size, stride and path are those of the convolutions, and a note says so."""
    net = Net(
        lambda net, x: net.c(net.a(x) * net.b(net.a(x).mean((2, 3), keepdim=True)).sigmoid()),
        conv(padding=1),
        conv(3, 3, 1),
        conv(),
    )
    field = receptive_field(net, (3, 12, 12), "c")
    assert field.whole and field.box(0, 0) == (0, 0, 12, 12)
    assert field.size == (5, 5) and field.path(4, 4) == (3, 3, 8, 8)
    assert field.notes == (
        "a gate or statistics of the map bring in more of the image; size is that of the path of convolutions",
    )
    before = receptive_field(net, (3, 12, 12), "a")
    assert not before.whole and before.notes == ()


@pytest.mark.parametrize("norm", [nn.GroupNorm(1, 3), nn.InstanceNorm2d(3), nn.LayerNorm([3, 12, 12])])
def test_statistics_of_the_map_are_told_as_a_gate_is(norm: nn.Module) -> None:
    field = receptive_field(nn.Sequential(conv(padding=1), norm, conv()), (3, 12, 12), "2")
    assert field.whole and field.size == (5, 5) and len(field.notes) == 1


def test_what_is_unknown_is_taken_for_the_whole_image_and_named() -> None:
    """Never too small: an operation without a rule joins everything."""
    net = Net(
        lambda net, x: F.grid_sample(
            net.a(x), F.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), [len(x), 3, 5, 5], False), align_corners=False
        ),
        conv(),
    )
    field = receptive_field(net, (3, 12, 12), "")
    assert field.whole and field.notes == ("taken to see the whole image: grid_sampler_2d",)


def test_vectors_and_sequences() -> None:
    """A vector is a row of pixels; a sequence is a table whose rows a dense layer keeps apart."""
    dense = receptive_field(nn.Sequential(nn.Linear(7, 4)), (7,), "0")
    assert dense.whole and dense.box() == (0, 0, 1, 7)
    tokens = receptive_field(nn.Sequential(nn.Linear(7, 4)), (11, 7), "0")
    assert tokens.shape == (1, 11) and tokens.box(0, 3) == (3, 0, 4, 7)
    row = receptive_field(nn.Sequential(nn.Conv1d(5, 4, 3, 2)), (5, 21), "0")
    assert row.box(0, 2) == (0, 4, 5, 7) and row.size[1] == 3


def test_functions_containers_and_calls_have_fields_too() -> None:
    """As sites of the explorer: an addition between layers, a block, the second call of a layer."""
    net = ResNet20()
    assert (
        receptive_field(net, (1, 28, 28), "layer1.0.(add)").size == receptive_field(net, (1, 28, 28), "layer1.0").size == (7, 7)
    )
    twice = Net(lambda net, x: net.a(net.a(x)), conv())
    assert [receptive_field(twice, (3, 12, 12), "a", call=call).size for call in (0, 1)] == [(3, 3), (5, 5)]


def test_the_position_is_the_middle_unless_given() -> None:
    field = receptive_field(nn.Sequential(conv()), (3, 12, 12), "0")
    assert field.position == (5, 5) and field.box() == field.box(5, 5) == (5, 5, 8, 8)
    assert receptive_field(nn.Sequential(conv()), (3, 12, 12), "0", (0, 9)).box() == (0, 9, 3, 12)
    with pytest.raises(InputError, match=r"got \(0, 10\), expected \(y, x\) within 10 x 10"):
        field.box(0, 10)
    with pytest.raises(InputError, match="within 10 x 10"):
        receptive_field(nn.Sequential(conv()), (3, 12, 12), "0", (-1, 0))


def test_the_network_stays_as_it_is_also_when_it_raises() -> None:
    """Mode, buffers, hooks, gradients; in inference mode too."""
    net = nn.Sequential(conv(), nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(300, 4)).train()
    broken = Net(lambda net, x: net.a(x).view(4, -1), conv())
    before, states = everything(net), torch.get_rng_state()
    with torch.inference_mode():
        fields: list[ReceptiveField] = [receptive_field(net, (3, 12, 12), layer) for layer in ("0", "1", "4")]
    assert [field.whole for field in fields] == [False, False, True]
    with pytest.raises(ModelError, match=r"zeros of shape \(3, 40, 5\)"):
        receptive_field(broken, (3, 40, 5), "")
    with pytest.raises(InputError, match="did you mean"):
        receptive_field(net, (3, 12, 12), "00")
    assert everything(net) == before and torch.equal(torch.get_rng_state(), states)
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_a_constant_has_no_field() -> None:
    net = Net(lambda net, x: net.b(net.a(torch.ones(1, 3, 12, 12))) + net.b(x), conv(), conv())
    with pytest.raises(UnsupportedError, match="does not depend on the image"):
        receptive_field(net, (3, 12, 12), "a")
    assert receptive_field(LeNet5(), (1, 28, 28), "conv2").size == (14, 14)
