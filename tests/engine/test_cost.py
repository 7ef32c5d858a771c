"""Multiply-accumulates: against torch's counter, published figures, and counting them one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from oracle_trace import attention_macs, macs_by_counting
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from nnwidgets.engine.compression import cost
from nnwidgets.engine.costs import arithmetic
from nnwidgets.engine.trace import trace

torchvision = pytest.importorskip("torchvision")

NETS = [
    "vgg16",
    "resnet18",
    "mobilenet_v2",
    "vit_b_16",
    "densenet121",
    "shufflenet_v2_x1_0",
    "convnext_tiny",
    "swin_t",
    "googlenet",
    "efficientnet_b0",
]


def torchvision_net(name: str) -> nn.Module:
    """On the meta device: built in milliseconds, without numbers."""
    with torch.device("meta"):
        quiet: dict[str, Any] = {"init_weights": False} if name == "googlenet" else {}
        return torchvision.models.get_model(name, weights=None, **quiet).eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_macs_agree_with_the_counter_of_torch(name: str) -> None:
    """FlopCounterMode on the meta device, halved: within 0.1 % (it counts the same products, so the difference is 0)."""
    model = torchvision_net(name)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.zeros(1, 3, 224, 224, device="meta"))
    found = cost(model, (3, 224, 224))
    assert found.macs == pytest.approx(counter.get_total_flops() / 2, rel=1e-3)
    assert found.flops == 2 * found.macs and found.params == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "giga"), [("vgg16", 15.470), ("resnet18", 1.814), ("mobilenet_v2", 0.3008), ("vit_b_16", 17.564)]
)
def test_macs_agree_with_published_figures(name: str, giga: float) -> None:
    """Giga-MACs of one image of 224 x 224."""
    assert trace(torchvision_net(name), (3, 224, 224)).macs / 1e9 == pytest.approx(giga, abs=5e-4 if giga > 1 else 5e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 3, 3), (2, 9)),
        (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2)), (4, 9, 8)),
        (nn.Conv2d(4, 8, 3, groups=4), (4, 7, 7)),
        (nn.Conv2d(4, 4, 3, groups=4, bias=False), (4, 7, 7)),
        (nn.Conv3d(2, 3, 2), (2, 4, 5, 3)),
        (nn.ConvTranspose1d(2, 3, 4, stride=2), (2, 5)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 6)),
        (nn.ConvTranspose3d(2, 2, 2), (2, 3, 3, 3)),
        (nn.Linear(7, 5), (7,)),
        (nn.Linear(7, 5, bias=False), (3, 2, 7)),
    ],
)
def test_macs_of_a_layer_equal_those_counted_one_by_one(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """All ones: each multiply-accumulate adds 1 to the sum of the results."""
    found = arithmetic(trace(nn.Sequential(layer), shape))
    assert found.macs == {"0": macs_by_counting(layer, torch.zeros(1, *shape))}
    assert found.other_macs == 0


def test_padding_counts_as_multiplied() -> None:
    """A dense kernel multiplies the zeros of the border too: Cout * Cin * k * k * Ho * Wo."""
    assert trace(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1)), (2, 5, 5)).macs == 3 * 2 * 9 * 25


def test_self_attention_equals_the_formula() -> None:
    """4 N d^2 + 2 N^2 d, of which the second part belongs to no weight."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(24, 3, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attn(x, x, x)[0]

    found = arithmetic(trace(Net(), (11, 24)))
    assert found.total == attention_macs(11, 24)
    assert found.other_macs == 2 * 11 * 11 * 24
    assert found.positions == {"attn.in_proj_weight": 11.0, "attn.out_proj": 11.0}


@pytest.mark.parametrize("function", ["matmul", "einsum", "bmm", "at", "baddbmm", "sdpa"])
def test_products_without_weights_are_other_macs(function: str) -> None:
    """However the product is written; a sample here is 4 x 6, the product 4 x 6 x 4."""

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.transpose(1, 2)
            if function == "baddbmm":
                return torch.baddbmm(torch.zeros(4, 4), x, y)
            if function == "sdpa":
                return functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None, :, :1])
            if function == "einsum":
                return torch.einsum("bik,bkj->bij", x, y)
            return x @ y if function == "at" else getattr(torch, function)(x, y)

    expected = 4 * 6 * 4 + (4 * 4 * 1 if function == "sdpa" else 0)
    found = arithmetic(trace(Net(), (4, 6)))
    assert (found.total, found.other_macs, dict(found.macs)) == (expected, expected, {})


def test_calls_of_a_shared_layer_are_added() -> None:
    """Its weights are used at the positions of both calls."""
    shared = nn.Conv2d(2, 2, 3, padding=1)
    found = arithmetic(trace(nn.Sequential(shared, nn.MaxPool2d(2), shared), (2, 8, 8)))
    assert found.positions == {"0": 64.0 + 16.0}
    assert found.macs == {"0": 36 * 80}


def test_macs_on_nonzero_weights_are_exact_where_all_weights_are_used_equally() -> None:
    """macs * nonzero / weights in whole numbers, however large."""
    found = arithmetic(trace(torchvision_net("vgg16"), (3, 224, 224)))
    name = "features.2"
    assert found.macs_nonzero(name, 0) == 0
    assert found.macs_nonzero(name, 1) == 224 * 224 == found.positions[name]
    assert found.macs_nonzero(name, found.weights[name]) == found.macs[name]
    assert all(found.macs[layer] % numel == 0 for layer, numel in found.weights.items())


def test_parts_of_a_weight_used_unequally_often_give_the_mean() -> None:
    """Cross attention: a third of the packed projection sees 3 tokens, two thirds see 5."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(4, 1, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attn(x[:, :3], x, x)[0]

    found = arithmetic(trace(Net(), (5, 4)))
    name = "attn.in_proj_weight"
    assert found.macs[name] == 3 * 16 + 2 * 5 * 16
    assert found.positions[name] == pytest.approx((3 + 5 + 5) / 3)
    assert found.macs_nonzero(name, 24) == found.macs[name] // 2


def test_layer_that_is_not_called_costs_nothing() -> None:
    """The auxiliary heads of GoogLeNet in eval mode: parameters, no macs."""
    found = arithmetic(trace(torchvision_net("googlenet"), (3, 224, 224)))
    assert found.macs["aux1.fc1"] == 0
    assert found.positions["aux1.fc1"] == 0.0
    assert sum(found.weights.values()) > 12_000_000


def test_figures_are_frozen() -> None:
    """Nobody edits them by accident."""
    found = arithmetic(trace(nn.Linear(2, 2), (2,)))
    with pytest.raises(TypeError):
        found.macs["weight"] = 1  # type: ignore[index]
