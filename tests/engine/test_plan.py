"""Instant figures and live weights equal those of the slow way."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracle_plan import Small, entropy_free_bytes, same_bits
from torch import nn

from nnwidgets.engine.compression import CompressionPlan, bake, compress, cost
from nnwidgets.engine.errors import InputError, ModelError, RecipeError
from nnwidgets.engine.quantization import Grid
from nnwidgets.engine.trace import fingerprint
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

PRUNINGS = [
    None,
    Pruning(0),
    Pruning(0.1),
    Pruning(0.9, exclude=("conv1",)),
    Pruning(0.999),
    Pruning(0.6, allocation="uniform"),
    Pruning(0.1, allocation={"hidden": 0.95, "conv1": 0.0}),
    Pruning(0.5, criterion="random"),
    Pruning(0.4, "filter", norm=2),
    Pruning(0.3, "filter", allocation="uniform", criterion="random"),
    Pruning(0.0, masks={"out": np.arange(640).reshape(5, 128) % 3 == 0}),
]
QUANTIZATIONS = [
    None,
    Quantization(8),
    Quantization(4, granularity="tensor"),
    Quantization(3, symmetric=False),
    Quantization(1),
    Quantization(4, observer="mse"),
    Quantization(2, method="ternary", observer="kl"),
    Quantization(5, method="codebook"),
    Quantization({"hidden": 1, "conv1": 2, "out": 8}, method="codebook", granularity="tensor"),
    Quantization(3, symmetric=False, observer="percentile", percentile=90),
    Quantization(6, granularity="tensor", observer="kl", power_of_two=True),
    Quantization(1, symmetric=False, granularity="tensor"),
    Quantization({"hidden": 2, "up": 5}),
    Quantization({"hidden": 2, "up": 5, "out": 1}, observer="learned", scales={"tied": [0.02 + i / 999 for i in range(128)]}),
]
RECIPES = [Recipe(p, q) for p in PRUNINGS for q in QUANTIZATIONS]


def nets() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks of several kinds, one with zeros in it, one in half precision."""
    torch.manual_seed(0)
    zeros = bake(compress(Small(), Recipe(Pruning(0.4))))
    return {
        "small": (Small(), Small.shape),
        "with zeros": (zeros, Small.shape),
        "double": (Small().double(), Small.shape),
        "half": (Small().bfloat16(), Small.shape),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["small", "with zeros", "double", "half"])
def test_instant_figures_equal_the_slow_ones(kind: str) -> None:
    """Every field of every layer, for every recipe; asked twice, and after other recipes."""
    net, shape = nets()[kind]
    plan = CompressionPlan(net, shape)
    for recipe in RECIPES:
        assert plan.figures(recipe) == cost(net, shape, recipe) == plan.figures(recipe)


def test_loaded_weights_equal_baked_ones() -> None:
    """Bit for bit, for every recipe one after the other in the same copy; at the end the dense network is back (FAULTS 38)."""
    net = Small()
    plan, work = CompressionPlan(net, net.shape), copy.deepcopy(net)
    before = fingerprint(net)
    for recipe in RECIPES:
        plan.load(recipe, work)
        assert same_bits(work, bake(compress(net, recipe)))
    plan.load(Recipe(), work)
    assert fingerprint(work) == fingerprint(net) == before


def test_up_and_down_is_the_same_at_every_position() -> None:
    """Sixty positions of a slider, up and back."""
    net = Small()
    plan, work = CompressionPlan(net, net.shape), copy.deepcopy(net)
    seen: dict[float, dict[str, torch.Tensor]] = {}
    for amount in [i / 60 for i in (*range(60), *reversed(range(60)))]:
        plan.load(Recipe(Pruning(amount)), work)
        state = {k: v.clone() for k, v in work.state_dict().items()}
        for key, value in seen.setdefault(amount, state).items():
            assert torch.equal(value, state[key])


def test_figures_are_those_of_counting() -> None:
    """Nominal and encoded bytes, nonzero weights and MACs of each layer, by counting elements of the compressed tensors."""
    net, recipe = Small(), Recipe(Pruning(0.85), Quantization({"hidden": 4}))
    found = CompressionPlan(net, net.shape).figures(recipe)
    plain = bake(compress(net, recipe))
    positions = {"conv1": 144, "conv2": 144, "up": 144, "hidden": 2, "out": 1}  # of "hidden", its tied call included
    for name, row in found.layers.items():
        weight = plain.get_submodule(name).weight.detach()
        counted = entropy_free_bytes(weight, row.bits)
        scales = 4 * 128 if name == "hidden" else 0
        assert row.bits == (4 if name == "hidden" else 32) and row.nonzero == int((weight != 0).sum())
        assert row.bytes_encoded - scales == min(counted.values()) == counted[row.encoding]
        assert row.bytes_nominal == -(-row.nonzero * row.bits // 8)
        assert row.macs == positions[name] * weight.numel() and row.macs_nonzero == positions[name] * row.nonzero
    parameters = {id(p): p for p in plain.parameters()}.values()
    assert found.params == sum(p.numel() for p in parameters)
    assert found.nonzero == sum(int((p != 0).sum()) for p in parameters)
    assert found.macs == sum(row.macs for row in found.layers.values())


def test_more_pruning_never_costs_more() -> None:
    """Nonzero weights and nominal bytes fall with the amount; encoded bytes never exceed those of the dense file."""
    plan = CompressionPlan(Small(), Small.shape)
    costs = [plan.figures(Recipe(Pruning(i / 50))) for i in range(50)]
    for less, more in pairwise(costs):
        assert (
            more.nonzero <= less.nonzero and more.bytes_nominal <= less.bytes_nominal and more.macs_nonzero <= less.macs_nonzero
        )
        assert more.bytes_encoded <= costs[0].bytes_encoded and more.macs == less.macs


def test_the_cost_of_a_compressed_copy_counts_its_masks() -> None:
    """As the plan does, only in the bits that are really there."""
    net, recipe = Small(), Recipe(Pruning(0.8))
    assert cost(compress(net, recipe), net.shape) == CompressionPlan(net, net.shape).figures(recipe)


def test_on_disk_is_measured_when_asked() -> None:
    """None until then, and what was promised."""
    found = cost(Small(), Small.shape, Recipe(Pruning(0.8)), on_disk=True)
    assert found.bytes_on_disk == found.bytes_encoded and replace(found, bytes_on_disk=None) == cost(
        Small(), Small.shape, Recipe(Pruning(0.8))
    )


def test_masks_and_thresholds_agree() -> None:
    """What is above the threshold is kept, what is below is not; layers that lose nothing have none."""
    net = Small()
    plan = CompressionPlan(net, net.shape)
    recipe = Recipe(Pruning(0.5, allocation={"conv1": 0.0}))
    masks = plan.masks(recipe)
    assert (
        list(masks) == [layer.name for layer in plan.layers] and plan.threshold(recipe, "conv1") is None and masks["conv1"].all()
    )
    for name in ("conv2", "hidden", "out"):
        threshold, size = plan.threshold(recipe, name), net.get_submodule(name).weight.abs()
        assert threshold is not None and (size[masks[name]] >= threshold).all() and (size[~masks[name]] <= threshold).all()
    assert plan.threshold(Recipe(Pruning(0.5, "filter")), "hidden") is None and plan.threshold(Recipe(), "hidden") is None
    assert plan.threshold(Recipe(Pruning(0.5, criterion="random")), "hidden") is None


def test_quantized_layers_show_their_grid() -> None:
    """The grid that load writes; None where weights stay as they are."""
    net, recipe = Small(), Recipe(Pruning(0.5), Quantization({"out": 3}))
    plan, work = CompressionPlan(net, net.shape), copy.deepcopy(net)
    plan.load(recipe, work)
    found = plan.quantized(recipe, "out")
    assert found is not None and torch.equal(found.dequantized, work.out.weight) and plan.quantized(recipe, "hidden") is None


def test_wrong_targets_are_refused_and_nothing_is_written() -> None:
    """The network itself, another architecture, a masked copy."""
    net = Small()
    plan, before = CompressionPlan(net, net.shape), fingerprint(net)
    for target in (net, nn.Linear(3, 4), compress(net, Recipe(Pruning(0.5)))):
        state = fingerprint(target)
        with pytest.raises(ModelError):
            plan.load(Recipe(Pruning(0.9)), target)
        assert fingerprint(target) == state
    assert fingerprint(net) == before


def test_unknown_names_are_answered_with_the_nearest() -> None:
    """Of layers; and a number is no pruning."""
    plan = CompressionPlan(Small(), Small.shape)
    with pytest.raises(RecipeError, match="did you mean 'hidden'"):
        plan.threshold(Recipe(Pruning(0.5)), "hiden")
    with pytest.raises(InputError, match="Pruning"):
        plan.largest_amount(0.5)  # type: ignore[arg-type]


def test_figures_can_be_asked_for_from_several_threads() -> None:
    """Each gets the figures of its own recipe."""
    plan = CompressionPlan(Small(), Small.shape)
    expected = {recipe: plan.figures(recipe).bytes_encoded for recipe in RECIPES}
    fresh, wrong = CompressionPlan(Small(), Small.shape), []

    def ask(offset: int) -> None:
        for recipe in RECIPES[offset:] + RECIPES[:offset]:
            if fresh.figures(recipe).bytes_encoded != expected[recipe]:
                wrong.append(recipe)

    threads = [threading.Thread(target=ask, args=(i * 7,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("settings", [Quantization(4, observer="mse"), Quantization(4, method="codebook")])
def test_a_grid_is_fitted_once(monkeypatch: pytest.MonkeyPatch, settings: Quantization) -> None:
    """Figures, weights and a look at a layer of one recipe share it; another has its own. It may be done before, by layer."""
    net, asked = Small(), list[str]()
    plan, fit = CompressionPlan(net, net.shape), Grid.fit
    monkeypatch.setattr(Grid, "fit", lambda grid, *args: asked.append(grid.method) or fit(grid, *args))
    for recipe in (Recipe(None, settings), Recipe(Pruning(0.5), settings)):
        if recipe.pruning is not None:
            assert [len(asked) for _ in plan.fitting(recipe)] == [1, 2, 3, 4, 5]
        plan.figures(recipe)
        once = len(asked)
        assert once == len(plan.layers)
        assert len(list(plan.making(recipe))) == once and len(asked) == once
        plan.load(recipe, copy.deepcopy(net))
        assert plan.rounding(recipe, plan.layers[0].name) is not None and len(asked) == once
        asked.clear()
