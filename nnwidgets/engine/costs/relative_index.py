"""Positions of nonzero weights as gaps of few bits (Han et al. 2015 and 2016, figure 2 of "Deep Compression").

A gap is the number of zeros before a weight, 0 to 2^k - 1. Where more zeros come, a filler is stored: a zero as if it were a
weight, 2^k places on. Zeros after the last weight need nothing: the shape is known.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import FileError

__all__ = ["GAP_BITS", "entries_of", "gaps_of", "positions_of", "relative_index_bytes"]

GAP_BITS = range(1, 9)

_Positions = npt.NDArray[np.int64]


def entries_of(positions: _Positions, bits: int) -> int:
    """Return how many entries there are: nonzero weights and fillers, for (n,) ascending positions."""
    return len(positions) + int((_steps(positions) // 2**bits).sum())


def gaps_of(positions: _Positions, bits: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return gaps below 2**bits and True for the fillers, (E,) each, for (n,) ascending positions."""
    zeros = _steps(positions)
    fillers = zeros >> bits
    places = np.cumsum(fillers + 1) - 1  # of the weights themselves among the entries
    entries = int(places[-1]) + 1 if len(places) else 0
    gaps, is_filler = np.full(entries, 2**bits - 1, np.uint8), np.ones(entries, np.bool_)
    gaps[places], is_filler[places] = zeros & (2**bits - 1), False
    return gaps, is_filler


def positions_of(gaps: npt.NDArray[np.uint8], count: int) -> _Positions:
    """Return the position of each entry, fillers too, among ``count`` weights.

    Raises:
        FileError: an entry lies behind the last weight.
    """
    places = np.cumsum(gaps.astype(np.int64) + 1) - 1
    if len(places) and places[-1] >= count:
        raise FileError(
            f"The relative index is damaged: it reaches place {int(places[-1])}, expected below {count}. "
            "Encode the weights again."
        )
    return places


def relative_index_bytes(entries: int, value_bits: int, gap_bits: int) -> int:
    """Return the bytes of values and gaps; a filler has a value too."""
    return -(-entries * value_bits // 8) + -(-entries * gap_bits // 8)


def _steps(positions: _Positions) -> _Positions:
    """Zeros before each weight."""
    zeros: _Positions = np.diff(positions, prepend=-1) - 1
    return zeros
