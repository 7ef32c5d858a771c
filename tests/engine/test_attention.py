"""Attention maps against the layers' own weights and against sums written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from oracle_trace import everything
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.errors import InputError, ModelError, UnsupportedError
from nnwidgets.engine.inspect import attention, attention_maps, structure

torchvision = pytest.importorskip("torchvision")


class OneOf(nn.Module):
    """A network around a function of its layers and its input."""

    def __init__(self, forward: Callable[[nn.ModuleDict, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.of, self.parts = forward, nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.of(self.parts, x)


class Around(nn.Module):
    """A layer around a function of its input, so that it has a name."""

    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.of, self.child = forward, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.child(self.of(x))


def inputs_of(model: nn.Module, name: str, images: Tensor) -> Any:
    """(args, kwargs) that a layer gets."""
    kept: list[Any] = []
    handle = model.get_submodule(name).register_forward_pre_hook(
        lambda _, args, kwargs: kept.append((args, kwargs)), with_kwargs=True
    )
    with torch.no_grad():
        model(images)
    handle.remove()
    return kept[0]


def check_rows(maps: Tensor) -> None:
    """Shares: from 0, each row adding up to 1."""
    assert maps.min() >= 0 and torch.allclose(maps.sum(-1), torch.ones(maps.shape[:-1]), atol=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_gives_its_own_weights_head_by_head(batch_first: bool, need_weights: bool) -> None:
    """Whatever the network asks of it, masks and biases included."""
    torch.manual_seed(0)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1)

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        x = x if batch_first else x.transpose(0, 1)
        return parts["attn"](x, x * 0.5, x, None, need_weights, attn_mask=mask)[0]

    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first, bias=True, add_bias_kv=not batch_first)
    model = OneOf(forward, attn=layer).eval()
    images = torch.rand(3, 5, 8)
    args, kwargs = inputs_of(model, "parts.attn", images)
    with torch.no_grad():
        _, own = layer(*args[:4], need_weights=True, average_attn_weights=False, **kwargs)
    maps = attention_maps(model, images, "parts.attn")
    assert maps.shape == (3, 2, 5, 5 if batch_first else 6) and torch.allclose(maps, own, atol=1e-6)
    check_rows(maps)


def test_multihead_attention_equals_the_formula() -> None:
    """softmax(Q K^T / sqrt(d)) from the stacked projection, image by image and head by head; Q and K may differ in length."""
    torch.manual_seed(0)
    model = OneOf(lambda parts, x: parts["attn"](x, x[:, :3], x[:, :3])[0], attn=nn.MultiheadAttention(8, 2, batch_first=True))
    images, layer = torch.rand(2, 5, 8), model.parts["attn"]
    maps = attention_maps(model, images, "parts.attn")
    assert maps.shape == (2, 2, 5, 3)
    query = images @ layer.in_proj_weight[:8].T + layer.in_proj_bias[:8]
    key = images[:, :3] @ layer.in_proj_weight[8:16].T + layer.in_proj_bias[8:16]
    for b in range(2):
        for head in range(2):
            part = slice(head * 4, head * 4 + 4)
            expected = (query[b, :, part] @ key[b, :, part].T / math.sqrt(4)).softmax(-1)
            assert torch.allclose(maps[b, head], expected, atol=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_transformer_encoder_layer_by_its_own_name_or_that_of_its_attention(batch_first: bool, training: bool) -> None:
    """Whose fused path would show nothing; dropout plays no part."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=batch_first)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model = OneOf(lambda parts, x: parts["encoder"](x if batch_first else x.transpose(0, 1)), encoder=encoder).train(training)
    images = torch.rand(3, 5, 8)
    before = everything(model)
    maps = attention_maps(model, images, "parts.encoder.layers.1")
    assert everything(model) == before
    assert maps.shape == (3, 2, 5, 5) and torch.equal(maps, attention_maps(model, images, "parts.encoder.layers.1.self_attn"))
    inner = model.eval().get_submodule("parts.encoder.layers.1")
    with torch.no_grad():
        x = model.get_submodule("parts.encoder.layers.0")(images if batch_first else images.transpose(0, 1))
        _, own = inner.self_attn(x, x, x, average_attn_weights=False)
    assert torch.allclose(maps, own, atol=1e-5)
    check_rows(maps)


def test_vit_attends_with_its_class_token() -> None:
    """17 tokens of a 64 x 64 image in patches of 16; a block is as good as the layer in it; the network's own weights."""
    torch.manual_seed(0)
    kind = torchvision.models.VisionTransformer
    model = kind(image_size=64, patch_size=16, num_layers=2, num_heads=4, hidden_dim=16, mlp_dim=16, num_classes=3).eval()
    images, name = torch.rand(2, 3, 64, 64), "encoder.layers.encoder_layer_1.self_attention"
    found = attention(model, images, name)
    assert (found.heads, found.windows, found.weights.shape) == (4, 1, (2, 4, 17, 17))
    args, _ = inputs_of(model, name, images)
    with torch.no_grad():
        _, own = model.get_submodule(name)(*args, need_weights=True, average_attn_weights=False)
    assert torch.allclose(found.weights, own, atol=1e-6)
    assert torch.equal(attention_maps(model, images, "encoder.layers.encoder_layer_1"), found.weights)
    check_rows(found.weights)


@pytest.mark.parametrize("shift", [0, 2])
def test_swin_windows_stand_one_after_the_other_in_each_image(shift: int) -> None:
    """Row by row over the shifted image, the heads of a window together; compared with sums over each window cut out by hand."""
    torch.manual_seed(0)
    layer = torchvision.models.swin_transformer.ShiftedWindowAttention(8, [4, 4], [shift, shift], num_heads=2).eval()
    model = OneOf(lambda parts, x: parts["attn"](x.permute(0, 2, 3, 1)), attn=layer).eval()
    images = torch.rand(3, 8, 8, 12)
    found = attention(model, images, "parts.attn")
    assert (found.heads, found.windows, found.weights.shape) == (2, 6, (3, 12, 16, 16))
    check_rows(found.weights)
    qkv = (images.permute(0, 2, 3, 1) @ layer.qkv.weight.T + layer.qkv.bias).detach().roll((-shift, -shift), (1, 2))
    bias = layer.get_relative_position_bias().detach()[0]
    for window, (row, column) in enumerate((r, c) for r in range(2) for c in range(3)):
        cut = qkv[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4].reshape(3, 16, 24)
        for head in range(2):
            query, key = cut[..., head * 4 : head * 4 + 4], cut[..., 8 + head * 4 : 12 + head * 4]
            scores = query @ key.transpose(1, 2) / 2 + bias[head]
            if shift and (row == 1 or column == 2):  # what the shift brought together from two edges is kept apart
                continue
            assert torch.allclose(found.weights[:, window * 2 + head], scores.softmax(-1), atol=1e-6)


def test_maxvit_windows_are_folded_into_the_heads() -> None:
    """(B, windows, heads, Q, K) with head h of window w at w * heads + h."""
    torch.manual_seed(0)
    layer = torchvision.models.maxvit.RelativePositionalMultiHeadAttention(8, 4, 9).eval()
    model = OneOf(lambda parts, x: parts["attn"](x), attn=layer)
    images = torch.rand(2, 6, 9, 8)
    found = attention(model, images, "parts.attn")
    assert (found.heads, found.windows, found.weights.shape) == (2, 6, (2, 12, 9, 9))
    query, key, _ = (images @ layer.to_qkv.weight.T + layer.to_qkv.bias).detach().chunk(3, -1)
    bias = layer.get_relative_positional_bias().detach()[0]
    for window in range(6):
        for head in range(2):
            part = slice(head * 4, head * 4 + 4)
            scores = query[:, window, :, part] @ (key[:, window, :, part] * layer.scale_factor).transpose(1, 2) + bias[head]
            assert torch.allclose(found.weights[:, window * 2 + head], scores.softmax(-1), atol=1e-6)
    check_rows(found.weights)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"attn_mask": torch.ones(5, 5, dtype=torch.bool).tril(1)},
        {"attn_mask": torch.linspace(-1, 1, 25).reshape(5, 5)},
    ],
)
def test_fused_attention_is_written_out(settings: dict[str, Any]) -> None:
    """With values that are the identity, its result is its weights."""
    torch.manual_seed(0)

    def forward(x: Tensor) -> Tensor:
        heads = x.reshape(len(x), 5, 2, 4).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads * 2, torch.eye(5).expand(len(x), 2, 5, 5), **settings)

    model = nn.Sequential(Around(forward), nn.Flatten())
    images = torch.rand(3, 5, 8)
    maps = attention_maps(model, images, "0")
    assert torch.allclose(maps, forward(images), atol=1e-6)
    check_rows(maps)


def test_fused_attention_with_few_keys_and_without_heads() -> None:
    """Grouped queries share keys; (B, N, D) is one head."""
    torch.manual_seed(0)

    def grouped(x: Tensor) -> Tensor:
        query, key = x.reshape(len(x), 5, 4, 2).transpose(1, 2), x[..., :4].reshape(len(x), 5, 2, 2).transpose(1, 2)
        return F.scaled_dot_product_attention(query, key, torch.eye(5).expand(len(x), 2, 5, 5), enable_gqa=True)

    images = torch.rand(3, 5, 8)
    assert torch.allclose(attention_maps(nn.Sequential(Around(grouped)), images, "0"), grouped(images), atol=1e-6)
    alone = nn.Sequential(Around(lambda x: F.scaled_dot_product_attention(x, x, torch.eye(5).expand(len(x), 5, 5))))
    assert torch.allclose(attention_maps(alone, images, "0")[:, 0], alone(images), atol=1e-6)


@pytest.mark.parametrize(
    "softmax", [lambda s: s.softmax(-1), lambda s: torch.softmax(s, 3), lambda s: F.softmax(s, dim=-1), nn.Softmax(-1)]
)
def test_any_softmax_over_heads_will_do(softmax: Callable[[Tensor], Tensor]) -> None:
    """A function, a method or a layer; the root of the network by its empty name. The structure says so before."""
    torch.manual_seed(0)
    kept: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        heads = x.reshape(len(x), 5, 2, 4).transpose(1, 2)
        kept.append(softmax(heads @ heads.transpose(-2, -1)))
        return (F.dropout(kept[-1], 0.1, False) @ heads).transpose(1, 2).flatten(1)

    model = nn.Sequential(Around(forward))
    images = torch.rand(3, 5, 8)
    for name in ("0", ""):
        maps = attention_maps(model, images, name)
        assert torch.equal(maps, kept[-1])
    assert [row.id for row in structure(model, (5, 8)).rows if row.attention] == ["0"]


def test_second_call_of_a_shared_layer_is_another_map() -> None:
    """And what comes between is not looked at."""
    torch.manual_seed(0)

    def forward(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + parts["attn"](x, x, x, need_weights=False)[0]
        return x

    model = OneOf(forward, attn=nn.MultiheadAttention(8, 2, batch_first=True)).eval()
    images = torch.rand(2, 5, 8)
    with torch.no_grad():
        second = images + model.parts["attn"](images, images, images)[0]
        _, own = model.parts["attn"](second, second, second, average_attn_weights=False)
    assert torch.allclose(attention_maps(model, images, "parts.attn", 1), own, atol=1e-6)
    assert not torch.allclose(attention_maps(model, images, "parts.attn"), own, atol=1e-3)
    with pytest.raises(InputError, match=r"2 call\(s\), got call=2"):
        attention_maps(model, images, "parts.attn", 2)


def test_what_attends_not_at_all_or_twice_is_refused_by_name() -> None:
    """With the layers inside it that would do."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3))
    images = torch.rand(2, 5, 8)
    with pytest.raises(
        UnsupportedError, match=r"^1 \(Linear\) computes no attention that can be seen.*Choose a layer that attends"
    ):
        attention_maps(model, images, "1")
    with pytest.raises(UnsupportedError, match=r"^0 \(TransformerEncoder\) attends 2 times.*such as 0\.layers\.0\.self_attn"):
        attention_maps(model, images, "0")
    with pytest.raises(UnsupportedError, match=r"is a function.*Choose the one around it, '0\.layers\.0'"):
        attention_maps(model, images, "0.layers.0.(add)")
    with pytest.raises(InputError, match=r"no layer '0\.layer\.0'; did you mean '0\.layers\.0"):
        attention_maps(model, images, "0.layer.0")
    with pytest.raises(ModelError, match=r"failed on images of shape \(2, 5, 7\)"):
        attention_maps(model, torch.rand(2, 5, 7), "0.layers.0")


def test_softmax_that_is_no_attention_is_not_taken_for_it() -> None:
    """Over channels, or over three axes: neither by the structure nor by the function."""

    def forward(x: Tensor) -> Tensor:
        by_class = x.softmax(1)
        gate = x.mean((2, 3)).softmax(-1)[:, :, None, None]
        return (by_class * gate @ x.transpose(-2, -1)).flatten(1)

    model = nn.Sequential(Around(forward))
    with pytest.raises(UnsupportedError, match=r"0 \(Around\) computes no attention"):
        attention_maps(model, torch.rand(2, 3, 4, 4), "0")
    plain = nn.Sequential(Around(lambda x: x.softmax(-1) * 2.0))
    assert not any(row.attention for row in structure(plain, (3, 4, 4)).rows)


def test_attention_from_image_to_image_is_refused() -> None:
    """torch's default takes (L, B, D) and runs on (B, L, D) too: a fault of the network, said in a sentence."""
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16))
    with pytest.raises(UnsupportedError, match=r"from image to image.*batch_first=True"):
        attention_maps(model, torch.rand(2, 5, 8), "0")


def test_weights_that_mix_images_are_refused() -> None:
    """A leading axis that is no multiple of the batch."""

    def forward(x: Tensor) -> Tensor:
        joined = x.reshape(1, 1, -1, 8)
        return F.scaled_dot_product_attention(joined, joined, joined).reshape(x.shape)

    with pytest.raises(UnsupportedError, match=r"weights of shape \(1, 1, 15, 15\) for a batch of 3"):
        attention_maps(nn.Sequential(Around(forward)), torch.rand(3, 5, 8), "0")


def test_nothing_is_left_behind_by_a_failure_in_the_middle() -> None:
    """Hooks, flags and random numbers are as before; the fused path is taken again."""

    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            torch.rand(3)
            raise RuntimeError("planted")

    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    layer.dropout2 = Fails()  # type: ignore[assignment]
    model = nn.Sequential(layer).train()
    before, drawn = everything(model), torch.random.get_rng_state()
    with pytest.raises(ModelError, match="RuntimeError: planted"):
        attention_maps(model, torch.rand(2, 5, 8, generator=torch.Generator().manual_seed(0)), "0")
    assert everything(model) == before and torch.equal(torch.random.get_rng_state(), drawn)


def test_maps_are_the_callers_own() -> None:
    """Free to be changed, and without a gradient."""
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    maps = attention_maps(model, torch.rand(2, 5, 8), "0")
    maps -= 1.0
    assert not maps.requires_grad
