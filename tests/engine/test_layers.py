"""The table of layers, and which tensors of a network count as weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from nnwidgets.engine.errors import ModelError, RecipeError
from nnwidgets.engine.trace import layers, skipped_weights, trace, weight_layers, weight_of

torchvision = pytest.importorskip("torchvision")


def net() -> nn.Sequential:
    """A convolution, its norm and a linear layer."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def test_table_has_one_row_a_call_with_the_columns_promised() -> None:
    """Shapes without the batch, shares that add up to 1."""
    table = layers(net(), (1, 8, 8))
    assert list(table.columns) == ["name", "call", "kind", "input_shape", "output_shape", "params", "macs", "share"]
    assert list(table["kind"]) == ["Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Linear"]
    assert table["output_shape"].tolist() == [(4, 6, 6), (4, 6, 6), (4, 6, 6), (144,), (10,)]
    assert table["macs"].tolist() == [4 * 9 * 36, 0, 0, 0, 1440]
    assert table["share"].sum() == pytest.approx(1.0)
    assert table["params"].sum() == sum(p.numel() for p in net().parameters())


def test_table_of_a_network_without_products_has_no_share() -> None:
    """0, not a division by zero."""
    assert layers(nn.Sequential(nn.ReLU()), (4,))["share"].tolist() == [0.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "vit_b_16", "swin_t", "shufflenet_v2_x1_0", "swin_v2_t", "convnext_tiny", "maxvit_t"]
)
def test_table_accounts_for_every_parameter_of_a_torchvision_net(name: str) -> None:
    """Class tokens, position tables and weights used by functions included; (name, call) is unique."""
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    table = layers(model, (3, 224, 224))
    assert table["params"].sum() == sum(p.numel() for p in model.parameters())
    assert not table.duplicated(["name", "call"]).any()
    assert table["macs"].sum() == trace(model, (3, 224, 224)).macs


def test_residual_addition_is_a_row_of_its_block() -> None:
    """Functional operations are readable: "layer1.0.(add)"."""
    with torch.device("meta"):
        model = torchvision.models.resnet18()
    table = layers(model, (3, 64, 64))
    adds = table[table["kind"] == "add"]
    assert adds["name"].tolist() == [f"layer{stage}.{block}.(add)" for stage in (1, 2, 3, 4) for block in (0, 1)]
    relu = table[table["name"] == "layer1.0.relu"]
    assert relu["call"].tolist() == [0, 1]


def test_every_kind_of_convolution_is_a_weight_layer() -> None:
    """With the axis of its output channels and its groups; subclasses too; in order of definition."""

    class Own(nn.Linear):
        pass

    model = nn.Sequential(
        nn.Conv1d(2, 4, 3, groups=2), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Conv3d(1, 2, 1), nn.BatchNorm2d(6), Own(3, 5)
    )
    found = weight_layers(model)
    assert [(w.name, w.kind, w.shape, w.out_axis, w.groups, w.is_conv) for w in found] == [
        ("0", "Conv1d", (4, 1, 3), 0, 2, True),
        ("1", "ConvTranspose2d", (4, 3, 2, 2), 1, 2, True),
        ("2", "Conv3d", (2, 1, 1, 1, 1), 0, 1, True),
        ("4", "Own", (5, 3), 0, 1, False),
    ]
    assert [w.numel for w in found] == [12, 48, 2, 15]
    assert all(weight_of(model, w).shape == w.shape for w in found)
    assert weight_of(model, found[3]) is model[4].weight


def test_attention_projections_are_weight_layers() -> None:
    """Packed, and apart where keys or values have another width; out_proj is a linear layer."""
    packed = weight_layers(nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2)}))
    assert [w.name for w in packed] == ["attn.in_proj_weight", "attn.out_proj"]
    assert (packed[0].module_name, packed[0].parameter, packed[0].kind) == ("attn", "in_proj_weight", "MultiheadAttention")
    apart = weight_layers(nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2, kdim=4)}))
    assert [w.name for w in apart] == ["attn.q_proj_weight", "attn.k_proj_weight", "attn.v_proj_weight", "attn.out_proj"]


def test_network_of_one_layer_has_a_named_weight() -> None:
    """Its module name is empty, its weight is not."""
    (only,) = weight_layers(nn.Linear(3, 2))
    assert (only.name, only.module_name) == ("weight", "")
    assert trace(nn.Linear(3, 2), (3,)).output_layer == "weight"


def test_tied_and_shared_weights_appear_once() -> None:
    """Under the first name; the others are aliases."""
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": nn.Linear(4, 4), "c": shared})
    model["b"].weight = shared.weight
    (only,) = weight_layers(model)
    assert (only.name, only.aliases) == ("a", ("b", "c"))


def test_parametrized_weight_is_the_effective_one() -> None:
    """The layer keeps its kind and name, its weight is what the forward pass uses."""

    class Zero(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * 0

    model = net()
    parametrize.register_parametrization(model[0], "weight", Zero())
    parametrizations.weight_norm(model[4])
    first, second = weight_layers(model)
    assert [(w.name, w.kind) for w in (first, second)] == [("0", "Conv2d"), ("4", "Linear")]
    assert weight_of(model, first).count_nonzero() == 0
    assert skipped_weights(model) == {}


def test_what_is_left_out_is_named_with_the_reason() -> None:
    """LSTM, embeddings, free parameters, and weights that a hook of torch computes."""

    class Free(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(2, 2))
            self.scale = nn.Parameter(torch.zeros(2))

    model = nn.ModuleDict({"rnn": nn.LSTM(2, 3), "emb": nn.Embedding(4, 2), "free": Free(), "fc": nn.Linear(2, 2)})
    prune.l1_unstructured(model["fc"], "weight", amount=0.5)
    skipped = skipped_weights(model)
    assert set(skipped) == {"rnn.weight_ih_l0", "rnn.weight_hh_l0", "emb.weight", "free.table", "fc.weight_orig"}
    assert skipped["rnn.weight_ih_l0"].startswith("LSTM is not supported")
    assert "prune" in skipped["fc.weight_orig"]
    assert weight_layers(model) == ()


def test_embedding_tied_to_a_linear_layer_is_covered_by_it() -> None:
    """One tensor, pruned with the linear layer."""
    model = nn.ModuleDict({"emb": nn.Embedding(4, 2), "out": nn.Linear(2, 4)})
    model["out"].weight = model["emb"].weight
    assert [w.name for w in weight_layers(model)] == ["out"]
    assert skipped_weights(model) == {}


def test_layer_of_another_network_is_refused() -> None:
    """The message says where it came from."""
    layer = weight_layers(net())[1]
    with pytest.raises(RecipeError, match="another network"):
        weight_of(nn.Sequential(nn.Linear(2, 2)), layer)
    with pytest.raises(RecipeError, match="Expected a tensor"):
        weight_of(nn.Sequential(*[nn.Linear(2, 2)] * 4, nn.BatchNorm1d(2, affine=False)), layer)


def test_lazy_layer_is_refused() -> None:
    """It has no weights until a batch has gone through."""
    with pytest.raises(ModelError, match="one batch"):
        weight_layers(nn.Sequential(nn.LazyConv2d(4, 3)))
