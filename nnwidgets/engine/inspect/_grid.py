"""Bins that can grow without a second look at the data: their edges are multiples of a power of two."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Counts", "Grid"]

Counts = npt.NDArray[np.int32] | npt.NDArray[np.int64]
"""In half the room as long as the numbers allow it: of an EfficientNet they are the most that is kept, 60,000 x 64."""

_FINEST = 22  # bits of a bin's number: float32 holds it exactly
_SMALLEST = -120  # exponent of the width


@dataclass(frozen=True)
class Grid:
    """Bins of one width. Twice as wide, two bins of a grid are one of the next: counts can be moved to it exactly.

    Attributes:
        exponent: the width is 2 ** exponent. first: number of the first bin; bin number j holds j * width <= x < (j + 1) * width.
        bins: how many.
    """

    exponent: int
    first: int
    bins: int

    @classmethod
    def over(cls, low: float, high: float, bins: int, coarser_than: int | None = None) -> Grid:
        """The finest grid that holds all of [low, high], though none finer than the exponent ``coarser_than``.

        Where all is one number, bins are as fine as they would be from zero to it.
        """
        largest = max(abs(low), abs(high))
        span = high - low if high > low else largest or 1.0
        exponent = max(_exponent(span / bins) - 2, _exponent(largest) - _FINEST if largest else _SMALLEST, _SMALLEST)
        if coarser_than is not None:
            exponent = max(exponent, coarser_than)
        elif not high > low:
            exponent = max(exponent, _exponent(span / bins))
        while _number(high, exponent) - _number(low, exponent) >= bins:
            exponent += 1
        return cls(exponent, _number(low, exponent), bins)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """(bins + 1,) exact."""
        return np.ldexp(np.arange(self.first, self.first + self.bins + 1, dtype=np.float64), self.exponent)

    def count(self, values: Tensor) -> Tensor:
        """int64 (C, bins): how many numbers of each channel fall into each bin.

        Args:
            values: (B, C, P) floating, all of them inside; C times bins is at most 2 ** 24.
        """
        channels = values.shape[1]
        offset = torch.arange(channels, device=values.device, dtype=values.dtype).mul_(self.bins).sub_(self.first)
        places = values.mul(math.ldexp(1.0, -self.exponent)).floor_().add_(offset[:, None])
        counts = torch.bincount(places.to(torch.int32).reshape(-1), minlength=channels * self.bins)
        return counts.view(channels, self.bins)

    def moved(self, counts: Counts, to: Grid) -> Counts:
        """The same counts (C, bins) in the bins of a grid that is as wide or wider and holds all that was counted."""
        if to == self:
            return counts
        numbers = (np.arange(self.first, self.first + self.bins) >> (to.exponent - self.exponent)) - to.first
        moved = np.zeros((len(counts), to.bins), counts.dtype)
        for number, column in zip(numbers, counts.T, strict=True):
            if 0 <= number < to.bins:
                moved[:, number] += column
        return moved

    def number(self, value: float) -> int:
        """The place of the bin that a value falls into, from 0."""
        return _number(value, self.exponent) - self.first


def _exponent(value: float) -> int:
    """The least e with value <= 2 ** e, for a value above 0."""
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 else exponent


def _number(value: float, exponent: int) -> int:
    """The number of the bin that a value falls into."""
    return math.floor(math.ldexp(value, -exponent))
