"""Whole filters: which go, what goes with them, and that no layer loses all."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from oracle_plan import Small
from torch import nn

from nnwidgets.engine.compression import CompressionPlan, bake, compress, cost, materialize
from nnwidgets.engine.errors import ModelError, RecipeError
from nnwidgets.engine.pruning import largest_share, select_filters
from nnwidgets.engine.values.recipe import Pruning, Recipe

SCORES = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([2.0, 2.0]), "c": torch.tensor([9.0])}


def test_the_least_important_go_first_and_ties_in_order() -> None:
    """Together: a0, then a1, b0, b1 which are equal."""
    kept = select_filters(SCORES, 3 / 6)
    assert {n: k.tolist() for n, k in kept.items()} == {"a": [False, False, True], "b": [False, True], "c": [True]}


@pytest.mark.parametrize("together", [True, False])
def test_the_largest_share_is_accepted_and_the_next_one_refused(together: bool) -> None:
    """FAULTS 37: a layer that would lose all is refused with the largest share that is not."""
    scores = SCORES if together else {n: SCORES[n] for n in "ab"}

    def ask(share: float) -> None:
        select_filters(scores, share if together else dict.fromkeys(scores, share))

    largest = largest_share(scores, together)
    ask(largest)
    with pytest.raises(RecipeError) as caught:
        ask(math.nextafter(largest, 1))
    assert caught.value.largest == largest


def test_uneven_shares_name_the_layer_and_its_own_largest() -> None:
    """Where each layer has its own share."""
    with pytest.raises(RecipeError, match="'b'") as caught:
        select_filters(SCORES, {"a": 0.1, "b": 0.9, "c": 0.2})
    assert caught.value.largest == largest_share({"b": SCORES["b"]}, together=False)


@pytest.mark.parametrize("allocation", ["global", "uniform", {"conv2": 0.4}])
@pytest.mark.parametrize("criterion", ["magnitude", "random", "bn_scale"])
def test_what_is_removed_is_silent_and_can_be_left_out(allocation: object, criterion: str) -> None:
    """Two convolutions that are added, one of them grouped: two channels go together, with all that makes and reads them."""
    net = Small()
    recipe = Recipe(Pruning(0.34, "filter", criterion, allocation))  # type: ignore[arg-type]
    twin, small = bake(compress(net, recipe)), materialize(net, recipe, net.shape)
    seen: dict[str, torch.Tensor] = {}
    for name in ("norm1", "norm2"):
        twin.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))  # type: ignore[misc]
    images = torch.rand(2, *net.shape)
    answers = twin(images)
    for name in ("norm1", "norm2"):
        silent = (seen[name] == 0).all(dim=3).all(dim=2).all(dim=0)
        assert int(silent.sum()) == 2
        assert torch.equal(silent, twin.get_submodule(name).weight == 0)
    assert torch.equal(twin.up.weight.flatten(1).abs().sum(1) == 0, silent)  # what reads them
    assert small.conv1.weight.shape == (4, 2, 3, 3) and small.conv2.weight.shape == (4, 2, 3, 3) and small.conv2.groups == 2
    assert small.norm1.num_features == 4 and small.up.weight.shape[0] == 4
    assert torch.allclose(small(images), answers, rtol=1e-5, atol=1e-6)
    cost_of_it = cost(net, net.shape, recipe)
    assert cost_of_it.macs_nonzero == cost(small, net.shape).macs < cost_of_it.macs
    assert cost_of_it.nonzero == sum(p.numel() for p in small.parameters())


def test_layers_that_are_coupled_get_one_share() -> None:
    """By hand: either of them, or both with the same."""
    net = Small()
    with pytest.raises(RecipeError, match=r"'conv1' 30\.0% and 'conv2' 60\.0%; these layers are coupled"):
        compress(net, Recipe(Pruning(0.0, "filter", allocation={"conv1": 0.3, "conv2": 0.6})))
    found = CompressionPlan(net, net.shape).masks(Recipe(Pruning(0.0, "filter", allocation={"conv2": 0.3})))
    assert int((~found["conv1"]).flatten(1).all(1).sum()) == 2


def test_the_plan_knows_the_largest_amount() -> None:
    """And the error of a recipe beyond it carries the same figure; the network and the target stay as they were."""
    net = Small()
    plan, work = CompressionPlan(net, net.shape), copy.deepcopy(net)
    largest = plan.largest_amount(Pruning(0, "filter"))
    plan.load(Recipe(Pruning(largest, "filter")), work)
    before = copy.deepcopy(work.state_dict())
    with pytest.raises(RecipeError) as caught:
        plan.load(Recipe(Pruning(math.nextafter(largest, 1), "filter")), work)
    assert caught.value.largest == largest and 0 < largest < 1
    assert all(torch.equal(before[k], v) for k, v in work.state_dict().items())
    assert plan.largest_amount(Pruning(0)) == math.nextafter(1, 0)
    assert plan.layers_with("filter") == ("conv1", "conv2")


def test_the_output_layer_keeps_its_filters() -> None:
    """A convolution that gives the answer has the classes as its filters."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert CompressionPlan(net, (1, 8, 8)).layers_with("filter") == ("0",)
    assert CompressionPlan(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2)).layers_with("filter") == ()


def test_networks_without_filters_say_so() -> None:
    """A chain of linear layers, and one whose only convolution is excluded."""
    with pytest.raises(RecipeError, match="no filters"):
        compress(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), Recipe(Pruning(0.5, "filter")))
    with pytest.raises(RecipeError, match="no filters"):
        compress(Small(), Recipe(Pruning(0.5, "filter", exclude=("conv1", "conv2", "up"))))
    with pytest.raises(RecipeError, match="'out'"):
        compress(Small(), Recipe(Pruning(0.3, "filter", allocation={"out": 0.5})))


def test_an_input_shape_that_cannot_be_guessed_is_asked_for() -> None:
    """A network that takes pictures of 50 by 50 only."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 48 * 48, 2))
    recipe = Recipe(Pruning(0.5, "filter"))
    with pytest.raises(ModelError, match="input_shape"):
        compress(net, recipe)
    assert int((bake(compress(net, recipe, input_shape=(1, 50, 50)))[0].weight.abs().sum((1, 2, 3)) == 0).sum()) == 2  # type: ignore[index, union-attr, operator]
