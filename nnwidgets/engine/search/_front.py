"""What nothing else beats in both respects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import InputError

__all__ = ["pareto_front"]


def pareto_front(points: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return which points nothing else beats: no other one has a merit as small and an accuracy as high, and one of both better.

    Equal points are on the front together, or not at all.

    Args:
        points: (N, 2): merit (bytes, MACs, ms, µJ: the smaller the better) and accuracy (the larger the better).

    Returns:
        (M,) int64, positions in ``points`` by growing merit, equal ones in the order given; accuracy grows with them.

    Raises:
        InputError: another shape, or NaN.
    """
    try:
        values = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"points: got {type(points).__name__}, expected numbers (N, 2), merit and accuracy.") from error
    if not values.size:
        return np.zeros(0, np.int64)
    if values.ndim != 2 or values.shape[1] != 2 or np.isnan(values).any():
        what = "NaN" if values.ndim == 2 and values.shape[1] == 2 else f"shape {values.shape}"
        raise InputError(f"points: got {what}, expected numbers (N, 2), merit and accuracy.")
    merit, accuracy = values[:, 0], values[:, 1]
    order = np.lexsort((np.arange(len(values)), -accuracy, merit))
    kept: list[int] = []
    for position in order:
        last = kept[-1] if kept else None
        if last is None or accuracy[position] > accuracy[last] or _equal(values, position, last):
            kept.append(int(position))
    return np.array(kept, np.int64)


def _equal(values: npt.NDArray[np.float64], one: int, other: int) -> bool:
    return bool((values[one] == values[other]).all())
