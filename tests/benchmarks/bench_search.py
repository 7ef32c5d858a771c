"""Find the smallest network that meets a goal: our search against what one writes by hand, in the same seconds and in five times
them.

By hand: for settings in random order (criterion, spread, bits, a share from 5 to 95 %) compress, measure on all of S_val, keep
the smallest that meets the goal. It chooses from the same criteria, spreads and bits.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from figures import Figure

from nnwidgets.engine import Pruning, Quantization, Recipe, compress, cost, evaluate, find_smallest
from nnwidgets.engine.zoo import example_parts
from nnwidgets.engine.zoo.examples import ExampleParts

_NETS = {"LeNet-5": "digits/lenet5", "ResNet-20": "digits/resnet20", "small VGG": "shapes/vgg_small"}
_SLACK = 0.01  # of accuracy, below the network as it is
_BUDGET, _SEEDS, _LONGER = 20.0, 3, 5
_CRITERIA, _SPREADS, _BITS = ("magnitude", "wanda", "taylor", "obd"), ("global", "erk", "uniform"), (32, 8, 6, 5, 4, 3, 2)
_SHARES = tuple(round(0.05 * i, 2) for i in range(1, 20))


def _by_hand(parts: ExampleParts, goal: float, budget: float, seed: int) -> tuple[int, int]:
    """Bytes of the smallest that was found in ``budget`` seconds, and in five times them."""
    draw, began = random.Random(seed), time.perf_counter()
    smallest = cost(parts.model, parts.val.sample_shape).bytes_encoded
    at_budget = smallest
    while time.perf_counter() - began < _LONGER * budget:
        bits = draw.choice(_BITS)
        pruning = Pruning(draw.choice(_SHARES), criterion=draw.choice(_CRITERIA), allocation=draw.choice(_SPREADS))
        recipe = Recipe(pruning, None if bits == 32 else Quantization(weight_bits=bits))
        size = cost(parts.model, parts.val.sample_shape, recipe, calibration=parts.train).bytes_encoded
        if size < smallest and evaluate(compress(parts.model, recipe, parts.train), parts.val).error <= goal:
            smallest = size
            if time.perf_counter() - began <= budget:
                at_budget = smallest
    return at_budget, smallest


def figures() -> Iterator[Figure]:
    """Bytes found by hand / bytes found by the search, three seeds."""
    for title, name in _NETS.items():
        parts = example_parts(name)
        goal = evaluate(parts.model, parts.val).error + _SLACK
        same, longer, took = [], [], []
        for seed in range(_SEEDS):
            found = find_smallest(parts.model, parts.val, goal, budget_s=_BUDGET, calibration=parts.train, seed=seed)
            early, late = _by_hand(parts, goal, found.seconds, seed)
            same.append(early / found.best.bytes_encoded)
            longer.append(late / found.best.bytes_encoded)
            took.append(found.seconds)
        note = f"search: {min(took):.0f} to {max(took):.0f} s"
        yield Figure(f"{title}, encoded size: by hand / find_smallest, the same seconds", tuple(same), note=note)
        yield Figure(f"{title}, encoded size: by hand in {_LONGER} times the seconds / find_smallest", tuple(longer), note=note)
