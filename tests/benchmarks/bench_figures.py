"""What one move of the slider costs before an image is looked at: size, sparsity and MACs of a network of VGG size."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from figures import Figure
from nets import vgg16_bn
from torch import nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.trace import weight_of
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.zoo import example_parts

_AMOUNTS = tuple(round(0.05 + 0.9 * i / 199, 4) for i in range(200))
_REPEATS = 7


def figures() -> Iterator[Figure]:
    """All figures of a position against finding the same threshold with np.partition, of a move in bits against rounding."""
    model = vgg16_bn()
    plan = CompressionPlan(model, (3, 32, 32))
    yield _thresholds(plan, model)
    yield _bits("14.7 M weights", plan, (">=", 5.0))
    small = example_parts("shapes/vgg_small")
    yield _bits("small VGG", CompressionPlan(small.model, small.test.sample_shape), None)


def _bits(what: str, plan: CompressionPlan, reach: tuple[str, float] | None) -> Figure:
    """Bits by the slider, with and without pruned weights; new settings each time, as nothing may be remembered."""
    plan.figures(Recipe(None, Quantization(8)))
    ours, slow = [], []
    for repeat in range(_REPEATS):
        amount = round(0.3 + 0.05 * repeat, 2)
        grids = [Quantization(bits, percentile=90 + amount) for bits in (7, 4, 3, 2)]  # which nothing is done with here
        moves = [Recipe(Pruning(amount) if repeat % 2 else None, grid) for grid in grids]
        began = time.process_time()
        found = [plan.figures(move) for move in moves]
        ours.append((time.process_time() - began) / len(moves))
        began = time.process_time()
        for move, costs in zip(moves, found, strict=True):
            decision = plan.decision(move)
            assert all(decision.count_nonzero(name) == row.nonzero for name, row in costs.layers.items())
        slow.append((time.process_time() - began) / len(moves))
    note = f"{1e3 * float(np.median(ours)):.1f} ms a move; rounding all weights {1e3 * float(np.median(slow)):.0f} ms"
    ratios = tuple(b / a for a, b in zip(ours, slow, strict=True))
    return Figure(f"bits to size and sparsity figures, {what}: rounding and counting / ours", ratios, reach, note=note)


def _thresholds(plan: CompressionPlan, model: nn.Module) -> Figure:
    weights = np.concatenate([weight_of(model, layer).detach().abs().numpy().ravel() for layer in plan.layers])
    for amount in _AMOUNTS[::40]:  # the two find the same
        count = round(amount * len(weights))
        recipe = Recipe(Pruning(amount))
        thresholds = [plan.threshold(recipe, layer.name) or 0.0 for layer in plan.layers]
        assert max(thresholds) == np.partition(weights, count - 1)[count - 1]
        assert sum(layer.nonzero for layer in plan.figures(recipe).layers.values()) == len(weights) - count
    ours, naive = [], []
    for repeat in range(_REPEATS):
        began = time.process_time()
        for amount in _AMOUNTS:
            plan.figures(Recipe(Pruning(round(amount + 1e-4 * repeat, 6))))
        ours.append((time.process_time() - began) / len(_AMOUNTS))
        count = round(_AMOUNTS[29 * repeat] * len(weights))
        began = time.process_time()
        np.partition(weights, count - 1)
        naive.append(time.process_time() - began)
    note = f"{1e6 * float(np.median(ours)):.0f} us a position; np.partition alone {1e3 * float(np.median(naive)):.0f} ms"
    return Figure(
        f"slider to size, MAC and sparsity figures, {len(weights) / 1e6:.1f} M weights: np.partition / ours",
        tuple(b / a for a, b in zip(ours, naive, strict=True)),
        (">=", 100.0),
        note=note,
    )
