"""Weights of a layer as pictures: each arrangement against what the layer is known to compute."""

from __future__ import annotations

import pytest
import torch
from oracle_trace import everything
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, parametrize, prune

from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.inspect import filters
from nnwidgets.engine.inspect._filters import weight_names


def test_filters_of_the_first_convolution_are_in_colour() -> None:
    """(out, 3, kh, kw), a copy."""
    model = nn.Sequential(nn.Conv2d(3, 4, (5, 2)), nn.ReLU())
    found = filters(model, "0")
    assert found.colour and not found.matrix and found.tiles.shape == (4, 3, 5, 2) and found.names == ("0",)
    assert (found.name, found.kind, found.groups, found.note, found.input_channels) == ("0", "Conv2d", 1, "", 3)
    assert torch.equal(found.weight, model[0].weight) and torch.equal(found.tiles, found.weight)
    found.tiles.zero_()
    found.weight.zero_()
    assert model[0].weight.abs().min() > 0 and not found.weight.requires_grad


def test_other_convolutions_show_one_input_channel_or_the_mean() -> None:
    """(out, kh, kw) of each."""
    model = nn.Sequential(nn.Conv2d(5, 4, 3))
    found = filters(model, "0")
    assert not found.colour and found.input_channels == 5
    assert torch.equal(found.tile(2), model[0].weight[:, 2]) and torch.equal(found.mean(), model[0].weight.mean(1))
    for wrong in (5, -1, True, 1.0):
        with pytest.raises(InputError, match="input_channel: got"):
            found.tile(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("groups", "words"), [(2, "2 groups: a filter sees 2 of 4 input channels"), (4, "sees 1 of 4")])
def test_grouped_and_depthwise_convolutions_say_what_a_filter_sees(groups: int, words: str) -> None:
    """Input channels are counted within a group."""
    found = filters(nn.Sequential(nn.Conv2d(4, 8, 3, groups=groups)), "0")
    assert found.tiles.shape == (8, 4 // groups, 3, 3) and found.groups == groups and words in found.note


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_are_turned_to_their_outputs(groups: int) -> None:
    """Tile (o, i) is what one cell of input channel i of the group adds to output channel o."""
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
    found = filters(nn.Sequential(layer), "0")
    assert found.tiles.shape == (6, 4 // groups, 3, 3) and "transposed" in found.note
    for channel in range(4):
        image = torch.zeros(1, 4, 1, 1)
        image[0, channel] = 1.0
        group, inside = divmod(channel, 4 // groups)
        outputs = slice(group * 6 // groups, (group + 1) * 6 // groups)
        assert torch.allclose(layer(image)[0, outputs], found.tiles[outputs, inside])


def test_filters_over_time_and_over_volumes_are_flat_pictures() -> None:
    """One row high; slices below each other."""
    model = nn.Sequential(nn.Conv1d(2, 4, 5), nn.Conv3d(2, 3, (2, 3, 4)))
    line, volume = filters(model, "0"), filters(model, "1")
    assert line.tiles.shape == (4, 2, 1, 5) and torch.equal(line.tiles[:, :, 0], model[0].weight)
    assert volume.tiles.shape == (3, 2, 6, 4) and volume.note == "2 slices of depth below each other"
    assert torch.equal(volume.tiles[1, 1, 3:], model[1].weight[1, 1, 1])


def test_matrices_are_shown_whole() -> None:
    """A dense layer has no tiles to choose from."""
    found = filters(nn.Sequential(nn.Linear(6, 4)), "0")
    assert found.matrix and not found.colour and found.tiles.shape == found.weight.shape == (4, 6) and found.input_channels == 0
    for ask in (found.mean, lambda: found.tile(0)):
        with pytest.raises(UnsupportedError, match=r"'0' is a matrix \(out, in\)"):
            ask()


class Reads(nn.Module):
    """A dense layer on pixels, perhaps in another order, and one behind it of the same width."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order, self.first, self.second = order, nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, images: Tensor) -> Tensor:
        if self.order == "turned":
            images = images.permute(0, 2, 3, 1)
        if self.order == "shuffled":
            images = images.flatten(1)[:, torch.arange(12).flip(0)]
        return self.second(F.relu(self.first(images.flatten(1))))


def test_rows_of_a_layer_that_reads_the_image_are_images() -> None:
    """Only of the one that reads it, and only where pixels keep their order."""
    model = Reads("kept")
    found = filters(model, "first", (3, 2, 2))
    assert found.matrix and found.colour and torch.equal(found.tiles, model.first.weight.reshape(12, 3, 2, 2))
    assert filters(model, "first").tiles.shape == (12, 12)
    assert filters(model, "second", (3, 2, 2)).tiles.shape == (12, 12)
    assert filters(Reads("turned"), "first", (3, 2, 2)).tiles.shape == (12, 12)
    assert filters(Reads("shuffled"), "first", (3, 2, 2)).tiles.shape == (12, 12)
    grey = filters(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(6, 4)), "2", (1, 2, 3))
    assert grey.tiles.shape == (4, 1, 2, 3) and not grey.colour and "each row as an image" in grey.note


def test_attention_projections_have_names_of_their_own() -> None:
    """The layer's name stands for the first; rows are told apart."""
    model = nn.ModuleDict({"same": nn.MultiheadAttention(4, 2), "other": nn.MultiheadAttention(4, 2, kdim=3, vdim=5)})
    same, other = filters(model, "same"), filters(model, "other")
    assert same.name == "same.in_proj_weight" and same.names == ("same.in_proj_weight", "same.out_proj")
    assert same.matrix and same.tiles.shape == (12, 4) and same.note == "rows 0-3 query, 4-7 key, 8-11 value"
    assert other.names == ("other.q_proj_weight", "other.k_proj_weight", "other.v_proj_weight", "other.out_proj")
    assert torch.equal(filters(model, "other.v_proj_weight").tiles, model["other"].v_proj_weight)
    assert torch.equal(filters(model, "same.out_proj").weight, model["same"].out_proj.weight)


def test_recurrent_layers_show_each_matrix() -> None:
    """With the rows of its gates."""
    model = nn.Sequential(nn.LSTM(3, 4, num_layers=2), nn.GRUCell(3, 4))
    found = filters(model, "0")
    assert found.names == ("0.weight_ih_l0", "0.weight_hh_l0", "0.weight_ih_l1", "0.weight_hh_l1")
    assert found.tiles.shape == (16, 3) and found.note == "rows 0-3 input, 4-7 forget, 8-11 cell, 12-15 output"
    assert torch.equal(filters(model, "0.weight_hh_l1").weight, model[0].weight_hh_l1)
    assert filters(model, "1.weight_hh").note == "rows 0-3 reset, 4-7 update, 8-11 new"


def test_a_network_that_is_one_layer_has_its_weight_by_that_name() -> None:
    """As for pruning; and of a lone attention."""
    model = nn.Conv2d(3, 4, 3)
    assert torch.equal(filters(model, "weight").weight, model.weight) and filters(model, "").name == "weight"
    assert filters(nn.MultiheadAttention(4, 2), "").names == ("in_proj_weight", "out_proj")


def test_weights_are_those_that_the_layer_uses() -> None:
    """After masks, fake quantization and hooks."""

    class Halved(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight.where(weight > 0, 0.0) * 0.5

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3))
    expected = model[0].weight.detach().clamp(min=0) * 0.5
    parametrize.register_parametrization(model[0], "weight", Halved())
    prune.random_unstructured(model[1], "weight", 0.5)
    found = filters(model, "0")
    assert torch.equal(found.weight, expected) and found.kind == "Conv2d"
    assert filters(model, "1").weight.eq(0).sum() == 90


def test_network_and_random_numbers_are_left_alone() -> None:
    """A spectral norm writes its vectors whenever its weight is looked at in training."""
    model = nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 4))).train()
    before, drawn = everything(model), torch.random.get_rng_state()
    filters(model, "0", (6,))
    assert everything(model) == before and torch.equal(torch.random.get_rng_state(), drawn)


def test_what_has_no_filters_is_refused_by_name() -> None:
    """With layers inside it, or names that are near."""
    model = nn.ModuleDict({"block": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "relu": nn.ReLU()})
    with pytest.raises(UnsupportedError, match=r"block\.1 \(BatchNorm2d\) has no filters or weight matrix\.$"):
        filters(model, "block.1")
    with pytest.raises(UnsupportedError, match=r"block \(Sequential\) has no filters.*inside it: block\.0\.$"):
        filters(model, "block")
    with pytest.raises(InputError, match=r"no layer 'block\.9' with weights to show; did you mean 'block\.0'"):
        filters(model, "block.9")
    with pytest.raises(InputError, match="layer: got int, expected a name"):
        filters(model, 3)  # type: ignore[arg-type]


def test_layers_without_numbers_are_refused() -> None:
    """Lazy ones, and those on the meta device."""
    for model in (nn.Sequential(nn.LazyConv2d(4, 3)), nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"))):
        with pytest.raises(ModelError, match="'0' has no numbers yet"):
            filters(model, "0")


def test_names_are_what_filters_takes() -> None:
    """For every layer that has any."""
    model = nn.ModuleDict({"conv": nn.Conv1d(1, 2, 3), "attn": nn.MultiheadAttention(4, 2), "rnn": nn.RNN(2, 3)})
    for name, module in model.items():
        for shown in weight_names(name, module):
            assert filters(model, shown).name == shown
    assert weight_names("x", nn.BatchNorm2d(3)) == ()
