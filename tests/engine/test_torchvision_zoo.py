"""Structure, maps, filters and attention on the nets of torchvision, with random weights and the smallest images that they take.

One net at a time, and one pass for all places of a net.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.inspect import Row, Structure, as_maps, attention, feature_maps, filters, structure
from nnwidgets.engine.inspect._sites import reading, run
from nnwidgets.engine.trace import Trace, trace

torchvision = pytest.importorskip("torchvision")
pytestmark = pytest.mark.slow

_QUICK = {"init_weights": False}  # drawing the weights that the papers ask for takes many times the pass
NETS: dict[str, tuple[int, dict[str, Any]]] = {
    "alexnet": (63, {}),
    "vgg11": (32, _QUICK),
    "vgg16_bn": (32, _QUICK),
    "resnet18": (32, {}),
    "resnet50": (32, {}),
    "resnext50_32x4d": (32, {}),
    "densenet121": (32, {}),
    "googlenet": (32, _QUICK),
    "inception_v3": (75, _QUICK),
    "mobilenet_v2": (32, {}),
    "mobilenet_v3_small": (32, {}),
    "mobilenet_v3_large": (32, {}),
    "shufflenet_v2_x1_0": (32, {}),
    "squeezenet1_1": (32, {}),
    "efficientnet_b0": (32, {}),
    "efficientnet_v2_s": (32, {}),
    "regnet_x_400mf": (32, {}),
    "regnet_y_400mf": (32, {}),
    "mnasnet0_5": (32, {}),
    "convnext_tiny": (32, {}),
    "vit_b_16": (32, {"image_size": 32}),
    "swin_t": (64, {}),
    "swin_v2_t": (64, {}),
    "maxvit_t": (224, {}),
}
WIDTHS = {  # channels of containers and functions, which no weight tells: from the papers
    "resnet50": {"layer1": 256, "layer1.0.(add)": 256, "layer4.2": 2048},
    "densenet121": {"features.denseblock1": 256, "features.denseblock4": 1024},
    "shufflenet_v2_x1_0": {"stage2.0": 116, "stage2.0.(cat)": 116, "stage4": 464},
    "convnext_tiny": {"features.1.0": 96, "features.1.0.(add)": 96, "features.1.0.(mul)": 96, "features.7": 768},
    "vit_b_16": {"encoder": 768, "encoder.layers.encoder_layer_3": 768, "encoder.layers.encoder_layer_3.(add)": 768},
    "swin_t": {"features.0": 96, "features.1.1": 96, "features.1.1.(add)": 96, "features.1.1.attn": 96, "features.7": 768},
    "swin_v2_t": {"features.0": 96, "features.1.1.(add)": 96, "features.3": 192, "features.7": 768},
    "maxvit_t": {"blocks.0": 64, "blocks.1.layers.0": 128, "blocks.3.layers.1.layers.grid_attention": 512},
}
ATTENTIONS = {"vit_b_16": (12, 1), "swin_t": (3, 9), "swin_v2_t": (3, 4), "maxvit_t": (2, 64)}
"""Heads and windows of the first attention."""


def captured(model: nn.Module, found: Structure, batch: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes of the maps of all rows that have some, and what went wrong, by id: one pass."""
    torch.manual_seed(0)
    images, modules = torch.rand(batch, *found.input_shape), dict(model.named_modules())
    shapes: dict[str, tuple[tuple[int, ...], str]] = {}

    def visit_of(row: Row) -> Callable[[Any], None]:
        def visit(result: Any) -> None:
            try:
                maps = as_maps(result, batch, row.site, modules.get(row.name), row.layout, found.input_shape[1:]).values
                shapes[row.id] = (tuple(maps.shape), "")
            except NnwError as error:
                shapes[row.id] = ((), str(error))

        return visit

    with reading(model), torch.inference_mode():
        run(model, images, {row.site: visit_of(row) for row in found.rows if row.maps})
    return shapes


def check_figures(found: Structure, traced: Trace) -> None:
    """Parameters and MACs of the rows are those of the network; containers are the sums of what is in them."""
    leaves = [row for row in found.rows if not row.container]
    assert sum(row.macs for row in leaves) == found.total_macs == traced.macs > 0
    unused = [int(note.split(" ")[0].replace(",", "")) for note in found.notes if "not used" in note]
    assert sum(row.params for row in leaves) + sum(unused) == found.total_params
    assert len({row.id for row in found.rows}) == len({(row.name, row.call) for row in found.rows}) == len(found.rows)
    for row in found.rows:
        if row.container:
            inside = [other for other in found.rows if other.parent == row.id]
            assert (row.params, row.macs) == (sum(o.params for o in inside), sum(o.macs for o in inside)), row.id
        assert not row.parent or found.find(row.parent).depth == row.depth - 1


def check_maps(model: nn.Module, found: Structure, batch: int) -> None:
    """Each row that says so gives (B, C, H, W), with the channels that its layer has."""
    modules, shapes = dict(model.named_modules()), captured(model, found, batch)
    assert set(shapes) == {row.id for row in found.rows if row.maps}
    for key, (shape, error) in shapes.items():
        module = modules.get(found.find(key).name)
        assert not error and len(shape) == 4 and shape[0] == batch and 0 not in shape, (key, shape, error)
        width = next((getattr(module, n) for n in ("out_channels", "out_features", "num_features") if hasattr(module, n)), None)
        if isinstance(module, nn.LayerNorm):
            width = module.normalized_shape[-1]
        assert width in (None, shape[1]), (key, shape, width)


def check_filters(model: nn.Module, found: Structure) -> None:
    """Each row that says so has tiles, one an output; the largest are left out for the memory that a copy takes."""
    for row in found.rows:
        if row.filters and row.params < 4_000_000:
            shown = filters(model, row.name)
            layer = model.get_submodule(row.name)
            outputs = next((getattr(layer, n) for n in ("out_channels", "out_features") if hasattr(layer, n)), None)
            assert outputs in (None, len(shown.tiles)), row.id


def hooks_of(model: nn.Module) -> Iterator[int]:
    """How many hooks each module has."""
    for module in model.modules():
        yield len(module._forward_hooks) + len(module._forward_pre_hooks)


def check_attention(model: nn.Module, found: Structure, name: str) -> None:
    """The first and the last layer that attend: rows sum to 1."""
    rows = [row for row in found.rows if row.attention and not row.container] or [row for row in found.rows if row.attention]
    assert bool(rows) == (name in ATTENTIONS)
    for row in rows[:1] + rows[-1:]:
        maps = attention(model, torch.rand(1, *found.input_shape), row.name, row.call)
        assert torch.allclose(maps.weights.sum(-1), torch.ones(maps.weights.shape[:-1]), atol=1e-5)
        assert row is rows[-1] or (maps.heads, maps.windows) == ATTENTIONS[name]


@pytest.mark.parametrize("name", NETS)
def test_net_can_be_looked_into(name: str) -> None:
    """All rows, in one pass; what cannot be shown is inside window attention alone."""
    size, settings = NETS[name]
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, **settings).eval()
    traced = trace(model, (3, size, size))
    found = structure(model, (3, size, size), traced)
    check_figures(found, traced)
    check_maps(model, found, batch=1 if name == "maxvit_t" else 2)
    check_filters(model, found)
    check_attention(model, found, name)
    images = torch.rand(1, 3, size, size)
    for place, width in WIDTHS.get(name, {}).items():
        assert feature_maps(model, images, place).shape[1] == width, place
    hidden = [row for row in found.rows if not row.maps]
    assert all(".attn" in row.name and row.reason for row in hidden)
    assert bool(hidden) == (name in ("swin_t", "swin_v2_t", "maxvit_t"))
    assert set(hooks_of(model)) == {0} and not any(module.training for module in model.modules())


def test_swin_says_what_cannot_be_shown() -> None:
    """Windows that are folded into the batch, and the table of positions, which no image changes."""
    with torch.device("meta"):
        model = torchvision.models.swin_v2_t(weights=None)
    found = structure(model, (3, 224, 224))
    hidden = [row for row in found.rows if row.name.startswith("features.1.0.attn.") and not row.maps]
    constant = "gives the same for every image"
    assert Counter(row.reason == constant for row in hidden) == {True: 4, False: 9}
    assert {row.name for row in hidden if row.reason == constant} == {
        f"features.1.0.attn.cpb_mlp{end}" for end in ("", ".0", ".1", ".2")
    }
    softmax = found.find("features.1.0.attn.(softmax)")
    assert softmax.reason == "gives shape (49, 3, 64, 64), which is not one result for each image"
    assert found.find("features.1.0.attn").attention and found.find("features.1.0.attn").maps


def names_not_shown(found: Structure) -> set[str]:
    """First parts of the names of what has no maps."""
    return {row.name.split(".")[0] for row in found.rows if not row.maps}


def test_detection_net_can_be_looked_into() -> None:
    """Faster R-CNN: backbone, pyramid and proposals, level by level; boxes and regions are refused."""
    torch.manual_seed(0)
    make = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    model = make(weights=None, weights_backbone=None, min_size=96, max_size=96).eval()
    traced = trace(model, (3, 96, 96))
    found = structure(model, (3, 96, 96), traced)
    check_figures(found, traced)
    check_maps(model, found, batch=1)
    check_filters(model, found)
    assert {name for name in names_not_shown(found) if "(" not in name} == {"transform", "rpn", "roi_heads"}
    assert found.find("transform").reason == "gives no tensor"
    assert "not one result for each image" in found.find("roi_heads.box_head.fc7").reason
    assert found.find("rpn.head.conv#2").maps and found.find("backbone.fpn").shape[0] == 256
    assert set(hooks_of(model)) == {0}


def test_segmentation_net_can_be_looked_into() -> None:
    """LR-ASPP: all of it, to the dictionary that it answers."""
    torch.manual_seed(0)
    model = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    traced = trace(model, (3, 64, 64))
    found = structure(model, (3, 64, 64), traced)
    check_figures(found, traced)
    check_maps(model, found, batch=2)
    assert not names_not_shown(found) and found.output_shapes == ((21, 64, 64),)
    assert feature_maps(model, torch.rand(1, 3, 64, 64), "").shape == (1, 21, 64, 64)
    assert feature_maps(model, torch.rand(1, 3, 64, 96), "classifier").shape == (1, 21, 8, 12)
