"""What is told of rounding one layer, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.quantization import quantize, rounding_of
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe


def weight(seed: int = 0) -> Tensor:
    found = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(seed))
    found[1, 2] = 0
    found[2, 0, 0] = 9.0
    return found


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("bits", "symmetric"), [(4, True), (3, False), (1, True), (8, True), (2, True)])
def test_everything_by_loops(bits: int, symmetric: bool, axis: int, granularity: str) -> None:
    """Counts of codes, what is used, signal to noise, ranges and ends of levels, the outlier."""
    before = weight()
    on_grid = quantize(before, bits, granularity, symmetric, axis)
    found = rounding_of(before, on_grid, axis)
    pairs = [(float(w), int(q)) for w, q in zip(before.reshape(-1), on_grid.values.reshape(-1), strict=True) if w != 0]
    assert found.n == len(pairs) == 55 and found.clipped == 0
    assert {int(c): int(n) for c, n in zip(found.codes, found.counts, strict=True) if n} == {
        code: sum(q == code for _, q in pairs) for code in {q for _, q in pairs}
    }
    noise = sum(float(a - b) ** 2 for a, b in zip(on_grid.dequantized.reshape(-1), before.reshape(-1), strict=True))
    power = sum(w * w for w, _ in pairs)
    assert found.sqnr_db == pytest.approx(10 * math.log10(power / noise), abs=1e-3)
    channels = before.movedim(axis, 0)
    for channel in range(len(channels) if granularity == "channel" else 1):
        own = [float(w) for w in (channels[channel] if granularity == "channel" else before).reshape(-1) if w != 0]
        edges, counts = found.histogram(channel, bins=7)
        assert edges[0] == min(0.0, *own) and edges[-1] == max(0.0, *own) and len(counts) == 7 == len(edges) - 1
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            assert count == sum(low <= w < high or (high == edges[-1] and w == high) for w in own)
        levels = on_grid.levels(channel) if granularity == "channel" else on_grid.levels()
        assert found.levels_end(channel) == pytest.approx((levels[0], levels[-1]))
    assert [float(v) for v in found.low] == [float(c.min()) for c in channels]
    assert [float(v) for v in found.high] == [float(c.max()) for c in channels]
    parts = [before] if granularity == "tensor" else list(channels)
    codes = [on_grid.values] if granularity == "tensor" else list(on_grid.values.movedim(axis, 0))
    shares, ratios = [], []
    for part, own in zip(parts, codes, strict=True):
        shares.append(len({int(q) for q, w in zip(own.reshape(-1), part.reshape(-1), strict=True) if w != 0}) / len(found.codes))
        sizes = sorted(float(w.abs()) for w in part.reshape(-1))
        ratios.append(sizes[-1] / sizes[-2])
    assert found.used == pytest.approx(sum(shares) / len(shares))
    assert found.outlier == pytest.approx(max(ratios)) and found.outlier_channel == ratios.index(max(ratios))
    for place in range(len(parts)):
        levels = on_grid.levels(place if granularity == "channel" else None)
        assert [float(v) for v in found.ends[place]] == pytest.approx([levels[0], levels[-1]])


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_one_weight_is_followed(granularity: str) -> None:
    """From the smallest to the largest, with the scale of its own channel; a clipped one says so."""
    before = weight()
    found = rounding_of(before, quantize(before, 4, granularity, False, 1, observer="percentile", percentile=90), 1)
    order = sorted(float(w) for w in before.reshape(-1) if w != 0)
    for rank in (0, 11, 30, 54):
        one = found.follow(rank / 54)
        assert one.weight == order[rank] and one.ratio == pytest.approx(one.weight / one.scale)
        place = (before == one.weight).nonzero()[0]
        assert one.channel == (int(place[1]) if granularity == "channel" else 0)
        code = max(0, min(15, round(one.ratio) + one.zero_point))
        assert one.code == code and one.value == pytest.approx((code - one.zero_point) * one.scale)
        assert one.clipped == (round(one.ratio) + one.zero_point != code)
    assert found.follow(1.0).clipped and found.clipped > 0
    with pytest.raises(InputError, match="expected 0 to 1"):
        found.follow(1.5)


def test_exact_empty_and_of_a_plan() -> None:
    """A constant loses nothing; zeros have nothing to follow; a plan rounds what pruning leaves."""
    same = rounding_of(torch.full((2, 3), 0.3), quantize(torch.full((2, 3), 0.3), 4), 0)
    assert same.sqnr_db == math.inf and same.outlier == 1.0
    none = rounding_of(torch.zeros(2, 3), quantize(torch.zeros(2, 3), 4), 0)
    assert (none.n, none.used) == (0, 0.0)
    with pytest.raises(InputError, match="0 weights"):
        none.follow(0.5)
    net = nn.Sequential(nn.Linear(8, 4))
    plan = CompressionPlan(net, (8,))
    assert plan.rounding(Recipe(Pruning(0.5)), "0") is None
    half = plan.rounding(Recipe(Pruning(0.5), Quantization(3)), "0")
    assert half is not None and half.n == 16 and half.quantized.bits == 3
    assert torch.equal(half.weight != 0, plan.masks(Recipe(Pruning(0.5)))["0"])
