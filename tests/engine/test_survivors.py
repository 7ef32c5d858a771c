"""How many weights rounding leaves, counted without rounding, is what a pass over the rounded weights counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.compression.survivors import Survivors
from nnwidgets.engine.quantization import Grid, quantize
from nnwidgets.engine.quantization.zeros import count_outside, zero_limits
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe

Floats = npt.NDArray[np.float32]
SHAPES = {
    "0": (3, 2, 3, 3),
    "1": (3, 4, 2, 2),
    "3": (4, 64),
}  # a convolution, a transposed one (channels along axis 1), a linear one


def net() -> nn.Sequential:
    """Layers whose channels lie along either axis."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.ConvTranspose2d(3, 4, 2, stride=2, bias=False), nn.Flatten(), nn.Linear(64, 4)
    )


def near_half_steps(generator: np.random.Generator, shape: tuple[int, ...], largest: float, sign: int) -> Floats:
    """Weights of which many lie exactly between two levels of some grid, or a few floats beside."""
    levels = generator.choice([1, 2, 3, 7, 15, 31, 127, 255], shape)
    halves = (generator.integers(0, 4, shape) + 0.5) / levels * largest
    near = np.minimum(halves, largest).astype(np.float32)
    for _ in range(3):
        toward = generator.choice(np.array([0, np.inf], np.float32), shape)
        near = np.where(generator.random(shape) < 0.4, np.nextafter(near, toward), near)
    signs = generator.choice([-1, 1], shape) if sign == 0 else sign
    signed: Floats = (near * signs * (generator.random(shape) < 0.9)).astype(np.float32)  # some zeros, of either sign
    signed.flat[0] = largest * (sign or 1)
    return signed


def spread(generator: np.random.Generator, shape: tuple[int, ...], largest: float, sign: int) -> Floats:
    """Weights over all the floats that there are, denormal ones too."""
    exponents = generator.uniform(-149, np.log2(largest) if largest > 0 else -140, shape)
    return (np.exp2(exponents) * (generator.choice([-1, 1], shape) if sign == 0 else sign)).astype(np.float32)


def constant(generator: np.random.Generator, shape: tuple[int, ...], largest: float, sign: int) -> Floats:
    """Channels of one number, some of them empty; also ties without end."""
    rows = generator.choice(np.array([0, largest, -largest, largest / 3], np.float32), (shape[0], 1)) * (sign or 1)
    return np.ascontiguousarray(np.broadcast_to(rows, (shape[0], int(np.prod(shape[1:])))).reshape(shape), np.float32)


def weights(seed: int, kind: str, largest: float, sign: int) -> nn.Sequential:
    """A network of weights of a kind."""
    generator, made = np.random.default_rng(seed), net()
    make = {"half": near_half_steps, "spread": spread, "constant": constant}[kind]
    with torch.no_grad():
        for name, shape in SHAPES.items():
            made.get_submodule(name).weight.copy_(torch.from_numpy(make(generator, shape, largest, sign)))  # type: ignore[operator]
    return made


GRIDS = st.one_of(
    st.builds(
        Quantization,
        st.integers(1, 8),
        granularity=st.sampled_from(["tensor", "channel"]),
        symmetric=st.booleans(),
        observer=st.sampled_from(["minmax", "minmax", "hand", "percentile", "mse", "kl"]),
        percentile=st.sampled_from([60.0, 99.0, 100.0]),
        power_of_two=st.booleans(),
        range_share=st.sampled_from([0.3, 0.77, 1.0]),
    ),
    st.builds(
        lambda method, granularity, power: Quantization(
            2 if method == "ternary" else 1, method=method, granularity=granularity, power_of_two=power
        ),
        st.sampled_from(["ternary", "binary"]),
        st.sampled_from(["tensor", "channel"]),
        st.booleans(),
    ),
    st.just(Quantization({"0": 2, "3": 5})),
)
PRUNINGS = st.one_of(
    st.none(),
    st.builds(Pruning, st.sampled_from([0.1, 0.5, 0.8, 0.97]), allocation=st.sampled_from(["global", "uniform"])),
    st.sampled_from(
        [
            Pruning(0.5, "kernel"),
            Pruning(0.3, "filter", allocation="uniform"),
            Pruning(0.5, "2:4"),
            Pruning(0.5, criterion="random"),
        ]
    ),
    st.just(Pruning(0, masks={"3": np.arange(256).reshape(4, 64) % 3 == 0})),
)
LARGEST = st.sampled_from([1.0, 0.1, 0.7310586, 3e-5, 1e-20, 1e25])


@pytest.mark.slow
@settings(max_examples=150)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["half", "spread", "constant"]),
    LARGEST,
    st.sampled_from([0, 0, 1, -1]),
    GRIDS,
    PRUNINGS,
)
def test_counts_are_those_of_rounded_weights(
    seed: int, kind: str, largest: float, sign: int, grid: Quantization, pruning: Pruning | None
) -> None:
    """Of any recipe, for weights half a step from zero to the last bit, denormal ones, constant and empty channels."""
    plan = CompressionPlan(weights(seed, kind, largest, sign), (2, 4, 4))
    recipe = Recipe(pruning, grid)
    decision = plan.decision(recipe)
    found = {name: row.nonzero for name, row in plan.figures(recipe).layers.items()}
    assert found == {name: decision.count_nonzero(name) for name in SHAPES}


@pytest.mark.parametrize("grid", [Quantization(4), Quantization(3, granularity="tensor", symmetric=False), Quantization(1)])
@pytest.mark.parametrize("pruning", [None, Pruning(0.6)])
def test_weights_are_not_rounded_to_be_counted(
    grid: Quantization, pruning: Pruning | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put on a grid are the ends of it, and no mask is made."""
    plan = CompressionPlan(net(), (2, 4, 4))
    decision = plan.decision(Recipe(pruning, grid))
    expected = {name: decision.count_nonzero(name) for name in SHAPES}
    sizes: list[int] = []
    rounded = Grid.quantize

    def watched(self: Grid, weight: torch.Tensor, *rest: object, **named: object) -> object:
        sizes.append(weight.numel())
        return rounded(self, weight, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Grid, "quantize", watched)
    if pruning is not None:
        monkeypatch.setattr(type(decision.chosen), "keep", None)
    assert {name: row.nonzero for name, row in plan.figures(decision.recipe).layers.items()} == expected
    assert max(sizes, default=0) <= 8


@pytest.mark.parametrize("wide", [1e38, 1e-38, 1e-44])
def test_floats_near_the_ends_of_their_range_are_rounded_to_be_counted(wide: float) -> None:
    """There the scale has no sound inverse, or levels overflow."""
    plan = CompressionPlan(weights(0, "half", wide, 0), (2, 4, 4))
    for grid in (Quantization(4), Quantization(3, symmetric=False), Quantization(1, power_of_two=True)):
        decision = plan.decision(Recipe(None, grid))
        expected = {name: decision.count_nonzero(name) for name in SHAPES}
        assert {name: row.nonzero for name, row in plan.figures(decision.recipe).layers.items()} == expected


def test_halves_are_rounded_to_be_counted() -> None:
    """Levels of a float32 scale may vanish in them."""
    plan = CompressionPlan(net().half(), (2, 4, 4))
    decision = plan.decision(Recipe(None, Quantization(4)))
    assert Survivors(decision.decider).count(decision, "0") is None


@given(st.floats(2.0**-20, 2.0**20, width=32), st.integers(2, 8), st.booleans(), st.booleans())
def test_the_last_float_that_becomes_zero(largest: float, bits: int, symmetric: bool, power_of_two: bool) -> None:
    """The next one does not."""
    weight = torch.tensor([[-0.3 * largest, largest]])
    grid = Grid(bits, "tensor", symmetric, power_of_two=power_of_two)
    limits = zero_limits(grid, weight)
    assert limits is not None
    for limit, beyond in zip(limits, (-torch.inf, torch.inf), strict=True):
        if limit.isinf():
            continue
        after = limit.nextafter(torch.tensor([beyond]))
        tried = torch.cat([weight[0], limit, after])[None]
        found = quantize(tried, bits, "tensor", symmetric, power_of_two=power_of_two).dequantized[0]
        assert float(found[2]) == 0 != float(found[3])


def test_wide_rows_and_many_rows_are_counted_in_parts() -> None:
    """All of them, once."""
    rows = torch.arange(-300_000, 300_000).float()
    low, high = torch.tensor([-100.0]), torch.tensor([torch.inf])
    assert count_outside(rows[None], low, high) == 299_900
    assert count_outside(rows.reshape(-1, 3), low.expand(200_000), -low.expand(200_000)) == 600_000 - 201
