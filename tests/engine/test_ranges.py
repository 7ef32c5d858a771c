"""Where grids end: each observer against a slow twin, what outliers cost, and scales that are powers of two."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnwidgets.engine.compression import compress
from nnwidgets.engine.errors import InputError, RecipeError
from nnwidgets.engine.quantization import code_range, quantize
from nnwidgets.engine.quantization.ranges import kl_limit, percentile_ends
from nnwidgets.engine.values.recipe import Quantization, Recipe

OBSERVERS = ["minmax", "percentile", "mse", "kl"]


def numbers(rows: int = 5, n: int = 300, seed: int = 0) -> Tensor:
    """Heavy tails, some exact zeros, one row of one sign, one row of zeros."""
    draw = torch.Generator().manual_seed(seed)
    found = torch.randn(rows, n, generator=draw) ** 3 * torch.rand(rows, 1, generator=draw)
    found[torch.rand(rows, n, generator=draw) < 0.2] = 0.0
    found[1].abs_()
    found[2] = 0.0
    return found


@pytest.mark.parametrize("percentile", [60.0, 99.0, 99.9, 100.0])
def test_percentiles_by_sorting(percentile: float) -> None:
    """Nearest rank of what is not zero; all of it at 100."""
    rows = numbers()
    low, high = percentile_ends(rows, False, percentile)
    size = percentile_ends(rows, True, percentile)[1]
    for row, bottom, top, limit in zip(rows, low, high, size, strict=True):
        own = sorted(float(v) for v in row if v != 0)
        if not own:
            assert float(bottom) == float(top) == float(limit) == 0
            continue
        rank = math.ceil(percentile / 100 * len(own))
        assert float(top) == max(0.0, own[rank - 1]) and float(bottom) == min(0.0, own[len(own) - rank])
        assert float(limit) == sorted(map(abs, own))[rank - 1]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_least_squares_by_trying(bits: int, symmetric: bool) -> None:
    """The factors that are said to be tried, one after the other, with torch's own fake quantization of each row."""
    rows = numbers()
    found = quantize(rows, bits, "channel", symmetric, 0, observer="mse")
    low_code, high_code = code_range(bits, symmetric)

    def error(row: Tensor, factor: float) -> tuple[float, float]:
        bottom, top = (min(0.0, float(row.min())) * factor, max(0.0, float(row.max())) * factor)
        if symmetric:
            scale = np.float32(max(-min(0.0, float(row.min())), float(row.max()))) * np.float32(factor) / np.float32(high_code)
            zero = 0
        else:
            scale = (np.float32(top) - np.float32(bottom)) / np.float32(high_code - low_code)
            zero = int(np.clip(np.round(low_code - np.float32(bottom) / scale), low_code, high_code))
        out = torch.fake_quantize_per_tensor_affine(row, float(scale), zero, low_code, high_code)
        return float((out - row).double().square().sum()), float(scale)

    for i, row in enumerate(rows):
        if not row.any():
            assert not found.dequantized[i].any()
            continue
        tried = [round(1 - 0.05 * k, 2) for k in range(19)]
        best = min(tried, key=lambda factor: error(row, factor)[0])
        tried = [best, *(min(1.0, best + 0.01 * k) for k in (-4, -3, -2, -1, 1, 2, 3, 4))]
        least = min(error(row, factor)[0] for factor in tried)
        got = float((found.dequantized[i] - row).double().square().sum())
        assert got == pytest.approx(least, rel=1e-4)
        plain = quantize(row[None], bits, "channel", symmetric, 0).dequantized - row
        assert got <= float(plain.double().square().sum()) * (1 + 1e-9)


def slow_kl(row: np.ndarray, levels: int, bins: int, tried: int) -> float:
    """The limit by plain loops."""
    sizes = np.abs(row[row != 0]).astype(float)
    most = sizes.max()
    counts = np.zeros(bins)
    for size in sizes:
        counts[min(int(size * (bins / most)), bins - 1)] += 1
    best, limit = math.inf, most
    for stop in np.unique(np.linspace(levels, bins, min(tried, bins - levels + 1)).round().astype(int)):
        if counts[stop:].sum() > 0.05 * counts.sum():
            continue
        true = counts[:stop].copy()
        true[-1] += counts[stop:].sum()
        spread = np.zeros(stop)
        for group in range(levels):
            start, end = group * stop // levels, (group + 1) * stop // levels
            filled = [i for i in range(start, end) if counts[i] > 0]
            for i in filled:
                spread[i] = counts[start:end].sum() / len(filled)
        p, q = true / true.sum(), spread / max(spread.sum(), 1e-300)
        loss = 0.0
        for a, b in zip(p, q, strict=True):
            if a > 0:
                loss += math.inf if b == 0 else a * math.log(a / b)
        if loss <= best + 1e-12:
            best, limit = min(best, loss), most * (stop / bins if stop < bins else 1.0)
    return float(limit)


@pytest.mark.parametrize("levels", [1, 7, 127])
def test_kl_by_loops(levels: int) -> None:
    """The limit of each row, of few rows (2,048 bins) and of many (256 bins)."""
    few = numbers(4, 2000, seed=3)
    many = numbers(9, 500, seed=4)
    for rows, bins, tried in ((few, 2048, 128), (many, 256, 48)):
        found = kl_limit(rows, levels)
        for row, limit in zip(rows, found, strict=True):
            if row.any():
                assert float(limit) == pytest.approx(slow_kl(row.double().numpy(), levels, bins, tried), rel=1e-6)
            else:
                assert float(limit) == 0


def test_kl_clips_at_most_a_twentieth() -> None:
    """Also where one number is there again and again, as the background of images is, and levels are few."""
    row = torch.full((1, 10_000), -0.42)
    row[0, :1500] = torch.linspace(0, 2.8, 1500)
    for levels in (1, 4, 8, 127):
        limit = float(kl_limit(row, levels))
        assert float((row.abs() > limit).float().mean()) <= 0.0501, levels


@pytest.mark.parametrize("observer", ["percentile", "mse", "kl"])
def test_one_outlier_costs_less_where_it_is_clipped(observer: str) -> None:
    """10,000 normal weights and one of 100: at 4 bits min-max rounds all others to zero."""
    weight = torch.randn(10_001, generator=torch.Generator().manual_seed(1))
    weight[7] = 100.0
    others = torch.arange(10_001) != 7

    def lost(by: str) -> float:
        found = quantize(weight, 4, "tensor", True, 0, observer=by)
        return float((found.dequantized - weight)[others].square().mean())

    assert lost(observer) < 0.1 * lost("minmax")
    clipped = quantize(weight, 4, "tensor", True, 0, observer=observer)
    assert not clipped.inside[7] and clipped.inside.sum() >= 9_900


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_zero_stays_zero_and_channels_are_tensors_of_their_own(observer: str, symmetric: bool) -> None:
    """And a constant channel comes back exactly; numbers of another format are computed in float32."""
    weight = numbers(4, 60)
    weight[3] = -0.37
    for bits in (1, 2, 4, 8):
        found = quantize(weight, bits, "channel", symmetric, 0, observer=observer)
        assert not found.dequantized[weight == 0].any()
        assert torch.equal(found.dequantized[3], weight[3])
        for i, row in enumerate(weight):
            alone = quantize(row, bits, "tensor", symmetric, 0, observer=observer)
            if observer != "kl":  # whose bins depend on how many rows there are
                assert torch.equal(found.dequantized[i], alone.dequantized)
    half = quantize(weight.half(), 4, "channel", symmetric, 0, observer=observer)
    assert half.dequantized.dtype == torch.float16


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_scales_that_are_powers_of_two(bits: int, symmetric: bool) -> None:
    """Each is the next one above the scale it replaces; nothing is clipped that was not; a product is a shift."""
    weight = numbers(4, 200)
    plain, shifted = (quantize(weight, bits, "channel", symmetric, 0, power_of_two=flag) for flag in (False, True))
    assert all(float(s) == 2.0 ** math.ceil(math.log2(float(p))) for s, p in zip(shifted.scale, plain.scale, strict=True))
    assert bool((shifted.inside | ~plain.inside).all())
    assert torch.equal(shifted.dequantized, (shifted.values - shifted.zero_point[:, None]).float() * shifted.scale[:, None])
    if bits > 1:
        step = torch.where(shifted.inside, (shifted.dequantized - weight).abs() / shifted.scale[:, None], torch.zeros(()))
        assert float(step.max()) <= 0.5 + 1e-5
    exact = quantize(torch.tensor([-0.75, 0.5, 0.25]), 3, "tensor", True, 0, power_of_two=True)
    assert exact.dequantized.tolist() == [-0.75, 0.5, 0.25] and float(exact.scale) == 0.25


@pytest.mark.parametrize("share", [1.0, 0.7, 0.05])
@pytest.mark.parametrize("symmetric", [True, False])
def test_ends_by_hand_are_a_share_of_the_range(symmetric: bool, share: float) -> None:
    """Of each scale; the whole range is min-max; what is beyond is clipped; a network's own is the recipe's."""
    weight = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    found = quantize(weight, 4, "channel", symmetric, 0, observer="hand", share=share)
    whole = quantize(weight, 4, "channel", symmetric, 0)
    torch.testing.assert_close(found.scale, whole.scale * share)
    for row, on_grid, scale, zero in zip(weight, found.dequantized, found.scale, found.zero_point, strict=True):
        low, high = (-7, 7) if symmetric else (0, 15)
        ends = (low - int(zero)) * float(scale), (high - int(zero)) * float(scale)
        assert float((on_grid - row.clamp(*ends)).abs().max()) <= 0.5001 * float(scale)
    assert bool(found.inside.all()) == (share == 1.0)
    model = nn.Linear(50, 4)
    small = compress(model, Recipe(None, Quantization(4, symmetric=symmetric, observer="hand", range_share=share)))
    expected = quantize(model.weight, 4, "channel", symmetric, 0, observer="hand", share=share).dequantized
    assert torch.equal(small.weight, expected)


def test_unknown_observers_are_refused() -> None:
    """With what there is."""
    with pytest.raises(InputError, match="'percentile', 'mse', 'kl', 'hand' or 'learned'"):
        quantize(torch.ones(3), 4, observer="best")
    for percentile in (50.0, 100.5, math.nan):
        with pytest.raises(InputError, match="percentile"):
            quantize(torch.ones(3), 4, observer="percentile", percentile=percentile)
    for share in (0.0, 1.1, -1.0):
        with pytest.raises(InputError, match="share"):
            quantize(torch.ones(3), 4, observer="hand", share=share)
        with pytest.raises(RecipeError, match="range_share"):
            Quantization(4, observer="hand", range_share=share)
    with pytest.raises(RecipeError, match="that is for weights"):
        Quantization(activation_bits=4, activation_observer="hand")


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_ternary_by_loops(granularity: str) -> None:
    """Signs above 0.7 of the mean size, times the mean size of those; zeros stay, constants come back; a step may be a shift."""
    weight = numbers(4, 50)
    weight[3] = -0.3
    found = quantize(weight, 2, granularity, True, 0, method="ternary")
    parts = list(weight) if granularity == "channel" else [weight.reshape(-1)]
    for i, part in enumerate(parts):
        own = [abs(float(w)) for w in part if w != 0]
        limit = 0.7 * sum(own) / len(own) if own else 0.0
        above = [size for size in own if size > limit]
        scale = sum(above) / len(above) if above else 1.0
        assert float(found.scale[i]) == pytest.approx(scale, rel=1e-6)
        got = (found.values[i] if granularity == "channel" else found.values.reshape(-1)).tolist()
        assert got == [int(math.copysign(1, w)) if abs(w) > limit else 0 for w in part.tolist()]
    assert torch.equal(found.dequantized, found.values.float() * found.scale.reshape(-1, 1)) and bool(found.inside.all())
    if granularity == "channel":
        assert torch.equal(found.dequantized[3], weight[3])
    shifted = quantize(weight, 2, granularity, True, 0, method="ternary", power_of_two=True)
    assert torch.equal(shifted.values, found.values)
    assert all(float(s) == 2.0 ** math.ceil(math.log2(float(p))) for s, p in zip(shifted.scale, found.scale, strict=True))
    normal = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    ways = [quantize(normal, 2, granularity, True, 0, method=method).dequantized for method in ("ternary", "affine")]
    assert (ways[0] - normal).square().sum() < 0.6 * (ways[1] - normal).square().sum()


def test_methods_need_their_bits() -> None:
    """Binary is one symmetric bit, whose rule it is; other widths are refused."""
    weight = numbers(3, 40)
    binary, plain = quantize(weight, 1, method="binary"), quantize(weight, 1)
    assert torch.equal(binary.dequantized, plain.dequantized)
    for bits, symmetric, method in ((4, True, "ternary"), (2, False, "ternary"), (2, True, "binary"), (4, True, "vectors")):
        with pytest.raises(InputError, match="'ternary' with 2 symmetric"):
            quantize(weight, bits, "channel", symmetric, 0, method=method)
