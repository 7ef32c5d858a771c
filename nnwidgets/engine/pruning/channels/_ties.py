"""What one forward pass says of slots: which go together, which must stay, and where there is a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.pruning.channels._components import components, joined
from nnwidgets.engine.pruning.channels._labels import Factor, axes_of

__all__ = ["Choice", "Ties"]

Ids = npt.NDArray[np.int64]
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Choice:
    """Labels that can get smaller in several ways; each option is (edges a, edges b, slots that stay)."""

    labels: Factor
    options: tuple[tuple[Ids, Ids, Ids], ...]
    where: str


class Ties:
    """Collects edges between slots; `solve` connects them."""

    def __init__(self) -> None:
        self._a: list[Ids] = []
        self._b: list[Ids] = []
        self.notes: list[tuple[int, int, str]] = []
        self.frozen: list[tuple[Ids, str]] = []
        self.choices: list[Choice] = []
        self.heads: list[Ids] = []

    def tie(self, a: Factor, b: Factor, why: str, place: str) -> None:
        """Tie two arrays, entry by entry. A slot that meets a place which is always there (-1) stays too.

        Args:
            why: what the operation does to one of them, with {} for the name of the other: "is added to {} in block".
        """
        one, other = (np.ascontiguousarray(x).reshape(-1) for x in np.broadcast_arrays(a, b))
        both = (one >= 0) & (other >= 0)
        if not both.all():
            lonely = np.where(one >= 0, one, other)[(one >= 0) ^ (other >= 0)]
            self.freeze(lonely, f"they meet places that are always there, such as padding of a fixed size, in {place}")
            one, other = one[both], other[both]
        if len(one):
            self._a.append(one)
            self._b.append(other)
            if why:
                self.notes.append((int(one[0]), int(other[0]), why))

    def tie_along(self, factor: Factor, axis: int) -> Factor:
        """Tie all entries along an axis, and return the labels without it."""
        first = factor[(slice(None),) * axis + (slice(0, 1),)]
        self.tie(first, factor, "", "")
        return first

    def freeze(self, slots: Factor, reason: str) -> None:
        """Slots that must stay."""
        flat = np.asarray(slots).reshape(-1)
        self.frozen.append((flat[flat >= 0], reason))

    def hold(self, factor: Factor, axis: int, reason: str, stays: bool = False) -> Factor | None:
        """The size of an axis must stay. Labels of other axes are returned, None where there are none.

        Args:
            stays: the result has the axis too; it keeps the labels, so that what meets them later stays for the same reason.
        """
        if axes_of(factor) == (axis,):
            self.freeze(factor, reason)
            return factor if stays else None
        return self.tie_along(factor, axis)

    def split(self, factor: Factor, where: str) -> None:
        """Labels speak of several axes: one of them can get smaller, the others stay."""
        options = tuple(_all_but(factor, axis) for axis in axes_of(factor))
        self.choices.append(Choice(factor, options, where))

    def edges(self) -> tuple[Ids, Ids]:
        """All edges that are sure."""
        return (np.concatenate(self._a), np.concatenate(self._b)) if self._a else (_NONE, _NONE)

    def solve(self, total: int) -> tuple[Ids, npt.NDArray[np.bool_], dict[int, str]]:
        """Return (total,) the component of each slot, (total,) whether its component must stay, and the reasons by component."""
        roots = components(total, *self.edges())
        extra: list[tuple[Ids, str]] = []
        for choice in self.choices:
            roots, staying = self._choose(roots, choice, total)
            if len(staying):
                extra.append((staying, f"they are used by each of several others in {choice.where}"))
        reasons: dict[int, str] = {}
        for slots, reason in reversed([*self.frozen, *extra]):  # the first reason is told
            reasons.update(dict.fromkeys(roots[slots].tolist(), reason))
        dead = np.zeros(total, dtype=bool)
        dead[list(reasons)] = True
        return roots, dead[roots], reasons

    def _choose(self, roots: Ids, choice: Choice, total: int) -> tuple[Ids, Ids]:
        """Take the option that leaves most units, the last of equals."""
        labels = choice.labels[choice.labels >= 0].reshape(-1)
        stay = np.zeros(total, dtype=bool)
        for slots, _ in self.frozen:
            stay[slots] = True
        best: tuple[int, Ids, Ids] | None = None
        for a, b, staying in choice.options:
            after = joined(roots, a, b)
            dead = np.zeros(total, dtype=bool)
            dead[after[stay]] = True
            dead[after[staying]] = True
            left = np.unique(after[labels])
            alive = int((~dead[left]).sum())
            if best is None or alive >= best[0]:
                best = (alive, after, staying)
        assert best is not None
        return best[1], best[2]


def _all_but(factor: Factor, axis: int) -> tuple[Ids, Ids, Ids]:
    """Edges along all axes but one."""
    first = factor[tuple(slice(None) if each == axis else slice(0, 1) for each in range(factor.ndim))]
    a, b = (np.ascontiguousarray(x).reshape(-1) for x in np.broadcast_arrays(first, factor))
    good = (a >= 0) & (b >= 0)
    return a[good], b[good], _NONE


def shared_or_tied(small: Factor, large: Factor) -> tuple[tuple[Ids, Ids, Ids], ...]:
    """Options where labels of few axes meet labels of more: they go together, or the few stay and the others get smaller."""
    a, b = (np.ascontiguousarray(x).reshape(-1) for x in np.broadcast_arrays(small, large))
    good = (a >= 0) & (b >= 0)
    first = large[tuple(slice(0, 1) if axis in axes_of(small) else slice(None) for axis in range(large.ndim))]
    c, d = (np.ascontiguousarray(x).reshape(-1) for x in np.broadcast_arrays(first, large))
    fine = (c >= 0) & (d >= 0)
    return ((c[fine], d[fine], small[small >= 0].reshape(-1)), (a[good], b[good], _NONE))


def as_ids(values: Sequence[int]) -> Ids:
    """A plain list as an array of slots."""
    return np.asarray(values, dtype=np.int64)
