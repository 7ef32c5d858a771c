"""What is alive behind a layer, kept image by image within a number of bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from nnwidgets.engine.trace import Point

__all__ = ["Layout", "PointStore"]


@dataclass(frozen=True)
class _Rows:
    """A tensor whose first axis is the batch: shape and type of one image's row; ``last``: channels are innermost in memory."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    last: bool

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * torch.empty((), dtype=self.dtype).element_size()

    def stored(self, rows: Tensor) -> Tensor:
        """As it lies in the store, contiguous: a channels-last tensor with its axes moved."""
        return rows.movedim(1, -1) if self.last else rows

    def given(self, rows: Tensor) -> Tensor:
        """As the network wants it."""
        return rows.movedim(-1, 1) if self.last else rows


class _Size:
    """Stands for a number that is the size of the batch."""


@dataclass(frozen=True)
class Layout:
    """How a point is made of rows for each image, and of what does not depend on the images.

    Attributes:
        leaves: what stands at each leaf. shape: of the nested structure. place: of the points.
    """

    leaves: tuple[Any, ...]
    shape: Any
    place: int

    @classmethod
    def of(cls, two: Point, one: Point) -> Layout | None:
        """From the points of two images and of one; None where a point cannot be cut into images."""
        (pairs, shape), (single, other) = (pytree.tree_flatten(dict(point.kept)) for point in (two, one))
        if shape != other:
            return None
        leaves = [_leaf(a, b) for a, b in zip(pairs, single, strict=True)]
        return None if None in leaves else cls(tuple(leaf[0] for leaf in leaves if leaf is not None), shape, two.place)

    @property
    def nbytes(self) -> int:
        """Bytes an image."""
        return sum(leaf.nbytes for leaf in self.leaves if isinstance(leaf, _Rows))

    def point(self, rows: list[Tensor], batch: int) -> Point:
        """Put a point together again."""
        left = iter(rows)
        values = [
            leaf.given(next(left)) if isinstance(leaf, _Rows) else batch if isinstance(leaf, _Size) else leaf
            for leaf in self.leaves
        ]
        kept: dict[Hashable, Any] = pytree.tree_unflatten(values, self.shape)
        return Point(self.place, kept)

    def rows(self, point: Point) -> list[Tensor]:
        """The tensors of a point, an image a row, as they are stored."""
        values = pytree.tree_flatten(dict(point.kept))[0]
        return [leaf.stored(value) for leaf, value in zip(self.leaves, values, strict=True) if isinstance(leaf, _Rows)]


def _leaf(two: Any, one: Any) -> tuple[Any] | None:
    """What a leaf is, from its values for two images and for one, in a tuple; None where that cannot be told."""
    if isinstance(two, Tensor) and isinstance(one, Tensor):
        if two.dim() and len(two) == 2 and len(one) == 1 and two.shape[1:] == one.shape[1:]:
            last = two.dim() == 4 and not two.is_contiguous() and two.is_contiguous(memory_format=torch.channels_last)
            return (_Rows(tuple(two.shape[1:]), two.dtype, two.device, last),)
        return (two,) if two.shape == one.shape and torch.equal(two, one) else None
    if isinstance(two, bool) or not isinstance(two, int):
        return (two,) if two is one or (isinstance(two, (str, float, bool)) and two == one) else None
    return (_Size(),) if (two, one) == (2, 1) else (two,) if two == one else None


class PointStore:
    """Points of images that were run before.

    Args:
        layout: of the points. n: images in the sample. budget_bytes: for all of them; images that do not fit are not kept.

    Attributes:
        capacity: images that fit. kept: images that are there.
    """

    def __init__(self, layout: Layout, n: int, budget_bytes: int) -> None:
        self._layout = layout
        self.capacity = min(n, budget_bytes // max(layout.nbytes, 1))
        self.kept = 0
        self._slots = np.full(n, -1, np.int64)
        rows = [leaf for leaf in layout.leaves if isinstance(leaf, _Rows)]
        shapes = [(*leaf.shape[1:], leaf.shape[0]) if leaf.last else leaf.shape for leaf in rows]
        self._rows = [
            torch.empty((self.capacity, *shape), dtype=leaf.dtype, device=leaf.device)
            for leaf, shape in zip(rows, shapes, strict=True)
        ]

    def point(self, index: npt.NDArray[np.int64], compute: Callable[[npt.NDArray[np.int64]], Point]) -> Point:
        """The point of some images (B,): those that are kept are not computed."""
        slots = self._slots[index]
        missing = np.flatnonzero(slots < 0)
        if not len(missing):
            return self._layout.point(
                [rows.index_select(0, torch.from_numpy(slots).to(rows.device)) for rows in self._rows], len(index)
            )
        fresh = compute(index[missing])
        made = self._layout.rows(fresh)
        self._keep(index[missing], made)
        if len(missing) == len(index):
            return fresh
        where, there = torch.from_numpy(missing), torch.from_numpy(np.flatnonzero(slots >= 0))
        return self._layout.point(
            [self._mixed(rows, new, slots, where, there) for rows, new in zip(self._rows, made, strict=True)], len(index)
        )

    def _mixed(self, rows: Tensor, new: Tensor, slots: npt.NDArray[np.int64], where: Tensor, there: Tensor) -> Tensor:
        found = rows.new_empty((len(slots), *rows.shape[1:]))
        found[there] = rows.index_select(0, torch.from_numpy(slots)[there].to(rows.device))
        found[where] = new
        return found

    def _keep(self, index: npt.NDArray[np.int64], made: list[Tensor]) -> None:
        count = min(len(index), self.capacity - self.kept)
        if count <= 0:
            return
        for rows, new in zip(self._rows, made, strict=True):
            rows[self.kept : self.kept + count] = new[:count]
        self._slots[index[:count]] = np.arange(self.kept, self.kept + count)
        self.kept += count
