"""What one move of the slider costs before an image is looked at: size, sparsity and MACs of a network of VGG size."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from figures import Figure
from nets import vgg16_bn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.values.recipe import Pruning, Recipe

_AMOUNTS = tuple(round(0.05 + 0.9 * i / 199, 4) for i in range(200))
_REPEATS = 7


def figures() -> Iterator[Figure]:
    """All figures of a position, against finding the same threshold with np.partition."""
    model = vgg16_bn()
    plan = CompressionPlan(model, (3, 32, 32))
    weights = np.concatenate(
        [
            model.get_submodule(layer.module_name)._parameters[layer.parameter].detach().abs().numpy().ravel()
            for layer in plan.layers
        ]  # type: ignore[union-attr]
    )
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
    yield Figure(
        f"slider to size, MAC and sparsity figures, {len(weights) / 1e6:.1f} M weights: np.partition / ours",
        tuple(b / a for a, b in zip(ours, naive, strict=True)),
        (">=", 100.0),
        note=note,
    )
