"""The sensitivity scan against the loop that users write: compress one layer, bake, look at every image, start again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from figures import Figure, ratios
from torch import nn

import nnwidgets.engine as engine
from nnwidgets.engine.trace import weight_layers
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo import example_parts

AMOUNTS = (0.5, 0.8, 0.95)
_BATCH = 64
_REACH = (">=", 2.5)


def naive(model: nn.Module, split: Split) -> dict[tuple[str, float], int]:
    """Right answers of each candidate, and of the network as it is under ("", 0), in eager float32, batches of 64."""
    found = {("", 0.0): _right(model, split)}
    for layer in weight_layers(model):
        for amount in AMOUNTS:
            recipe = Recipe(Pruning(0.0, allocation={layer.name: amount}))
            found[layer.name, amount] = _right(engine.bake(engine.compress(model, recipe)), split)
    return found


def _right(model: nn.Module, split: Split) -> int:
    model.eval()
    right = 0
    labels = split.labels
    assert labels is not None
    for start in range(0, len(split), _BATCH):
        with torch.inference_mode():
            answers = model(split.inputs(slice(start, start + _BATCH))).argmax(1)
        right += int((answers == labels[start : start + _BATCH]).sum())
    return right


def vgg16_bn() -> nn.Module:
    """VGG16 with batch-norm for 32 x 32 images: 14.7 million weights; as drawn, for only the time counts."""
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    inside = 3
    for size in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if size:
            parts += [nn.Conv2d(inside, size, 3, padding=1), nn.BatchNorm2d(size), nn.ReLU(inplace=True)]
            inside = size
        else:
            parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(512, 10)).eval()


def figures() -> Iterator[Figure]:
    """Naive scan / ours on one thread of work, in CPU seconds, and how far the answers differ."""
    for name, n, repeats in (("digits/lenet5", 500, 5), ("digits/resnet20", 100, 3), ("shapes/vgg_small", 200, 3)):
        parts = example_parts(name)
        yield from _figures(name.split("/")[1], parts.model, parts.val.take(range(n)), repeats)
    draw = torch.Generator().manual_seed(0)
    few = Split(torch.randn(32, 3, 32, 32, generator=draw), torch.randint(0, 10, (32,), generator=draw))
    yield from _figures("VGG16-BN, 14.7 M weights, 32 x 32", vgg16_bn(), few, 3)


def _figures(name: str, model: nn.Module, split: Split, repeats: int) -> Iterator[Figure]:
    values = ratios(
        lambda: naive(model, split), lambda: engine.sensitivity_scan(model, split, AMOUNTS), repeats, clock=time.process_time
    )
    what = f"{name}, {len(split)} images, {len(AMOUNTS)} amounts a layer"
    yield Figure(f"sensitivity scan, {what}: naive / ours", values, _REACH, note="CPU time")
    table = engine.sensitivity_scan(model, split, AMOUNTS)
    wanted = naive(model, split)
    off = [abs(round(row.accuracy * len(split)) - wanted[row.layer, row.amount]) for row in table.itertuples()]
    yield Figure(f"sensitivity scan, {name}: right answers that differ from the naive ones", (float(max(off)),), ("<=", 1), "")
