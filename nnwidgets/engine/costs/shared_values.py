"""A codebook of few values that the weights of a layer share: k-means in one dimension (Han et al. 2016, section 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["codebook_of", "codes_of", "middles_of"]

_ROUNDS = 100
_F64 = npt.NDArray[np.float64]


def codebook_of(values: npt.NDArray[np.floating], size: int, rounds: int = _ROUNDS) -> npt.NDArray[np.float32]:
    """Return (size,) float32 values, ascending, that stand for (n,) values with a small mean square error.

    Lloyd's algorithm from values spread evenly between the smallest and the largest, which Han et al. found best for networks. On
    sorted numbers a cluster is an interval and its sum a difference of two partial sums, so that a round takes size * log n. The
    error never grows from round to round; the end is a local optimum. No more than ``size`` different values are kept exactly.
    """
    ordered = np.sort(values)
    if not len(ordered):
        return np.zeros(size, np.float32)
    rises = ordered[1:] != ordered[:-1]
    if np.count_nonzero(rises) < size:
        distinct = ordered[np.concatenate([[True], rises])]
        return np.concatenate([distinct, np.full(size - len(distinct), distinct[-1])]).astype(np.float32)
    sums = np.concatenate([[0.0], np.cumsum(ordered, dtype=np.float64)])
    centres: _F64 = np.linspace(ordered[0], ordered[-1], size)
    edges = _edges(ordered, centres)
    for _ in range(rounds):
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        centres = np.sort(np.where(counts > 0, means, centres))  # an empty cluster stays where it is
        moved = _edges(ordered, centres)
        if np.array_equal(moved, edges):
            break
        edges = moved
    return centres.astype(np.float32)


def codes_of(values: npt.NDArray[np.floating], codebook: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the place of the nearest value of an ascending codebook for (n,) values, the lower of two that are equally near."""
    return np.searchsorted(middles_of(codebook.astype(np.float64), values.dtype), values, side="left").astype(np.uint8)


def middles_of(centres: _F64, dtype: npt.DTypeLike) -> npt.NDArray[np.floating]:
    """Return what lies between (K,) ascending values: (K - 1,) in a dtype, the next number below where it does not hold them.

    A number of that dtype is above a middle if and only if it is above what is returned. Searching one dtype for another would
    convert all of it, each time.
    """
    middles = (centres[1:] + centres[:-1]) / 2
    held = middles.astype(dtype)
    return np.where(held > middles, np.nextafter(held, np.array(-np.inf, held.dtype)), held)


def _edges(ordered: npt.NDArray[np.floating], centres: _F64) -> npt.NDArray[np.int64]:
    inner = np.searchsorted(ordered, middles_of(centres, ordered.dtype), side="right")
    return np.concatenate([[0], inner, [len(ordered)]]).astype(np.int64)
