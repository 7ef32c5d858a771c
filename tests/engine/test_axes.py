"""Which axis of a layer's answer holds the channels: compared with what the nets below are known to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import UnsupportedError
from nnwidgets.engine.inspect import Layout, Site, as_maps, feature_maps, structure
from nnwidgets.engine.inspect._maps import channel_axis, view_as_maps
from nnwidgets.engine.inspect._sites import reading, run

torchvision = pytest.importorskip("torchvision")


class OneOf(nn.Module):
    """A network around a function of its layers and its input."""

    def __init__(self, forward: Callable[[nn.ModuleDict, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.of, self.parts = forward, nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.of(self.parts, x)


def raw(model: nn.Module, images: Tensor, name: str) -> Tensor:
    """What a place gives, as it is."""
    kept: list[Tensor] = []
    with reading(model), torch.no_grad():
        run(model, images, {Site(name): lambda result: kept.append(result.clone())})
    return kept[0]


def both_ways(model: nn.Module, images: Tensor, name: str) -> Tensor:
    """Maps of a place, the same by the public function and with the layout of the structure's row."""
    row = structure(model, images.shape[1:]).find(name)
    module, frame = dict(model.named_modules()).get(name), tuple(images.shape[2:]) if images.dim() == 4 else ()
    maps = as_maps(raw(model, images, name), len(images), row.site, module, row.layout, frame).values
    assert torch.equal(maps, feature_maps(model, images, name))
    return maps


def last_to_first(tensor: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, C, H, W)."""
    return tensor.permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [(12, 12), (12, 20), (16, 12)])
def test_channels_last_is_known_where_every_size_is_the_same(size: tuple[int, int]) -> None:
    """A patch embedding to (B, H, W, C) with C = H, on images of any form; what follows it is functions."""

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        y = parts["norm"](parts["conv"](x).permute(0, 2, 3, 1))
        return parts["fc"](F.gelu(y + y)).mean((1, 2))

    torch.manual_seed(0)
    model = OneOf(forward, conv=nn.Conv2d(3, 6, 2, 2), norm=nn.LayerNorm(6), fc=nn.Linear(6, 6))
    images = torch.rand(2, 3, *size)
    for name in ("(add)", "(gelu)", "parts.norm", "parts.fc"):
        assert torch.equal(both_ways(model, images, name), last_to_first(raw(model, images, name)))
    assert torch.equal(both_ways(model, images, "parts.conv"), raw(model, images, "parts.conv"))


@pytest.mark.parametrize("size", [(8, 8), (8, 6), (6, 8)])
def test_channels_first_is_kept_where_it_looks_like_last(size: tuple[int, int]) -> None:
    """Eight channels of 8 x 6: behind a convolution nothing turned them."""
    model = OneOf(lambda parts, x: F.relu(parts["conv"](x)) * 2.0, conv=nn.Conv2d(3, 8, 1))
    images = torch.rand(2, 3, *size)
    for name in ("(relu)", "(mul)", "parts.conv"):
        assert torch.equal(both_ways(model, images, name), raw(model, images, name))


def test_norm_of_channels_first_is_no_token_norm() -> None:
    """torchvision's LayerNorm2d (ConvNeXt) turns twice inside."""
    norm = torchvision.models.convnext.LayerNorm2d(5)
    model = nn.Sequential(nn.Conv2d(3, 5, 1), norm)
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(both_ways(model, images, "1"), raw(model, images, "1"))


def test_inside_of_a_convnext_block() -> None:
    """Channels last between its two turns, first before and after."""
    torch.manual_seed(0)
    block = torchvision.models.convnext.CNBlock(16, 1.0, 0.0)
    model = nn.Sequential(nn.Conv2d(3, 16, 4, 4), block)
    images = torch.rand(2, 3, 64, 64)  # 16 channels of 16 x 16
    for name in ("1.block.0", "1.block.6", "1.(add)", "1"):
        assert torch.equal(both_ways(model, images, name), raw(model, images, name)), name
    for name in ("1.block.1", "1.block.2", "1.block.3", "1.block.4", "1.block.5"):
        assert torch.equal(both_ways(model, images, name), last_to_first(raw(model, images, name))), name


def test_convolutions_over_time_keep_channels_first() -> None:
    """(T, D) input: functions behind Conv1d too, which a shape does not tell from tokens."""

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        return parts["fc"](F.relu(parts["conv"](x.transpose(1, 2))).transpose(1, 2) + 1.0)

    model = OneOf(forward, conv=nn.Conv1d(4, 6, 3, padding=1), fc=nn.Linear(6, 5))
    images = torch.rand(2, 9, 4)
    for name in ("(relu)", "parts.conv"):
        assert torch.equal(both_ways(model, images, name), raw(model, images, name)[:, :, None])
    for name in ("(add)", "parts.fc"):
        assert torch.equal(both_ways(model, images, name), raw(model, images, name).transpose(1, 2)[:, :, None])


class Tokens(nn.Module):
    """Patches of an image as tokens behind some others."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra, self.patches, self.norm = nn.Parameter(torch.rand(1, extra, 6)), nn.Conv2d(3, 6, 4, 4), nn.LayerNorm(6)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        return self.norm(torch.cat([self.extra.expand(len(images), -1, -1), tokens], 1)).mean(1)


@pytest.mark.parametrize("size", [(16, 16), (16, 32), (24, 8), (20, 32)])
@pytest.mark.parametrize("extra", [0, 1, 2, 5])
def test_tokens_of_an_image_of_any_form_make_a_grid(size: tuple[int, int], extra: int) -> None:
    """With class, distillation and register tokens left out."""
    torch.manual_seed(0)
    model, images = Tokens(extra), torch.rand(2, 3, *size)
    tokens = raw(model, images, "norm")[:, extra:]
    expected = tokens.transpose(1, 2).reshape(2, 6, size[0] // 4, size[1] // 4)
    assert torch.equal(both_ways(model, images, "norm"), expected)


def test_steps_of_a_sequence_never_make_a_grid() -> None:
    """16 steps are not 4 x 4: neither of a sequence, nor of the rows of an image that an LSTM reads."""
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6))
    assert both_ways(model, torch.rand(2, 16, 4), "1").shape == (2, 6, 1, 16)
    rows = OneOf(lambda parts, x: parts["lstm"](x[:, 0])[0], lstm=nn.LSTM(16, 6, batch_first=True))
    assert feature_maps(rows, torch.rand(2, 1, 16, 16), "parts.lstm").shape == (2, 6, 1, 16)


def test_as_many_places_as_images_are_told_apart() -> None:
    """(N, B, D) with N = B: by the layer's own setting, and by the trace for what follows it."""

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        return parts["fc"](torch.tanh(parts["gru"](x.transpose(0, 1))[0])).transpose(0, 1)

    torch.manual_seed(0)
    model = OneOf(forward, gru=nn.GRU(4, 6), fc=nn.Linear(6, 5))
    assert structure(model, (3, 4)).find("(tanh)").layout is Layout.LAST_BATCH_SECOND
    for images in (torch.rand(3, 3, 4), torch.rand(2, 3, 4)):
        for name in ("(tanh)", "parts.fc"):
            expected = raw(model, images, name).permute(1, 2, 0)[:, :, None]
            assert torch.equal(both_ways(model, images, name), expected)


def test_channel_shuffle_keeps_channels_first() -> None:
    """Two reshapes and a turn between channels and groups."""

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        y = parts["conv"](x)
        y = y.view(len(y), 2, 4, *y.shape[2:]).transpose(1, 2).contiguous().view(y.shape)
        return F.relu(y)

    model = OneOf(forward, conv=nn.Conv2d(3, 8, 1))
    images = torch.rand(2, 3, 8, 8)
    assert structure(model, (3, 8, 8)).find("(relu)").layout is Layout.FIRST
    assert torch.equal(both_ways(model, images, "(relu)"), raw(model, images, "(relu)"))


def test_a_width_that_is_a_square_number_is_not_taken_for_places() -> None:
    """Ten tokens of 16 numbers, of an image: 16 channels, not 4 x 4 places."""
    model = OneOf(lambda parts, x: torch.tanh(parts["fc"](x.flatten(2).transpose(1, 2))), fc=nn.Linear(3, 16))
    images = torch.rand(2, 3, 2, 5)
    assert torch.equal(both_ways(model, images, "(tanh)"), raw(model, images, "(tanh)").transpose(1, 2).reshape(2, 16, 2, 5))
    assert as_maps(torch.rand(2, 11, 16), 2, Site("here")).values.shape == (2, 16, 1, 11)


@pytest.mark.parametrize(
    ("shape", "module", "layout", "axis"),
    [
        ((2, 5), None, None, 1),
        ((2, 7, 5), None, None, 2),
        ((2, 7, 5), nn.Conv1d(3, 7, 1), None, 1),
        ((2, 7, 5), None, Layout.FIRST, 1),
        ((7, 2, 5), None, Layout.LAST_BATCH_SECOND, 2),
        ((2, 3, 4, 4), None, None, 1),
        ((2, 4, 4, 3), None, None, 3),
        ((2, 4, 4, 4), None, Layout.LAST, 3),
    ],
)
def test_axis_of_channels_is_the_one_that_maps_show(
    shape: tuple[int, ...], module: nn.Module | None, layout: Layout | None, axis: int
) -> None:
    """So that a channel can be found again in what the layer gave."""
    tensor = torch.rand(shape)
    assert channel_axis(tensor, module, layout) == axis
    maps = view_as_maps(tensor, 2, Site("here"), module, layout).values
    assert torch.equal(
        maps.select(1, 3 % shape[axis]).flatten().sort().values, tensor.select(axis, 3 % shape[axis]).flatten().sort().values
    )


def test_notes_say_how_axes_were_read() -> None:
    """And nothing where nothing had to be."""
    site = Site("here")
    assert as_maps(torch.rand(2, 3, 4, 4), 2, site).note == ""
    assert as_maps(torch.rand(2, 4, 4, 3), 2, site).note == "channels last"
    assert as_maps(torch.rand(2, 17, 6), 2, site).note == "16 tokens as 4 x 4, without the class token"
    assert as_maps(torch.rand(2, 13, 6), 2, site).note == "13 tokens in a row"
    assert as_maps((torch.rand(7, 2, 6), 0, torch.rand(1)), 2, site).note.startswith(
        "the first of 2 tensors, places first, batch second"
    )


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (torch.zeros(4, 3), r"gives shape \(4, 3\), which is not one result for each image \(batch of 2\)"),
        (torch.zeros(2, 3, dtype=torch.int64), r"gives int64 of shape \(2, 3\)"),
        (torch.zeros(2), "gives one number for each image"),
        (torch.zeros(2, 3, 4, 4, 4), r"gives shape \(2, 3, 4, 4, 4\), 4 axes for each image"),
        (torch.tensor(1.0), r"gives shape \(\), which is not one result"),
    ],
)
def test_refusals_name_the_place_and_the_reason(result: Tensor, why: str) -> None:
    """With what to do next."""
    with pytest.raises(UnsupportedError, match=rf"^here, call 1 {why}.*choose a layer before or after"):
        as_maps(result, 2, Site("here", 1))


def test_maps_are_the_callers_own() -> None:
    """Not touched by what the network does in place, and free to be changed."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True))
    images = torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        expected = model[0](images)
    maps = feature_maps(model, images, "0")
    assert torch.equal(maps, expected) and maps.lt(0).any()
    maps -= maps.mean()
