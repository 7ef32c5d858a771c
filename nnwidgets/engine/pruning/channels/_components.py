"""Connected components of many small integers, without a loop over them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["components", "joined"]

Ids = npt.NDArray[np.int64]


def components(n: int, a: Ids, b: Ids) -> Ids:
    """(n,) the smallest number that each of 0 ... n-1 is connected with by edges a[i] - b[i]."""
    return joined(np.arange(n, dtype=np.int64), a, b)


def joined(parent: Ids, a: Ids, b: Ids) -> Ids:
    """The components after more edges; ``parent`` is what `components` gave, and stays as it is."""
    parent = parent.copy()
    while True:
        a, b = parent[a], parent[b]
        differ = a != b
        if not differ.any():
            return parent
        a, b = a[differ], b[differ]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))  # a root gets a smaller one: no circle can arise
        while True:
            further = parent[parent]
            if np.array_equal(further, parent):
                break
            parent = further
