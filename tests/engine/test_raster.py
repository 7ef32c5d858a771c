"""Maps as bytes: pixels against slow twins in plain Python, and back to the numbers as the front end reads them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nnwidgets.engine.inspect import Raster, colours, grid, pooled, sequential, signed


def decoded(raster: Raster) -> npt.NDArray[np.float64]:
    """As frontend/src/explorer/raster.ts: what each byte stands for."""
    levels = raster.pixels.astype(np.float64)
    ends = [raster.low, raster.high] if raster.ranges is None else raster.ranges.astype(np.float64).T
    low, high = (np.asarray(end).reshape(-1, *(1,) * (levels.ndim - 1)) for end in ends)
    if raster.kind == "diverging":
        return np.where(levels <= 128, low * (1 - levels / 128), high * (levels - 128) / 127)
    return low + (high - low) * levels / 255


def half_step(raster: Raster) -> npt.NDArray[np.float64]:
    """Half of what two neighbouring bytes differ by, for each tile, and what float32 adds to it."""
    ranges = np.array([[raster.low, raster.high]]) if raster.ranges is None else raster.ranges.astype(np.float64)
    largest = np.abs(ranges).max(1)
    steps = largest / 127 if raster.kind == "diverging" else (ranges[:, 1] - ranges[:, 0]) / 255
    return (0.5 * steps + 1e-5 * largest).reshape(-1, 1, 1)


def windows(length: int, parts: int) -> list[range]:
    return [range(i * length // parts, -(-(i + 1) * length // parts)) for i in range(parts)]


def slow_pooled(maps: Tensor, size: tuple[int, int]) -> list[Any]:
    """Means over windows that overlap where the sizes do not divide."""
    return [
        [
            [
                sum(float(tile[y, x]) for y in rows for x in columns) / (len(rows) * len(columns))
                for columns in windows(tile.shape[1], size[1])
            ]
            for rows in windows(tile.shape[0], size[0])
        ]
        for tile in maps
    ]


def test_small_maps_are_not_pooled_and_not_copied() -> None:
    maps = torch.rand(3, 5, 7)
    assert pooled(maps, 7) is maps and pooled(maps, (5, 7)) is maps


@pytest.mark.parametrize(
    ("shape", "most", "size"),
    [
        ((9, 9), 4, (4, 4)),
        ((18, 18), 8, (9, 9)),
        ((8, 8), 7, (8, 8)),  # 8 averaged to 7 would be a blur and no smaller
        ((112, 112), 111, (112, 112)),
        ((112, 112), 60, (56, 56)),
        ((14, 14), 6, (7, 7)),
        ((10, 20), 8, (5, 10)),
        ((22, 22), 4, (4, 4)),  # nothing between 11 and 2 divides 22 without a rest
        ((7, 30), 10, (4, 10)),  # the form would leave 2 of 7 rows
        ((2, 30), 10, (2, 10)),
        ((1, 40), 12, (1, 10)),
        ((30, 1), 8, (10, 1)),
        ((3, 50), (16, 16), (3, 16)),
        ((20, 5), (16, 16), (16, 5)),
    ],
)
def test_pooling_is_the_mean_of_each_window(shape: tuple[int, int], most: int | tuple[int, int], size: tuple[int, int]) -> None:
    """By a whole number; the form is kept, but no axis goes below 4 pixels; with two limits each axis stands by itself."""
    maps = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    small = pooled(maps, most)
    assert small.shape == (2, *size)
    assert np.allclose(small.numpy(), slow_pooled(maps, size), atol=1e-6)


def test_pooling_takes_half_precision() -> None:
    maps = torch.rand(2, 9, 9).bfloat16()
    assert torch.equal(pooled(maps, 4), pooled(maps.float(), 4))


@given(length=st.integers(1, 3000), most=st.integers(1, 400))
def test_a_side_is_about_as_long_as_was_wished(length: int, most: int) -> None:
    """Within a factor of 1.5; what is shorter stays."""
    side = pooled(torch.zeros(1, length, 1), most).shape[1]
    assert side == length if length <= most else min(length, 4) <= side <= max(4, 1.5 * most + 1)


numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30])


@given(
    data=st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=1, max_size=5),
    per_tile=st.booleans(),
    signs=st.booleans(),
)
def test_bytes_stand_for_the_numbers_within_half_a_step(data: Any, per_tile: bool, signs: bool) -> None:
    maps = torch.tensor(data, dtype=torch.float32).reshape(-1, 2, 2)
    raster = (signed if signs else sequential)(maps, per_tile)
    assert raster.pixels.shape == maps.shape and raster.pixels.dtype == np.uint8
    assert (np.abs(decoded(raster) - maps.double().numpy()) <= half_step(raster)).all()
    assert (raster.ranges is not None) == per_tile
    if signs:
        assert (raster.pixels[maps.numpy() == 0] == 128).all() and raster.low == -raster.high
    else:
        assert (raster.low, raster.high) == (float(maps.min()), float(maps.max()))


def slow_bytes(maps: Tensor, signs: bool, ranges: list[tuple[float, float]]) -> list[Any]:
    def level(value: float, low: float, high: float) -> int:
        if math.isnan(value):
            return 128 if signs else 0
        if signs:
            most = max(abs(low), abs(high)) or 1.0
            share = max(-1.0, min(1.0, value / most))
            return round(128 + share * (127 if share > 0 else 128))
        return round(255 * max(0.0, min(1.0, (value - low) / ((high - low) or 1.0))))

    return [[[level(float(v), *ends) for v in row] for row in tile] for tile, ends in zip(maps, ranges, strict=True)]


def slow_ranges(of: Tensor, per_tile: bool) -> list[tuple[float, float]]:
    each = []
    for tile in of:
        fine = [float(v) for v in tile.flatten() if math.isfinite(v)]
        each.append((min(fine), max(fine)) if fine else (0.0, 0.0))
    whole = (min(low for low, _ in each), max(high for _, high in each))
    return each if per_tile else [whole] * len(each)


@pytest.mark.parametrize("per_tile", [False, True])
@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("case", ["plain", "not numbers", "of two", "constant"])
def test_rasters_equal_their_slow_twins(case: str, signs: bool, per_tile: bool) -> None:
    draw = torch.Generator().manual_seed(1)
    maps = torch.randn(4, 3, 5, generator=draw) * torch.tensor([1.0, 0.01, 5.0, 1.0])[:, None, None]
    of = None
    if case == "not numbers":
        maps[0, 0, 0], maps[1, 1, 1], maps[2, 2, 2] = math.nan, math.inf, -math.inf
        maps[3] = math.nan
    elif case == "of two":
        of = torch.cat([maps, 2 * torch.randn(4, 3, 5, generator=draw)], 1)
    elif case == "constant":
        maps = torch.tensor([0.0, 2.0, -3.0, 0.0])[:, None, None].expand(4, 3, 5)
    before = maps.clone()
    raster = (signed if signs else sequential)(maps, per_tile, of=of)
    ranges = slow_ranges(maps if of is None else of, per_tile)
    assert np.abs(raster.pixels.astype(int) - slow_bytes(maps, signs, ranges)).max() <= (0 if case == "constant" else 1)
    assert np.mean(raster.pixels == slow_bytes(maps, signs, ranges)) > 0.95  # halves are rounded otherwise in float32
    assert math.isfinite(raster.low) and math.isfinite(raster.high)
    if per_tile:
        told = [(-max(map(abs, ends)), max(map(abs, ends))) for ends in ranges] if signs else ranges
        assert raster.ranges is not None and np.allclose(raster.ranges, told, rtol=1e-6)
    assert torch.equal(maps.nan_to_num(), before.nan_to_num()), "the maps themselves are left as they were"


def slow_reach(maps: Tensor) -> float:
    """The number that 995 of 1,000 numbers do not exceed, and 9 of 10 of those other than zero."""
    fine = sorted(float(v) for v in maps.flatten() if math.isfinite(v))
    told = [v for v in fine if v != 0]
    return max(fine[-(-995 * len(fine) // 1000) - 1], told[-(-9 * len(told) // 10) - 1]) if told else 0.0


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("case", ["outliers", "few", "sparse", "sparsest", "zero", "two"])
def test_a_clipped_scale_ends_at_the_995th_of_1000(case: str, signs: bool) -> None:
    """What is beyond is drawn as the end; few numbers are never clipped, and a scale for each tile is not either."""
    draw = torch.Generator().manual_seed(2)
    maps = torch.randn(5, 20, 20, generator=draw) if signs else torch.rand(5, 20, 20, generator=draw)
    maps[0, 0, :3] = torch.tensor([1000.0, -900.0 if signs else 900.0, 800.0])
    of = None
    if case == "few":
        maps = maps[:1, :10, :10]
    elif case == "sparse":  # 96 % zeros: the scale is that of the others
        maps = torch.where(torch.arange(2000).reshape(5, 20, 20) % 25 == 0, maps, 0.0)
    elif case == "sparsest":  # 80 numbers in 8,000
        maps = torch.cat([maps[:1, :4], torch.zeros(99, 4, 20)])
    elif case == "zero":
        maps = torch.zeros_like(maps)
    elif case == "two":
        of = torch.cat([maps, 2 * maps], 1)
    raster = (signed if signs else sequential)(maps, of=of, clip=True)
    told = maps if of is None else of
    top = slow_reach(told.abs() if signs else told)
    assert raster.high == top and raster.clipped == (float(told.abs().max()) > top) == (case not in ("few", "zero"))
    held = maps.clamp(raster.low, raster.high).double().numpy()
    assert (np.abs(decoded(raster) - held) <= half_step(raster)).all()
    if raster.clipped:
        assert raster.pixels[0, 0, 0] == 255 and raster.high < 10
    whole = (signed if signs else sequential)(maps, True, of=of, clip=True)
    assert not whole.clipped and np.array_equal(whole.pixels, (signed if signs else sequential)(maps, True, of=of).pixels)


def test_a_fixed_low_end() -> None:
    raster = sequential(torch.tensor([[[1.0, 3.0]]]), low=0.0)
    assert (raster.low, raster.high, raster.pixels.tolist()) == (0.0, 3.0, [[[85, 255]]])


@pytest.mark.parametrize("per_tile", [False, True])
def test_colours_have_zero_at_mid_grey_and_channels_last(per_tile: bool) -> None:
    maps = torch.tensor([1.0, -2.0, 0.0, 0.5, 0.25, -0.5]).reshape(2, 3, 1, 1)
    raster = colours(maps, per_tile)
    assert raster.pixels.shape == (2, 1, 1, 3) and raster.kind == "colour" and (raster.low, raster.high) == (-2.0, 2.0)
    second = [255, 192, 1] if per_tile else [160, 144, 96]
    assert raster.pixels[:, 0, 0].tolist() == [[192, 1, 128], second]


def test_a_grid_pools_first_and_takes_its_scale_from_what_is_drawn() -> None:
    maps = torch.zeros(2, 8, 8)
    maps[0, 0, 0], maps[1] = 64.0, 1.0
    raster = grid(maps, 4, signs=False)
    assert raster.pixels.shape == (2, 4, 4) and (raster.low, raster.high) == (0.0, 16.0)
    assert grid(maps - 1, 4, signs=True).kind == "diverging"


@pytest.mark.parametrize("signs", [False, True])
def test_of_many_numbers_some_tell_where_a_scale_ends(signs: bool) -> None:
    """Within a tenth of a percent of all of them."""
    numbers = torch.randn((400, 50, 50), generator=torch.Generator().manual_seed(0))
    numbers = numbers if signs else numbers.abs()
    raster = (signed if signs else sequential)(numbers, clip=True)
    assert raster.clipped and 0.004 < float((numbers.abs() > raster.high).double().mean()) < 0.006
