"""Labels: which channel each place of a tensor belongs to.

A tensor carries factors: integer arrays of its rank, with size 1 along the axes that they do not speak of. The entry of a factor
is the slot (see `_slots`) that this place stands and falls with; -1 is a place that is always there. No two factors of a tensor
speak of the same axis. Where a factor speaks of two axes and more (channels viewed as groups x channels), which of them can get
smaller is decided later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Factor", "Factors", "axes_of", "covering", "reshaped", "trimmed"]

Factor = npt.NDArray[np.int64]
Factors = list[Factor]


def axes_of(factor: Factor) -> tuple[int, ...]:
    """The axes that a factor speaks of."""
    return tuple(axis for axis, size in enumerate(factor.shape) if size > 1)


def covering(factors: Factors, axis: int) -> Factor | None:
    """The factor that speaks of an axis, or None."""
    return next((factor for factor in factors if factor.shape[axis] > 1), None)


def trimmed(factor: Factor) -> Factor:
    """The same labels without the axes along which nothing changes."""
    for axis in axes_of(factor):
        first = factor[(slice(None),) * axis + (slice(0, 1),)]
        if (factor == first).all():
            factor = first
    return factor


def reshaped(factors: Factors, old: Sequence[int], new: Sequence[int]) -> tuple[Factors, Factors, Factors]:
    """Labels after a view.

    Returns:
        (the new factors, those of them that now speak of several axes for the first time, the old ones that were lost because
        two of them were merged into one axis).
    """
    parts = _segments(old, new)
    touching = [[p for p, (i, j, _, _) in enumerate(parts) if max(factor.shape[i:j], default=1) > 1] for factor in factors]
    changed = {p for p, (i, j, k, m) in enumerate(parts) if _plain(old[i:j]) != _plain(new[k:m])}
    kept: Factors = []
    split: Factors = []
    lost: Factors = []
    for number, factor in enumerate(factors):
        mine = set(touching[number])
        others = {p for other, touched in enumerate(touching) if other != number for p in touched}
        if mine & others & changed:
            lost.append(factor)
            continue
        full, shape = list(factor.shape), [1] * len(new)
        for p in mine:
            i, j, k, m = parts[p]
            full[i:j] = old[i:j]
            shape[k:m] = new[k:m]
        moved = trimmed(np.broadcast_to(factor, full).reshape(shape))
        kept.append(moved)
        if any(sum(size > 1 for size in moved.shape[parts[p][2] : parts[p][3]]) > 1 for p in mine & changed):
            split.append(moved)
    return kept, split, lost


def _plain(sizes: Sequence[int]) -> list[int]:
    return [size for size in sizes if size != 1]


def _segments(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Runs of axes old[i:j] and new[k:m] with the same product, as short as can be."""
    found: list[tuple[int, int, int, int]] = []
    i = k = 0
    while i < len(old) and k < len(new):
        start_i, start_k, a, b = i, k, old[i], new[k]
        i, k = i + 1, k + 1
        while a != b:
            if a < b:
                a, i = a * old[i], i + 1
            else:
                b, k = b * new[k], k + 1
        found.append((start_i, i, start_k, k))
    if found:
        found[-1] = (found[-1][0], len(old), found[-1][2], len(new))  # the rest are ones
    return found
