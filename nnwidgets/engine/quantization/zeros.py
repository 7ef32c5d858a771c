"""How many weights a grid leaves, without putting them on it.

A weight becomes zero where its code is that of zero: where round(w * (1 / s)) is 0, half to even, in float32; where zero is the
first or the last code, also where it is clamped to it. That is an interval of floats, whose ends are found to the bit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.quantization.affine import code_range
from nnwidgets.engine.quantization.grid import Grid
from nnwidgets.engine.quantization.ranges import Ends

__all__ = ["LARGEST", "count_outside", "zero_limits"]

LARGEST = 2.0**100
"""Of a scale, and one by it the smallest: beyond, floats overflow or lose digits on the way."""

_AT_ONCE = 1 << 17  # numbers, half a megabyte: what is made of them stays in the cache


def zero_limits(grid: Grid, extremes: Tensor, ends: Ends | None = None) -> Ends | None:
    """Return the ends of the interval that becomes zero on each scale, both (S,) and in it; infinite where there is none.

    Args:
        grid: affine, of more than one bit where it is symmetric. extremes: (S, 2) float32 smallest and largest weight of each
            scale, which say all of its step. ends: of the grid, where the observer has to look at all weights.

    Returns:
        None where floats are too large or too small for the interval to be told so.
    """
    ends = None if ends is None else (ends[0].reshape(-1, 1), ends[1].reshape(-1, 1))
    found = replace(grid, axis=0).quantize(extremes, fit=ends)
    if not bool(((found.scale > 1 / LARGEST) & (found.scale < LARGEST)).all()):
        return None
    limit = _largest_to_zero(1.0 / found.scale)
    first, last = code_range(grid.bits, grid.symmetric)
    nothing = torch.full_like(limit, torch.inf)
    return torch.where(found.zero_point == first, -nothing, -limit), torch.where(found.zero_point == last, nothing, limit)


def _largest_to_zero(inverse: Tensor) -> Tensor:
    """The largest float whose product with each of these, rounded to a float, is not above a half."""
    limit, nothing = 0.5 / inverse, torch.zeros_like(inverse)
    while bool((above := limit * inverse > 0.5).any()):
        limit = torch.where(above, limit.nextafter(nothing), limit)
    while bool((not_above := (after := limit.nextafter(nothing + torch.inf)) * inverse <= 0.5).any()):
        limit = torch.where(not_above, after, limit)
    return limit


def count_outside(rows: Tensor, low: Tensor, high: Tensor) -> int:
    """Return how many of (S, n) float32 numbers lie below ``low`` or above ``high``, (S,) each."""
    numbers, bottoms, tops = (given.cpu().numpy() for given in (rows, low[:, None], high[:, None]))
    height, width = max(1, _AT_ONCE // max(1, numbers.shape[1])), _AT_ONCE
    total = 0
    for row in range(0, numbers.shape[0], height):
        bottom, top = bottoms[row : row + height], tops[row : row + height]
        for column in range(0, numbers.shape[1], width):
            total += _count(numbers[row : row + height, column : column + width], bottom, top)
    return total


def _count(numbers: npt.NDArray[np.float32], low: npt.NDArray[np.float32], high: npt.NDArray[np.float32]) -> int:
    if np.array_equal(-low, high):
        return int(np.count_nonzero(np.abs(numbers) > high))
    return int(np.count_nonzero(numbers > high)) + int(np.count_nonzero(numbers < low))
