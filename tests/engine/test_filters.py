"""Whole filters: which go, what goes with them, and that no layer loses all."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from oracle_plan import Small
from torch import nn

from nnwidgets.engine.compression import CompressionPlan, bake, compress
from nnwidgets.engine.errors import ModelError, RecipeError
from nnwidgets.engine.pruning import filter_matrix, filter_scores, filters_to_weights, largest_share, select_filters
from nnwidgets.engine.trace import weight_layers
from nnwidgets.engine.values.recipe import Pruning, Recipe


def test_filter_matrix_has_the_weights_of_each_output_channel() -> None:
    """Checked by switching one filter off and looking at which channel falls silent: plain, grouped, transposed grouped."""
    for conv in (
        nn.Conv2d(4, 6, 3, groups=2, bias=False),
        nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False),
        nn.Conv1d(3, 5, 2, bias=False),
    ):
        (layer,) = weight_layers(nn.Sequential(conv))
        x = torch.rand(1, conv.in_channels, *[7] * (conv.weight.dim() - 2))
        for channel in range(conv.out_channels):
            keep = torch.arange(conv.out_channels) != channel
            silent = copy.deepcopy(conv)
            with torch.no_grad():
                silent.weight.mul_(filters_to_weights(keep, layer))
                norms = silent(x).abs().flatten(2).amax(2)[0]
            assert torch.equal(norms > 0, keep)
            assert torch.equal(filter_matrix(silent.weight, layer).abs().sum(1) > 0, keep)


def test_scores_are_mean_magnitude_or_root_mean_square() -> None:
    """In float64."""
    conv = nn.Conv2d(3, 4, 3)
    (layer,) = weight_layers(nn.Sequential(conv))
    rows = conv.weight.detach().double().reshape(4, -1)
    assert torch.allclose(filter_scores(conv.weight, layer, 1), rows.abs().sum(1) / 27, rtol=1e-12)
    assert torch.allclose(filter_scores(conv.weight, layer, 2), rows.norm(dim=1) / math.sqrt(27), rtol=1e-12)


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


@pytest.mark.parametrize("allocation", ["global", "uniform", {"conv1": 0.5}])
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_masked_maps_are_zero_after_their_batch_norm(allocation: object, criterion: str) -> None:
    """Filter, bias, scale and shift are zero, so that a network without them computes the same."""
    net = Small()
    recipe = Recipe(Pruning(0.34, "filter", criterion, allocation))  # type: ignore[arg-type]
    twin = bake(compress(net, recipe))
    seen: dict[str, torch.Tensor] = {}
    for name in ("norm1", "norm2", "up"):
        twin.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))  # type: ignore[misc]
    twin(torch.rand(2, *net.shape))
    removed = 0
    for conv, out in (("conv1", "norm1"), ("conv2", "norm2"), ("up", "up")):
        layer = next(x for x in weight_layers(twin) if x.name == conv)
        gone = filter_matrix(twin.get_submodule(conv).weight, layer).abs().sum(1) == 0
        removed += int(gone.sum())
        assert (seen[out][:, gone] == 0).all() and (seen[out][:, ~gone].abs().amax((0, 2, 3)) > 0).all()
    assert removed == (
        round(0.34 * 16)
        if allocation == "global"
        else sum(round(a * n) for a, n in zip(_each(allocation), (6, 6, 4), strict=True))
    )
    assert twin.out.weight.abs().min() > 0


def _each(allocation: object) -> tuple[float, ...]:
    return (0.5 if isinstance(allocation, dict) else 0.34, 0.34, 0.34)


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
    assert plan.filter_layers == ("conv1", "conv2", "up")


def test_the_output_layer_keeps_its_filters() -> None:
    """A convolution that gives the answer has the classes as its filters."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert CompressionPlan(net, (1, 8, 8)).filter_layers == ("0",)
    assert CompressionPlan(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2)).filter_layers == ()


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
