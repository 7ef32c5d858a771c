"""One ranking of scores in the scale of their own layer: written out, and blind to the scale of a layer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.compression import CompressionPlan

SHAPE = (1, 8, 8)
CRITERIA = ["magnitude", "taylor", "obd", "obd_hutchinson", "wanda", "movement", "random", "obs"]


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 10), nn.Linear(10, 4)
        ).eval()


def data() -> E.Split:
    draw = torch.Generator().manual_seed(2)
    return E.Split(torch.randn(40, *SHAPE, generator=draw), torch.randint(0, 4, (40,), generator=draw))


def kept(model: nn.Module, pruning: E.Pruning) -> dict[str, Tensor]:
    small = E.bake(E.compress(model, E.Recipe(pruning), data()))
    return {name: value != 0 for name, value in small.named_parameters() if value.dim() > 1}


def test_weights_by_hand() -> None:
    """|w| / sqrt(mean w^2) of each layer, the smallest of all together go."""
    model = net()
    weights = {name: value.detach() for name, value in model.named_parameters() if value.dim() > 1}
    scaled = {name: value.abs() / value.square().mean().sqrt() for name, value in weights.items()}
    together = torch.cat([value.reshape(-1) for value in scaled.values()])
    limit = together.sort().values[round(0.6 * len(together))]
    found = kept(model, E.Pruning(0.6, allocation="normalized"))
    for name, value in scaled.items():
        assert torch.equal(found[name], value >= limit)
    plan = CompressionPlan(model, SHAPE)
    recipe = E.Recipe(E.Pruning(0.6, allocation="normalized"))
    assert plan.figures(recipe).nonzero <= sum(value.numel() for value in model.parameters())
    assert plan.threshold(recipe, "0") is None, "the threshold is of scores, and no magnitude"


@pytest.mark.parametrize("structure", ["weight", "kernel", "filter"])
def test_a_layer_in_another_scale_loses_the_same(structure: str) -> None:
    """By magnitude, all weights of a layer a thousand times as large; one plain ranking would spare it."""
    model, loud = net(), net()
    with torch.no_grad():
        loud[2].weight.mul_(1024)  # type: ignore[union-attr,operator]
    asked = E.Pruning(0.4, structure, allocation="normalized")
    one, other = kept(model, asked), kept(loud, asked)
    assert all(torch.equal(one[name], other[name]) for name in one)
    plain = kept(loud, E.Pruning(0.4, structure))
    assert plain["2.weight"].flatten(1).any(1).all() and any(not torch.equal(plain[name], one[name]) for name in one)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("structure", ["weight", "filter"])
def test_every_criterion_takes_the_wanted_share(criterion: str, structure: str) -> None:
    """What is removed already goes first here too."""
    model = net()
    with torch.no_grad():
        model[0].weight[3] = 0  # type: ignore[index,union-attr]
        model[0].bias[3] = 0  # type: ignore[index,union-attr]
    found = kept(model, E.Pruning(0.5, structure, criterion, "normalized"))
    if criterion != "random":
        assert not found["0.weight"][3].any()
    if structure == "filter" and criterion != "random":
        assert int(found["0.weight"].flatten(1).any(1).sum() + found["2.weight"].flatten(1).any(1).sum()) == 7
    if structure == "weight" and criterion != "random":
        sizes: Any = [int(value.sum()) for value in found.values()]
        assert sum(sizes) == sum(value.numel() for value in found.values()) - round(0.5 * 1504)


def test_random_is_the_same_as_in_one_ranking() -> None:
    """Chance has one scale in all layers."""
    model = net()
    for structure in ("weight", "filter"):
        one, other = (kept(model, E.Pruning(0.5, structure, "random", way)) for way in ("global", "normalized"))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be() -> None:
    """A pattern takes the same of each layer; a layer would lose all; layers of zeros have no scale."""
    with pytest.raises(E.RecipeError, match="takes the same of each"):
        E.compress(net(), E.Recipe(E.Pruning(0.5, "2:4", allocation="normalized")))
    with pytest.raises(E.RecipeError, match="would leave none") as caught:
        E.compress(net(), E.Recipe(E.Pruning(0.95, "filter", allocation="normalized")))
    largest = caught.value.largest
    assert largest is not None and 0 < largest < 0.95
    assert CompressionPlan(net(), SHAPE).largest_amount(E.Pruning(0.5, "filter", allocation="normalized")) == largest
    E.compress(net(), E.Recipe(E.Pruning(largest, "filter", allocation="normalized")))
    silent = copy.deepcopy(net())
    with torch.no_grad():
        silent[5].weight.zero_()  # type: ignore[union-attr,operator]
    found = kept(silent, E.Pruning(0.7, allocation="normalized"))
    assert not found["5.weight"].any() and found["0.weight"].any()
