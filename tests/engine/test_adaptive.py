"""Adaptive rounding: up or down for all weights of an output together, against trying every combination."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import DataError, RecipeError
from nnwidgets.engine.quantization import Grid, adapting
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.steps import result_of


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moments(rows: int, width: int, seed: int = 0) -> Tensor:
    """Of inputs that go together, as those of a trained layer do."""
    inputs = (drawn(seed, rows, width) @ drawn(seed + 1, width, width)).double()
    return (inputs.T @ inputs / rows)[None]


def change(weight: Tensor, found: Tensor, hessian: Tensor) -> Tensor:
    """(O,) the mean square change of each output."""
    error = (found - weight).double().flatten(1)
    return torch.einsum("ok,kl,ol->o", error, hessian[0], error)


def best(weight: Tensor, grid: Grid, hessian: Tensor) -> Tensor:
    """(O,) the smallest change of all combinations, by trying them."""
    found = torch.full((len(weight),), float("inf"), dtype=torch.float64)
    for flags in itertools.product((False, True), repeat=weight.shape[1]):
        up = torch.tensor(flags).expand(weight.shape).clone()
        tried = grid.quantize(weight, up=up)
        found = torch.minimum(found, change(weight, tried.dequantized, hessian))
    return found


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]), st.sampled_from(["tensor", "channel"]), st.booleans())
def test_never_worse_than_the_nearest_and_a_local_minimum(seed: int, bits: int, granularity: str, symmetric: bool) -> None:
    """No single weight can go to its other level and make the change smaller; none leaves its two levels."""
    weight, hessian = drawn(seed, 5, 7), moments(40, 7, seed)
    grid = Grid(bits, granularity, symmetric)
    nearest = grid.quantize(weight)
    up = result_of(adapting(weight, nearest, hessian))
    found = grid.quantize(weight, up=up)
    after = change(weight, found.dequantized, hessian)
    assert bool((after <= change(weight, nearest.dequantized, hessian) * (1 + 1e-9)).all())
    assert torch.equal(found.scale, nearest.scale) and int((found.values - nearest.values).abs().max()) <= 1
    ratio = weight * (1.0 / found.scale.reshape(-1, 1)) + found.zero_point.reshape(-1, 1)
    between = (ratio - ratio.round()).abs() > 1e-4  # the others are on a level already
    for column in range(weight.shape[1]):
        other = up.clone()
        other[:, column] ^= between[:, column]
        assert bool((change(weight, grid.quantize(weight, up=other).dequantized, hessian) >= after * (1 - 1e-6) - 1e-12).all())


def test_close_to_the_best_of_all_combinations() -> None:
    """Nine weights an output, 36 outputs: within a quarter of the best in sum, where the nearest levels are twice as bad."""
    sums = torch.zeros(3, dtype=torch.float64)
    for seed in range(3):
        weight, hessian, grid = drawn(seed, 12, 9), moments(60, 9, 100 + seed), Grid(3)
        nearest = grid.quantize(weight)
        found = grid.quantize(weight, up=result_of(adapting(weight, nearest, hessian)))
        parts = best(weight, grid, hessian), *(change(weight, each.dequantized, hessian) for each in (found, nearest))
        sums += torch.stack([each.sum() for each in parts])
    assert sums[0] <= sums[1] < 1.25 * sums[0] and sums[2] > 2 * sums[0]


def test_independent_inputs_leave_the_nearest_levels() -> None:
    """With a diagonal H no weight has anything to make up for."""
    weight, hessian = drawn(1, 6, 10), torch.diag(torch.arange(1.0, 11.0, dtype=torch.float64))[None]
    nearest = Grid(4).quantize(weight)
    up = result_of(adapting(weight, nearest, hessian))
    assert torch.equal(Grid(4).quantize(weight, up=up).values, nearest.values)


def test_what_is_zero_stays_zero_and_groups_are_apart() -> None:
    """Removed weights are on a level already; each group has its own inputs."""
    weight, keep = drawn(2, 4, 3, 2, 2), torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)) > 0.4
    hessian = torch.cat([moments(50, 12, 1), moments(50, 12, 2)])
    grid = Grid(3)
    whole = result_of(adapting(weight * keep, grid.quantize(weight, keep), hessian))
    found = grid.quantize(weight, keep, up=whole)
    assert bool((found.dequantized[~keep] == 0).all())
    for group in range(2):
        part = slice(2 * group, 2 * group + 2)
        own = grid.quantize(weight[part], keep[part])
        assert torch.equal(result_of(adapting((weight * keep)[part], own, hessian[group : group + 1])), whole[part])


class Net(nn.Module):
    """A grouped convolution, a plain one, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(4)
            self.first, self.second = nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 6, 3)
            self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.second(self.first(x).relu()).relu().mean((2, 3)))
        return found


SPLIT = E.Split(drawn(7, 60, 4, 8, 8))


@pytest.mark.parametrize(
    "settings",
    [
        Quantization(3, rounding="adaptive"),
        Quantization(3, rounding="adaptive", observer="mse", granularity="tensor", symmetric=False),
        Quantization(2, rounding="adaptive", power_of_two=True, activation_bits=4),
        Quantization({"second": 3}, rounding="adaptive", equalize=True, bias_correction=True),
    ],
)
def test_a_plan_and_compress_and_files_agree(settings: Quantization, tmp_path: object) -> None:
    """The same bits by all ways, after one of them was changed to another recipe and back."""
    model, recipe = Net().eval(), Recipe(Pruning(0.3), settings)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    plan = CompressionPlan(model, (4, 8, 8), split=SPLIT)
    assert plan.missing(recipe)
    told = {what for what, _ in plan.preparing(recipe)}
    assert "moments" in told and ("equalize" in told) is settings.equalize and not plan.missing(recipe)
    work, one = Net().eval(), E.bake(E.compress(model, recipe, SPLIT)).eval()
    with torch.no_grad():
        for _ in plan.making(recipe):
            pass
        for each in (recipe, Recipe(None, Quantization(4)), recipe):
            plan.load(each, work)
        torch.testing.assert_close(work(SPLIT.images), one(SPLIT.images), rtol=0, atol=0)
        plan.load(Recipe(), work)
        assert all(torch.equal(value, state[name]) for name, value in work.state_dict().items())
    assert plan.figures(recipe) == E.cost(model, (4, 8, 8), recipe, calibration=SPLIT)
    if settings.activation_bits == 32:
        path = f"{tmp_path}/net.safetensors"
        size, loaded = plan.save(recipe, path), Net().eval()
        E.load_packed(path, loaded)
        assert all(torch.equal(loaded.state_dict()[name], value) for name, value in one.state_dict().items())
        assert size == plan.figures(recipe).bytes_encoded
    else:
        with torch.no_grad():
            whole = E.integer(model, recipe, SPLIT)
            assert (whole(SPLIT.images).argmax(1) == one(SPLIT.images).argmax(1)).double().mean() > 0.95
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_biases_count_as_they_are_before_they_are_corrected() -> None:
    """By a plan, whose figures ask for no pass over images, and by `cost`."""
    model, recipe = Net().eval(), Recipe(None, Quantization(2, bias_correction=True))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(0.0 if name.endswith("bias") else 1.0)
    plan = CompressionPlan(model, (4, 8, 8), split=SPLIT)
    told = plan.figures(recipe)
    assert told == E.cost(model, (4, 8, 8), recipe, calibration=SPLIT) == E.cost(model, (4, 8, 8), Recipe(None, Quantization(2)))


def test_gradients_pass_and_what_goes_up_stays() -> None:
    """A user's own loop may train a copy; the choice of the level above or below is a buffer."""
    compressed: Any = E.compress(Net(), Recipe(None, Quantization(3, rounding="adaptive")), SPLIT)
    part = compressed.first.parametrizations.weight[0]
    assert part.up.dtype is torch.bool and bool(part.up.any()) and "up" in dict(part.named_buffers())
    compressed(SPLIT.images).sum().backward()
    assert compressed.first.parametrizations.weight.original.grad.abs().sum() > 0


def test_bad_input_is_refused_in_words() -> None:
    """No images; ways to round that have a rule of their own; rounds of training."""
    with pytest.raises(DataError, match="rounding='adaptive' needs images"):
        E.compress(Net(), Recipe(None, Quantization(3, rounding="adaptive")), input_shape=(4, 8, 8))
    with pytest.raises(RecipeError, match="rule of its own"):
        E.compress(Net(), Recipe(None, Quantization(2, method="ternary", rounding="adaptive")), SPLIT)
    blind = CompressionPlan(Net(), (4, 8, 8))
    for ask in (blind.check, blind.figures, lambda recipe: list(blind.preparing(recipe))):
        with pytest.raises(DataError, match="rounding='adaptive' needs images"):
            ask(Recipe(None, Quantization(3, rounding="adaptive")))
    labelled = E.Split(SPLIT.images, torch.zeros(60, dtype=torch.int64))
    for flags in ({"rounding": "adaptive"}, {"equalize": True}, {"bias_correction": True}):
        recipe = Recipe(Pruning(0.5), Quantization(4, **flags))
        with pytest.raises(RecipeError, match="rounds of training"):
            next(iter(E.prune_and_tune(Net(), labelled, recipe)))


@pytest.mark.slow
def test_an_experiment_trains_what_is_left_of_remedies() -> None:
    """Fine-tuned, equalized channels and corrected biases are in the weights; the recipe asks for them no more; undo works."""
    exp = nw.load_example("shapes/vgg_small")
    asked = Recipe(None, Quantization(2, granularity="tensor", equalize=True, bias_correction=True, rounding="adaptive"))
    assert exp.train is not None and exp.test is not None
    few = exp.train.take(range(256))
    small = nw.Experiment(exp.model, train=few, test=exp.test.take(range(64)))
    small.apply(asked)
    state = small.fine_tune(E.TrainingSetup(lr=1e-4, epochs=1, batch_size=64))
    assert state.recipe.quantization == Quantization(2, granularity="tensor")
    assert state.attempt is not None and state.attempt.recipe == asked
    network = small.compressed
    again = E.compress(small.bench(state.weights_key).base, state.recipe)
    with torch.no_grad():
        assert torch.equal(network(few.inputs(slice(0, 8))), again(few.inputs(slice(0, 8))))
    small.undo()
    assert small.recipe == asked
    small.recalibrate(64)
    assert small.recipe.quantization == Quantization(2, granularity="tensor", rounding="adaptive")
    small.close()
    exp.close()


def test_remedies_are_compared_on_the_same_images() -> None:
    """Rows of what the settings do not have already; gains are paired; what cannot be tried says why."""
    model = Net().eval()
    with torch.no_grad():
        labels = model(SPLIT.images).argmax(1)
    val = E.Split(SPLIT.images, labels)
    table = E.compare_remedies(model, Recipe(None, Quantization(3, granularity="tensor", equalize=True)), val, SPLIT)
    assert list(table["remedy"]) == ["none", "channel", "mse", "bias_correction", "adaptive", "together"]
    assert table.attrs["n"] == 60 and table["reason"].eq("").all() and np.isnan(table["gain"][0])
    for row in table.to_dict("records"):
        network = E.compress(model, Recipe.from_json(row["recipe"]), SPLIT)
        assert E.evaluate(network, val).accuracy == pytest.approx(row["accuracy"])
        if row["remedy"] != "none":
            assert row["low"] <= row["gain"] <= row["high"]
            assert row["gain"] == pytest.approx(row["accuracy"] - table["accuracy"][0])
    ternary = E.compare_remedies(model, Recipe(None, Quantization(2, method="ternary")), val, SPLIT).set_index("remedy")
    assert "rule of its own" in str(ternary["reason"]["adaptive"]) and np.isnan(ternary["accuracy"]["adaptive"])
    with pytest.raises(RecipeError, match="rounds no weights"):
        E.compare_remedies(model, Recipe(), val, SPLIT)
    with pytest.raises(DataError, match="without labels"):
        E.compare_remedies(model, Recipe(None, Quantization(3)), SPLIT, SPLIT)
