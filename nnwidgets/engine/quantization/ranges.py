"""Where the range of a grid ends: at the largest numbers, or nearer, so that the many are rounded finer and a few are clipped.

All work on rows: (R, n) float32, a row for each scale, and return (R, 1) lower and upper ends that hold zero between them.
Numbers that are exactly zero (pruned) are not counted: they are zero on every grid.

minmax: the smallest and the largest. percentile: ends that this share of the numbers (by size where levels are symmetric) does
not exceed, by nearest rank. mse: the smallest sum of squared errors, where both ends are drawn in by the same factor, from 1 to
0.1 in steps of 0.05, then of 0.01 (Sung et al. 2015; Banner et al. 2019). hand: a given share of each whole range. kl: the
smallest Kullback-Leibler divergence between the histogram of magnitudes, clipped, and the same in as many bins as there are
levels on one side (Migacz 2017), with at most a twentieth of the numbers clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Ends", "ends_of", "kl_limit", "percentile_ends"]

Ends = tuple[Tensor, Tensor]
_COARSE = tuple(round(1 - 0.05 * i, 2) for i in range(19))
_FINE = tuple(round(0.01 * i, 2) for i in (-4, -3, -2, -1, 1, 2, 3, 4))
_MANY_BINS, _FEW_BINS, _FEW_ROWS = 2048, 256, 8
_MOST_CLIPPED = 0.05  # of the numbers of a row, by kl: with few levels, or few different numbers, it would keep next to nothing
_STOPS, _FEW_STOPS = 128, 48  # thresholds that kl tries, of few rows and of many


def ends_of(
    rows: Tensor,
    bits: int,
    symmetric: bool,
    observer: str,
    percentile: float,
    levels: Callable[[Tensor, Tensor], Tensor],
    share: float = 1.0,
) -> Ends:
    """Return the ends by an observer.

    Args:
        levels: (..., 1) low and high -> (..., L) ascending levels of the grid between these ends, for "mse".
        share: of the whole range, for "hand".
    """
    low, high = rows.amin(1, keepdim=True).clamp(max=0), rows.amax(1, keepdim=True).clamp(min=0)
    if symmetric:
        high = torch.maximum(-low, high)
        low = -high
    if observer == "percentile":
        return percentile_ends(rows, symmetric, percentile)
    if observer == "hand":
        return low * share, high * share
    if observer == "mse":
        return _least_squares(rows, low, high, levels)
    if observer == "kl":
        limit = kl_limit(rows, max(1, 2 ** (bits - 1) - 1 if symmetric else 2 ** (bits - 1)))
        return torch.maximum(low, -limit), torch.minimum(high, limit)
    return low, high


def percentile_ends(rows: Tensor, symmetric: bool, percentile: float) -> Ends:
    """Return the ends that ``percentile`` per cent of the numbers that are not zero do not exceed."""
    values = (rows.abs() if symmetric else rows).sort(1).values
    zeros = (values == 0).sum(1, keepdim=True)
    below = (values < 0).sum(1, keepdim=True)
    count = values.shape[1] - zeros
    share = torch.tensor(percentile / 100, dtype=torch.float64, device=rows.device)

    def at(rank: Tensor) -> Tensor:
        """The number of this rank, from 0, of those that are not zero; zero where there is none."""
        rank = torch.minimum(rank.clamp(min=0), (count - 1).clamp(min=0))
        place = torch.where(rank < below, rank, rank + zeros).clamp(max=values.shape[1] - 1)
        return values.gather(1, place).where(count > 0, torch.zeros_like(values[:, :1]))

    highest = at((share * count).ceil().long() - 1)
    if symmetric:
        return -highest, highest
    lowest = at(count - (share * count).ceil().long())
    return lowest.clamp(max=0), highest.clamp(min=0)


class _Sorted:
    """Rows in order with running sums, so that the squared error of any grid is known without a pass over the numbers."""

    def __init__(self, rows: Tensor) -> None:
        self._values = rows.sort(1).values.contiguous()
        wide = self._values.double()
        start = torch.zeros(len(rows), 1, dtype=torch.float64, device=rows.device)
        self._sums = torch.cat([start, wide.cumsum(1)], dim=1)
        self._squares = torch.cat([start, wide.square().cumsum(1)], dim=1)

    def errors(self, levels: Tensor) -> Tensor:
        """Return (R, K) for K grids of each row, (R, K, L) ascending levels: each number goes to the nearest."""
        levels = levels.double()
        rows, grids, _ = levels.shape
        cuts = ((levels[..., 1:] + levels[..., :-1]) / 2).to(self._values)
        inner = torch.searchsorted(self._values, cuts.reshape(rows, -1)).reshape(cuts.shape)
        first = torch.zeros(rows, grids, 1, dtype=torch.int64, device=levels.device)
        places = torch.cat([first, inner, torch.full_like(first, self._values.shape[1])], dim=2)
        flat = places.reshape(rows, -1)
        sums = self._sums.gather(1, flat).reshape(places.shape).diff(dim=2)
        squares = self._squares.gather(1, flat).reshape(places.shape).diff(dim=2)
        return (squares - 2 * levels * sums + places.diff(dim=2) * levels.square()).sum(2)

    @property
    def power(self) -> Tensor:
        """(R, 1) sum of squares."""
        return self._squares[:, -1:]


def _least_squares(rows: Tensor, low: Tensor, high: Tensor, levels: Callable[[Tensor, Tensor], Tensor]) -> Ends:
    known = _Sorted(rows)

    def tried(factors: Tensor) -> tuple[Tensor, Tensor]:
        """The best of (R, K) factors, the first of equal ones, and what they all cost."""
        errors = known.errors(levels((low * factors)[..., None], (high * factors)[..., None]))
        return factors.gather(1, errors.argmin(1, keepdim=True)), errors

    coarse = torch.tensor(_COARSE, device=rows.device).expand(len(rows), -1)
    best, errors = tried(coarse)
    exact = errors[:, :1] <= 1e-12 * known.power  # such as a constant: sums differ in their last bits only
    fine = torch.tensor((0.0, *_FINE), device=rows.device)
    best, _ = tried((best + fine).clamp(0.01, 1.0))
    best = torch.where(exact, torch.ones_like(best), best)
    return low * best, high * best


def kl_limit(rows: Tensor, levels: int) -> Tensor:
    """Return (R, 1), the magnitude to clip each row at so that its histogram keeps most information in ``levels`` bins."""
    sizes = rows.abs().double().cpu().numpy()
    most = sizes.max(axis=1, keepdims=True, initial=0.0)
    bins = _MANY_BINS if len(sizes) <= _FEW_ROWS else _FEW_BINS
    if levels >= bins or sizes.size == 0:
        return torch.from_numpy(most).to(rows)
    counts = _counts(sizes, most, bins)
    tried = _STOPS if bins == _MANY_BINS else _FEW_STOPS
    stops = np.unique(np.linspace(levels, bins, min(tried, bins - levels + 1)).round().astype(int))
    losses = np.stack([_divergence(counts, int(stop), levels) for stop in stops], axis=1)
    beyond = 1 - counts.cumsum(axis=1)[:, stops - 1] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    losses[beyond > _MOST_CLIPPED + 1e-12] = np.inf
    # Of equal ones the widest: nothing is clipped for nothing.
    chosen = stops[losses.shape[1] - 1 - losses[:, ::-1].argmin(axis=1)]
    limit = most * np.where(chosen == bins, 1.0, chosen / bins)[:, None]
    return torch.from_numpy(limit).to(rows)


def _counts(sizes: npt.NDArray[Any], most: npt.NDArray[Any], bins: int) -> npt.NDArray[np.float64]:
    """(R, bins) how many magnitudes lie in each bin from zero to the largest of the row; zeros are not counted."""
    scaled = sizes * (bins / np.where(most == 0, 1, most))
    place = np.minimum(scaled.astype(np.int64), bins - 1) + bins * np.arange(len(sizes))[:, None]
    found = np.bincount(place.ravel(), weights=(sizes > 0).ravel().astype(float), minlength=bins * len(sizes))
    return found.astype(np.float64).reshape(len(sizes), bins)


def _divergence(counts: npt.NDArray[np.float64], stop: int, levels: int) -> npt.NDArray[np.float64]:
    """(R,) divergence of the first ``stop`` bins, with all beyond in the last, from the same in ``levels`` equal groups."""
    kept = counts[:, :stop]
    true = kept.copy()
    true[:, -1] += counts[:, stop:].sum(axis=1)
    starts = (np.arange(levels) * stop) // levels
    sums, filled = np.add.reduceat(kept, starts, axis=1), np.add.reduceat((kept > 0).astype(float), starts, axis=1)
    group = np.searchsorted(starts, np.arange(stop), side="right") - 1
    spread = (sums / np.maximum(filled, 1))[:, group] * (kept > 0)
    total_true, total_spread = true.sum(axis=1, keepdims=True), spread.sum(axis=1, keepdims=True)
    p, q = true / np.maximum(total_true, 1), spread / np.maximum(total_spread, 1e-300)
    missing = (p > 0) & (q == 0)  # what was clipped into a bin that was empty
    ratio = np.where((p > 0) & (q > 0), p / np.where(q > 0, q, 1), 1.0)
    found: npt.NDArray[np.float64] = (p * np.log(ratio)).sum(axis=1)
    found[missing.any(axis=1)] = np.inf
    return found
