"""The rows of the structure tree, and that what they promise can be shown, on nets written for it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from oracle_trace import everything
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.inspect import Row, Structure, feature_maps, structure
from nnwidgets.engine.trace import trace


class Block(nn.Module):
    """A residual block with one ReLU for all and a functional addition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        return self.relu(self.relu(self.conv(maps)) + maps)


class Net(nn.Module):
    """A stem in a list that is never called itself, one block used twice, functions at the end, and a head that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)])
        self.block, self.fc, self.spare = Block(4), nn.Linear(4, 5), nn.Linear(7, 9)

    def forward(self, images: Tensor) -> Tensor:
        for part in self.stem:
            images = part(images)
        return self.fc(F.relu(self.block(self.block(images))).mean((2, 3)).flatten(1))


class OneOf(nn.Module):
    """A network around a function of its input, with a few layers to use."""

    def __init__(self, forward: Callable[[nn.ModuleDict, Tensor], object], **layers: nn.Module) -> None:
        super().__init__()
        self.of, self.parts = forward, nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> object:
        return self.of(self.parts, x)


def check_captures(model: nn.Module, found: Structure, batch: int = 2) -> None:
    """Every row that says so gives maps (B, C, H, W) through the public function, with the channels that its layer says."""
    images = torch.rand(batch, *found.input_shape)
    for row in found.rows:
        if row.maps:
            maps = feature_maps(model, images, row.name, row.call)
            assert maps.dim() == 4 and len(maps) == batch, row.id
            layer = dict(model.named_modules()).get(row.name)
            width = getattr(layer, "out_channels", getattr(layer, "out_features", maps.shape[1]))
            assert maps.shape[1] == width, row.id


def brief(rows: tuple[Row, ...]) -> list[tuple[str, str, str, int, str]]:
    """What a tree shows of them."""
    return [(row.id, row.label, row.kind, row.depth, row.parent) for row in rows]


def test_rows_stand_in_order_of_execution_below_their_containers() -> None:
    """A second run of a shared block is a container of its own; pure views have no row."""
    assert brief(structure(Net(), (3, 8, 8)).rows) == [
        ("stem.0", "stem.0", "Conv2d", 0, ""),
        ("stem.1", "stem.1", "BatchNorm2d", 0, ""),
        ("block", "block", "Block", 0, ""),
        ("block.conv", "conv", "Conv2d", 1, "block"),
        ("block.relu", "relu", "ReLU", 1, "block"),
        ("block.(add)", "(add)", "add", 1, "block"),
        ("block.relu#1", "relu", "ReLU", 1, "block"),
        ("block#1", "block", "Block", 0, ""),
        ("block.conv#1", "conv", "Conv2d", 1, "block#1"),
        ("block.relu#2", "relu", "ReLU", 1, "block#1"),
        ("block.(add)#1", "(add)", "add", 1, "block#1"),
        ("block.relu#3", "relu", "ReLU", 1, "block#1"),
        ("(relu)", "(relu)", "relu", 0, ""),
        ("(mean)", "(mean)", "mean", 0, ""),
        ("fc", "fc", "Linear", 0, ""),
    ]


def test_figures_add_up_to_those_of_the_trace() -> None:
    """Parameters count once, in the first call; a container has the sum of its rows; shares are of all MACs."""
    model = Net()
    found, traced = structure(model, (3, 8, 8)), trace(model, (3, 8, 8))
    leaves = [row for row in found.rows if not row.container]
    assert sum(row.macs for row in leaves) == traced.macs == found.total_macs
    assert sum(row.params for row in leaves) == sum(p.numel() for p in model.parameters()) - 72
    assert found.total_params == sum(p.numel() for p in model.parameters())
    assert sum(row.share for row in leaves) == pytest.approx(1.0)
    first, second = found.find("block"), found.find("block#1")
    assert (first.params, second.params) == (4 * 4 * 9 + 4, 0)
    assert first.macs == second.macs == 4 * 4 * 9 * 36 == found.find("block.conv#1").macs
    assert first.share == pytest.approx(first.macs / traced.macs)
    assert found.notes == ("72 parameters are not used in eval mode (spare)",)


def test_rows_say_what_can_be_shown() -> None:
    """Shapes without the batch; filters of layers with weights; the call in the path."""
    found = structure(Net(), (3, 8, 8))
    assert found.output_shapes == ((5,),) and found.input_shape == (3, 8, 8)
    assert [row.id for row in found.rows if row.filters] == ["stem.0", "block.conv", "block.conv#1", "fc"]
    assert [row.id for row in found.rows if row.function] == ["block.(add)", "block.(add)#1", "(relu)", "(mean)"]
    row = found.find("block.relu#3")
    assert (row.shape, row.path, row.name, row.call) == ((4, 6, 6), "block.relu, call 3", "block.relu", 3)
    assert all(row.maps and not row.reason and not row.attention for row in found.rows)


def test_every_row_that_says_so_is_captured() -> None:
    """Containers, reused layers and functions."""
    torch.manual_seed(0)
    model = Net()
    check_captures(model, structure(model, (3, 8, 8)))


def test_a_trace_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment has one already."""
    model = Net()
    traced = trace(model, (3, 8, 8))
    whole = structure(model, (3, 8, 8))

    def never(*args: object) -> None:
        raise AssertionError("traced twice")

    monkeypatch.setattr(sys.modules["nnwidgets.engine.inspect._structure"], "trace", never)
    assert structure(model, (3, 8, 8), traced) == whole


def test_network_is_left_as_it_was() -> None:
    """Also its training flag."""
    model = Net().train()
    before = everything(model)
    structure(model, (3, 8, 8))
    assert everything(model) == before


def test_unknown_row_offers_the_nearest() -> None:
    """As for a layer of the other functions."""
    found = structure(Net(), (3, 8, 8))
    with pytest.raises(InputError, match=r"'block\.convv'.*did you mean 'block\.conv'"):
        found.find("block.convv")
    with pytest.raises(InputError, match=r"got 3"):
        found.find(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"no layer 'block\.convv'; did you mean"):
        feature_maps(Net(), torch.zeros(1, 3, 8, 8), "block.convv")
    with pytest.raises(InputError, match=r"4 call\(s\), got call=4; expected 0 to 3"):
        feature_maps(Net(), torch.zeros(1, 3, 8, 8), "block.relu", 4)


def test_two_inputs_are_refused_in_a_sentence() -> None:
    """By structure and by maps."""

    class Two(nn.Module):
        def forward(self, image: Tensor, mask: Tensor) -> Tensor:
            return image * mask

    with pytest.raises(ModelError, match=r"Two\.forward takes 2 inputs \(image, mask\).*Wrap it"):
        structure(Two(), (3, 8, 8))
    with pytest.raises(ModelError, match="takes 2 inputs"):
        feature_maps(Two(), torch.zeros(1, 3, 8, 8), "")


def test_images_that_do_not_fit_are_refused_in_a_sentence() -> None:
    """With what the network said."""
    with pytest.raises(ModelError, match=r"failed on images of shape \(2, 5, 8, 8\): RuntimeError.*Expected images as"):
        feature_maps(Net(), torch.zeros(2, 5, 8, 8), "fc")


def test_what_cannot_be_shown_is_said_by_name() -> None:
    """Whole numbers, results that are not one an image, too many axes, constants, no tensor."""

    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> str:
            self.inner(x)
            return "done"

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        windows = F.relu(x.reshape(-1, 2, 2))
        best, deep = torch.argmax(x, 1), torch.relu(x[:, :, :, :, None, None])
        position = parts["table"](torch.ones(1, 4))
        parts["nothing"](x)
        return windows.sum() + best.sum() + deep.sum() + position.sum()

    model = OneOf(forward, table=nn.Linear(4, 4), nothing=Nothing())
    reasons = {row.id: row.reason for row in structure(model, (3, 4, 4)).rows}
    assert reasons["(relu)"] == "gives shape (12, 2, 2), which is not one result for each image"
    assert reasons["(argmax)"] == "gives int64 of shape (B, 4, 4)"
    assert reasons["(relu)#1"] == "gives shape (B, 3, 4, 4, 1, 1), 5 axes for each image"
    assert reasons["parts.table"] == "gives the same for every image"
    assert reasons["parts.nothing"] == "gives no tensor"


@pytest.mark.parametrize("wrap", [lambda y: {"out": y, "aux": y[:, :1]}, lambda y: (y, [y.sum(1)]), lambda y: [y]])
def test_dicts_and_tuples_are_shown_by_their_first_tensor(wrap: Callable[[Tensor], object]) -> None:
    """Of the network and of a container within it."""
    inner = OneOf(lambda parts, x: wrap(parts["conv"](x)), conv=nn.Conv2d(3, 4, 3))

    def first(value: object) -> Tensor:
        return value if isinstance(value, Tensor) else first(next(iter(value.values() if isinstance(value, dict) else value)))  # type: ignore[call-overload]

    model = OneOf(lambda parts, x: wrap(F.relu(first(parts["inner"](x)))), inner=inner)
    found = structure(model, (3, 8, 8))
    row = found.find("parts.inner")
    assert row.maps and row.shape == (4, 6, 6) and found.output_shapes[0] == (4, 6, 6)
    check_captures(model, found)
    assert feature_maps(model, torch.rand(2, 3, 8, 8), "").shape == (2, 4, 6, 6)


def test_lstm_on_a_sequence() -> None:
    """A tuple with states: its output (B, T, H) has H maps of T places."""
    model = OneOf(
        lambda parts, x: parts["fc"](parts["lstm"](x)[0][:, -1]), lstm=nn.LSTM(6, 5, batch_first=True), fc=nn.Linear(5, 3)
    )
    found = structure(model, (7, 6))
    assert [(row.id, row.shape, row.filters) for row in found.rows] == [("parts.lstm", (7, 5), True), ("parts.fc", (3,), True)]
    check_captures(model, found)
    images = torch.rand(2, 7, 6)
    with torch.no_grad():
        expected = model.parts["lstm"](images)[0].transpose(1, 2)[:, :, None]
    assert torch.equal(feature_maps(model, images, "parts.lstm"), expected)


def test_plain_mlp() -> None:
    """Maps of one number each."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    found = structure(model, (3, 2, 2))
    assert [(row.id, row.shape) for row in found.rows] == [("0", (12,)), ("1", (8,)), ("2", (8,)), ("3", (3,))]
    check_captures(model, found)
    assert feature_maps(model, torch.rand(4, 3, 2, 2), "3").shape == (4, 3, 1, 1)


@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer_encoder(batch_first: bool) -> None:
    """Its layers are containers, attention is a row; sequences may come with the batch second."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        y = parts["encoder"](x if batch_first else x.transpose(0, 1))
        return parts["fc"](y.mean(1 if batch_first else 0))

    model = OneOf(forward, encoder=encoder, fc=nn.Linear(8, 3))
    found = structure(model, (5, 8))
    assert [row.id for row in found.rows if row.attention] == [
        f"parts.encoder.layers.{i}{end}" for i in (0, 1) for end in ("", ".self_attn")
    ]
    row = found.find("parts.encoder.layers.1.(add)")
    assert (row.depth, row.parent, row.shape) == (2, "parts.encoder.layers.1", (5, 8))
    check_captures(model, found)
    check_captures(model, found, batch=5)  # as many images as places
    assert feature_maps(model, torch.rand(2, 5, 8), "parts.encoder.layers.1.linear1").shape == (2, 16, 1, 5)


def test_a_container_that_fails_and_is_forgiven_has_no_row() -> None:
    """What it called before stands in the next container around it."""

    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.conv(x)
            raise ValueError("planted")

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        try:
            return parts["fails"](x)
        except ValueError:
            return parts["conv"](x)

    outer = OneOf(forward, fails=Fails(), conv=nn.Conv2d(3, 4, 3))
    found = structure(OneOf(lambda parts, x: parts["outer"](x), outer=outer), (3, 8, 8))
    assert [(row.id, row.parent) for row in found.rows] == [
        ("parts.outer", ""),
        ("parts.outer.parts.fails.conv", "parts.outer"),
        ("parts.outer.parts.conv", "parts.outer"),
    ]
