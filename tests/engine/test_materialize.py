"""Networks that are really smaller answer as the masked ones do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from oracle_channels import (
    Answers,
    Attention,
    Depthwise,
    Grouped,
    Recurrent,
    Shared,
    SqueezeExcite,
    Tokens,
    UNet,
    random_kept,
    stirred,
)
from test_channel_groups import NETS
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets.engine.compression._materialize import masked, materialize_kept, shrink
from nnwidgets.engine.compression.same_answers import check_same
from nnwidgets.engine.errors import ModelError, RecipeError, UnsupportedError
from nnwidgets.engine.pruning.channels import ChannelGroups, channel_groups
from nnwidgets.engine.pruning.channels.attention import FewerHeads
from nnwidgets.engine.trace import fingerprint, trace, weight_layers
from nnwidgets.engine.zoo.nets import ResNet20, VggSmall

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
S = (3, 8, 8)


def difference(a: nn.Module, b: nn.Module, shape: tuple[int, ...]) -> float:
    """Of their first answers in double precision, as a share of the largest."""
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        one, other = (net(x) for net in (a, b))
    one, other = (y if isinstance(y, Tensor) else next(iter(y.values() if isinstance(y, dict) else y)) for y in (one, other))
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETS, "resnet20"])
def test_smaller_and_masked_agree_at_each_share(name: str) -> None:
    torch.manual_seed(0)
    make, shape = (ResNet20, (1, 28, 28)) if name == "resnet20" else NETS[name][:2]
    model = stirred(make())
    groups = channel_groups(model, shape)
    sizes = []
    for share in SHARES:
        kept = random_kept(groups, share)
        reference, small = masked(model, groups, kept), shrink(model, groups, kept)
        assert difference(reference, small, shape) <= 1e-5
        assert check_same(reference, small, shape) <= 1e-5
        if any(not flags.all() for flags in kept.values()):
            assert difference(model, reference, shape) > 1e-4  # removing is no empty deed
        sizes.append(sum(p.numel() for p in small.parameters()))
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["u-net", "depthwise x 2", "grouped", "transposed", "squeeze and excite", "shared", "attention"])
def test_layers_know_their_new_sizes(name: str) -> None:
    make, shape = NETS[name][:2]
    model = stirred(make())
    groups = channel_groups(model, shape)
    small = materialize_kept(model, groups, random_kept(groups, 0.5), shape)
    for module in small.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            wide = module.weight.shape[1] * module.groups
            sizes = (module.weight.shape[0], wide) if isinstance(module, nn.ConvTranspose2d) else (wide, module.weight.shape[0])
            assert (module.in_channels, module.out_channels) == sizes
        elif isinstance(module, nn.Linear):
            assert (module.out_features, module.in_features) == tuple(module.weight.shape)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.num_features == len(module.weight) == len(module.running_mean)
        elif isinstance(module, nn.PReLU):
            assert module.num_parameters == len(module.weight)
    again = channel_groups(small, shape)  # and it can be made smaller still
    assert materialize_kept(small, again, random_kept(again, 0.5), shape) is not small


def test_a_smaller_network_is_the_narrower_network() -> None:
    model, narrow = stirred(VggSmall()), VggSmall(width=0.5)
    groups = channel_groups(model, (3, 32, 32))
    small = materialize_kept(model, groups, {b.name: np.arange(b.n) % 2 == 0 for b in groups.bundles}, (3, 32, 32))
    assert {n: p.shape for n, p in small.state_dict().items()} == {n: p.shape for n, p in narrow.state_dict().items()}
    assert trace(small, (3, 32, 32)).macs == trace(narrow, (3, 32, 32)).macs
    narrow.load_state_dict(small.state_dict())
    assert difference(small, narrow.eval(), (3, 32, 32)) == 0


def test_tied_weights_stay_tied_and_the_mode_stays() -> None:
    model = stirred(Shared()).train()
    model.fc.weight.requires_grad_(False)
    groups = channel_groups(model, S)
    small = materialize_kept(model, groups, {"a": np.arange(6) < 4}, S)
    assert small.b.weight is small.c.weight and small.b.in_features == small.c.out_features == 4
    assert small.training and not small.fc.weight.requires_grad and small.a.weight.requires_grad


def test_a_smaller_network_can_be_trained() -> None:
    model = stirred(Tokens())
    groups = channel_groups(model, S)
    small = materialize_kept(model, groups, random_kept(groups, 0.5), S).train()
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    x, y, losses = torch.randn(16, *S), torch.arange(16) % 10, []
    for _ in range(20):
        optimizer.zero_grad()
        loss = F.cross_entropy(small(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("make", [UNet, Tokens, lambda: Attention("fused"), Recurrent, Answers])
def test_the_network_is_not_touched(make: Callable[[], nn.Module]) -> None:
    model = make().train()
    model.register_forward_hook(lambda module, args, output: None)
    before, plain = fingerprint(model), {n: dict(m.__dict__) for n, m in model.named_modules()}
    groups = channel_groups(model, S)
    small = materialize_kept(model, groups, random_kept(groups, 0.5), S)
    assert fingerprint(model) == before
    assert {n: set(m.__dict__) for n, m in model.named_modules()} == {n: set(d) for n, d in plain.items()}
    shared = {id(p) for p in model.parameters()} & {id(p) for p in small.parameters()}
    storages = {p.untyped_storage().data_ptr() for p in model.parameters()} & {
        p.untyped_storage().data_ptr() for p in small.parameters()
    }
    assert not shared and not storages
    assert all(getattr(model, name, None) == getattr(make(), name, None) for name in ("num_heads", "head_dim"))


def test_what_is_asked_for_is_checked() -> None:
    model = stirred(UNet())
    groups = channel_groups(model, S)
    with pytest.raises(RecipeError, match=r"All 6 units of 'down1'.*83\.3%") as caught:
        materialize_kept(model, groups, {"down1": np.zeros(6, dtype=bool)}, S)
    assert caught.value.largest == pytest.approx(5 / 6)
    with pytest.raises(RecipeError, match="no bundle 'x'"):
        materialize_kept(model, groups, {"x": np.ones(6, dtype=bool)}, S)
    with pytest.raises(RecipeError, match=r"expected bool of shape \(6,\)"):
        materialize_kept(model, groups, {"down1": np.ones(5, dtype=bool)}, S)
    with pytest.raises(RecipeError, match="int64"):
        materialize_kept(model, groups, {"down1": np.arange(6)}, S)
    with pytest.raises(ModelError, match="no numbers"):
        materialize_kept(model.to("meta"), groups, {"down1": np.arange(6) > 2}, S)
    assert materialize_kept(stirred(UNet()), groups, {"down1": torch.arange(6) > 2}, S).down1.out_channels == 3


def test_nothing_removed_is_an_exact_copy() -> None:
    model = stirred(Grouped())
    groups = channel_groups(model, S)
    assert fingerprint(materialize_kept(model, groups, {}, S)) == fingerprint(model)


def test_a_network_on_the_meta_device_shrinks_too() -> None:
    model = UNet().to("meta")
    groups = channel_groups(model, S)
    small = shrink(model, groups, random_kept(groups, 0.5))
    assert small.down1.weight.shape == (3, 3, 3, 3) and small.down1.weight.is_meta


def test_wrong_columns_are_noticed_and_the_bundle_is_named() -> None:
    model = stirred(UNet())
    groups = channel_groups(model, S)
    kept = random_kept(groups, 0.5)
    small = shrink(model, groups, kept)
    with torch.no_grad():
        small.last.weight.copy_(small.last.weight.flip(1))
    with pytest.raises(UnsupportedError, match="answers something else"):
        check_same(masked(model, groups, kept), small, S)
    # Groups in which a reader has the wrong channels: another unit goes from it.
    down = groups["down1"]
    bad = tuple(
        type(m)(**{**vars(m), "index": m.index[::-1].copy()}) if m.layer == "down2" and m.role == "in" else m
        for m in down.members
    )
    wrong = ChannelGroups(
        tuple(type(b)(b.name, b.structure, b.n, bad) if b is down else b for b in groups.bundles), groups.refused
    )
    with pytest.raises(UnsupportedError, match=r"At fault: 'down1'\.$"):
        materialize_kept(model, wrong, {"down1": np.arange(6) < 4, "last": np.arange(4) < 2}, S)


class Counting(nn.Module):
    """The answer depends on the number of hidden units in a way that shapes do not show."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        y = F.relu(self.b(x))
        return self.fc(y) * torch.full((3,), float(x.shape[1]))


def test_what_only_numbers_show_is_refused_by_name() -> None:
    model = stirred(Counting())
    groups = channel_groups(model, (4,))
    half = {b.name: np.arange(b.n) < 4 for b in groups.bundles}
    assert list(half) == ["a", "b"]
    with pytest.raises(UnsupportedError, match=r"answers something else.*At fault: 'a'\.$"):
        materialize_kept(model, groups, half, (4,))


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_first": True}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 10, "vdim": 6}, {"bias": False}],
)
def test_own_attention_is_that_of_torch(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    source = stirred(nn.MultiheadAttention(12, 3, **options))
    own = FewerHeads(source).eval()
    batch_first = bool(options.get("batch_first"))
    q, k, v = (torch.randn(5, 2, n) for n in (12, options.get("kdim", 12), options.get("vdim", 12)))
    k, v = (torch.cat([x, x[:1]]) for x in (k, v))
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[1, 4:] = True
    masks: list[dict[str, Any]] = [
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"key_padding_mask": padding},
        {"attn_mask": torch.randn(5, 6)},
        {"attn_mask": torch.rand(6, 5, 6) > 0.8, "key_padding_mask": padding},
    ]
    for mask in masks:
        inputs = [x.transpose(0, 1) for x in (q, k, v)] if batch_first else [q, k, v]
        for one, other in zip(source(*inputs, **mask), own(*inputs, **mask), strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other)
    single = [x[:, 0] for x in (q, k, v)]
    for one, other in zip(source(*single), own(*single), strict=True):
        torch.testing.assert_close(one, other)
    assert [layer.name for layer in weight_layers(own)] == [layer.name for layer in weight_layers(source)]


def test_parts_of_a_network_that_need_no_change_are_left_as_they_are() -> None:
    model = stirred(SqueezeExcite())
    groups = channel_groups(model, S)
    small = shrink(model, groups, {"down": np.arange(4) < 2})
    assert torch.equal(small.a.weight, model.a.weight) and small.down.out_features == small.up.in_features == 2


def test_depthwise_keeps_its_multiplier() -> None:
    model = stirred(Depthwise())
    small = shrink(model, channel_groups(model, S), {"a": np.array([1, 0, 1, 1, 0, 0], dtype=bool)})
    assert (small.deep.groups, small.deep.in_channels, small.deep.out_channels) == (3, 3, 6)
    assert torch.equal(small.deep.weight, model.deep.weight[[0, 1, 4, 5, 6, 7]])


# Side of the images, number of bundles, and which weight layers make no units, beside the last.
ZOO: dict[str, tuple[int, int, Callable[[str], bool]]] = {
    "vgg16_bn": (32, 15, lambda name: False),
    "resnet18": (32, 12, lambda name: False),
    "resnet50": (32, 37, lambda name: False),
    "densenet121": (32, 120, lambda name: False),
    "mobilenet_v2": (32, 25, lambda name: False),
    "mobilenet_v3_small": (32, 27, lambda name: False),
    "mobilenet_v3_large": (32, 0, lambda name: False),
    "shufflenet_v2_x1_0": (
        32,
        19,
        lambda name: (
            name.startswith(("stage2", "stage3", "stage4"))
            and not name.endswith(("branch2.0", "branch2.3"))
            and name != "stage2.0.branch1.0"
            and (not name.startswith("stage4") or name == "stage4.0.branch1.0")
        ),
    ),
    "efficientnet_b0": (32, 40, lambda name: False),
    "regnet_y_400mf": (32, 53, lambda name: False),
    "regnet_x_400mf": (32, 0, lambda name: False),
    "resnext50_32x4d": (32, 37, lambda name: False),
    "convnext_tiny": (32, 18, lambda name: not name.endswith("block.3")),
    "googlenet": (32, 57, lambda name: name.startswith("aux")),
    "inception_v3": (75, 94, lambda name: name.startswith("Aux")),
    "mnasnet1_0": (32, 25, lambda name: False),
    "squeezenet1_1": (32, 25, lambda name: False),
    "swin_t": (32, 12, lambda name: not name.endswith("mlp.0")),
    "vit_b_16": (32, 24, lambda name: not name.endswith(("in_proj_weight", "mlp.0"))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_the_nets_of_torchvision(name: str) -> None:
    torchvision = pytest.importorskip("torchvision")
    side, bundles, is_refused = ZOO[name]
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    options |= {"image_size": 32} if name == "vit_b_16" else {}
    torch.manual_seed(0)
    model = stirred(getattr(torchvision.models, name)(weights=None, num_classes=10, **options))
    shape = (3, side, side)
    groups = channel_groups(model, shape)
    names = [layer.name for layer in weight_layers(model)]
    last = trace(model, shape).output_layers
    assert set(groups.refused) == {n for n in names if n in last or is_refused(n)}
    assert {n for b in groups.bundles for n in b.producers} == set(names) - set(groups.refused)
    assert not groups.partly and len(groups.bundles) == (bundles or len(groups.bundles))
    before = fingerprint(model)
    for share in SHARES:
        small = materialize_kept(model, groups, random_kept(groups, share), shape)
        assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert difference(model, small, shape) > 1e-3
    assert fingerprint(model) == before
