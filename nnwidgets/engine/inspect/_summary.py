"""What is kept of the activations of one batch: sums, extremes and counts for each channel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.inspect._bounds import Bounds
from nnwidgets.engine.inspect._grid import Grid

__all__ = ["Extremes", "Numbers", "Summary", "summarize"]

Numbers = npt.NDArray[np.float64]

_PART = 2**17  # numbers looked at at a time: what is computed of them stays in the cache
_MOST = 2**24  # bins numbered at a time, which float32 holds exactly


@dataclass(frozen=True)
class Summary:
    """Of B images, C channels and P positions; float64 arrays unless said otherwise.

    Attributes:
        positions: P. low, high: (C,) extremes. above: (C,) images in which something is above 0; varies: (C,) images in which not
            all is the same number (the number is not 0, where there is one position).
        sums: (B, C) over positions, of the numbers minus ``shift``; rectified: (B, C) of max(number, 0), None where that changes
            nothing. squares: (C,) sum of squares of the numbers minus ``shift``.
        nonzero: (C,) how many are not 0; balance: (C,) how many are above 0 minus how many are below.
        saturated: (C,) how many are at a bound, None without bounds. grid, counts: histogram, integers (C, bins).
    """

    positions: int
    low: Numbers
    high: Numbers
    above: Numbers
    varies: Numbers
    sums: Numbers
    rectified: Numbers | None
    squares: Numbers
    nonzero: Numbers
    balance: Numbers
    saturated: Numbers | None
    grid: Grid
    counts: npt.NDArray[np.int32] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Extremes:
    """The lowest and the highest number of each channel: (B, C) over positions, as tensors, and (C,) over images too."""

    lows: Tensor
    highs: Tensor
    low: Numbers
    high: Numbers

    @classmethod
    def of(cls, values: Tensor) -> Extremes:
        """Of (B, C, P); NaN where there is one among them."""
        lows, highs = values.amin(2), values.amax(2)
        return cls(lows, highs, _array(lows.amin(0).double()), _array(highs.amax(0).double()))

    @property
    def finite(self) -> bool:
        """No NaN and no infinity."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())


def summarize(values: Tensor, extremes: Extremes, shift: Numbers, grid: Grid, bounds: Bounds | None) -> Summary:
    """Sum up one batch.

    Args:
        values: (B, C, P) float32 or float64, finite. shift: (C,) near the mean of each channel: it keeps the sum of squares
            exact. grid: holds all of the numbers.
    """
    batch, channels, positions = values.shape
    sums = np.empty((batch, channels))
    rectified = np.empty((batch, channels)) if bool((extremes.low < 0).any()) else None
    squares, nonzero, balance, saturated = np.zeros((4, channels))
    counts = np.zeros((channels, grid.bins), np.uint16 if batch * positions < 2**16 else np.int32)
    centre = torch.from_numpy(shift).to(values.device)[:, None]
    for images, units in _parts(batch, channels, positions, grid.bins):
        part = values[images, units]
        shifted = part.to(torch.float64, copy=True).sub_(centre[units])
        sums[images, units] = _array(shifted.sum(2))
        squares[units] += np.square(_array(torch.linalg.vector_norm(shifted, dim=2))).sum(0)
        if rectified is not None:
            rectified[images, units] = _array(shifted.add_(centre[units]).clamp_min_(0).sum(2))
        signs = part.sign()
        of_signs = _array(signs.sum(2)).sum(0, dtype=np.float64)
        balance[units] += of_signs
        nonzero[units] += of_signs if rectified is None else _array(signs.abs_().sum(2)).sum(0, dtype=np.float64)
        if bounds is not None:
            saturated[units] += _array(((part <= bounds[0]) | (part >= bounds[1])).sum((0, 2)))
        counts[units] += _array(grid.count(part)).astype(counts.dtype)
    varies = extremes.highs > extremes.lows if positions > 1 else extremes.highs != 0
    return Summary(
        positions=positions,
        low=extremes.low,
        high=extremes.high,
        above=_array(extremes.highs > 0).sum(0, dtype=np.float64),
        varies=_array(varies).sum(0, dtype=np.float64),
        sums=sums,
        rectified=rectified,
        squares=squares,
        nonzero=nonzero,
        balance=balance,
        saturated=None if bounds is None else saturated,
        grid=grid,
        counts=counts,
    )


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = tensor.cpu().numpy()
    return found


def _parts(batch: int, channels: int, positions: int, bins: int) -> list[tuple[slice, slice]]:
    """Pieces of a batch, as slices of images and of channels."""
    units = max(1, min(channels, _PART // positions, _MOST // bins))
    images = max(1, min(batch, _PART // (units * positions)))
    return [
        (slice(i * images, (i + 1) * images), slice(j * units, (j + 1) * units))
        for j in range(math.ceil(channels / units))
        for i in range(math.ceil(batch / images))
    ]
