"""A move of the slider before an image is looked at, with every structure and criterion: scores are known, the share is new."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch
from figures import Figure
from nets import vgg16_bn
from torch import nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.compression.support import misfit
from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.zoo import example_parts

_STRUCTURES = ("weight", "kernel", "2:4", "filter", "neuron")
_AMOUNTS = tuple(round(0.05 + 0.03 * i, 4) for i in range(20))
_LIMIT = 40.0  # ms: half of what a move may take until its figures are painted


def _large() -> tuple[nn.Module, Split]:
    draw = torch.Generator().manual_seed(0)
    return vgg16_bn(), Split(torch.rand(16, 3, 32, 32, generator=draw), torch.arange(16) % 10)


def _bundled(name: str) -> tuple[nn.Module, Split]:
    parts = example_parts(name)
    return parts.model, parts.train.take(torch.arange(64))


def _moves(plan: CompressionPlan, structure: str, criterion: str) -> list[float]:
    """Milliseconds of each move; shares that would leave a layer without units are none."""
    took = []
    for amount in _AMOUNTS:
        recipe = Recipe(Pruning(0.5 if structure == "2:4" else amount, structure, criterion))
        began = time.perf_counter()
        try:
            plan.figures(recipe)
        except RecipeError:
            continue
        took.append(1e3 * (time.perf_counter() - began))
    return took


def figures() -> Iterator[Figure]:
    """For each structure the criterion that takes longest, all moves of it; the first move builds the table and is told apart."""
    cases = {"LeNet-5": _bundled("digits/lenet5"), "ResNet-20": _bundled("digits/resnet20"), "VGG16-BN, 14.7 M weights": _large()}
    for title, (model, split) in cases.items():
        plan = CompressionPlan(model, split.sample_shape, split=split)
        for structure in _STRUCTURES:
            later: dict[str, list[float]] = {}
            first: dict[str, float] = {}
            for criterion in CRITERIA:
                if misfit(Pruning(0.5, structure, criterion)) or (criterion == "movement" and title.startswith("VGG")):
                    continue  # movement trains an epoch first, minutes with this one
                for _ in plan.knowledge.steps(Recipe(Pruning(0.5, structure, criterion))):
                    pass
                moves = _moves(plan, structure, criterion)
                if len(moves) > 1:
                    first[criterion], later[criterion] = moves[0], moves[1:]
            if not later:
                continue
            slowest = max(later, key=lambda name: statistics.median(later[name]))
            longest = max(first, key=lambda name: first[name])
            yield Figure(
                f"{title}: share of {structure} to figures, slowest of {len(later)} criteria",
                tuple(later[slowest]),
                ("<=", _LIMIT),
                "ms",
                f"{slowest}; first move up to {first[longest]:.0f} ms ({longest})",
            )
