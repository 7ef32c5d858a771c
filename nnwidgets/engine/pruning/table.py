"""Which of millions of weights are the smallest, in microseconds: sorted magnitudes and cumulative histograms, built once."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnwidgets.engine.errors import ModelError, RecipeError

__all__ = ["MagnitudeTable", "Selection"]

_SHIFT = 13  # a bin is the float's exponent and the first 10 bits of its mantissa: 1,024 bins an octave
_MANY = 4_000_000  # weights; from here on bins are half as wide, so that one still holds only some thousands
_OCTAVES = 24  # below the largest magnitude; what is smaller shares one bin
_KEPT_TOTALS = 8
_FEW = 100_000  # numbers of a bin that are parted; scores that are squares, or equal, can come in millions

_Keys = npt.NDArray[np.int32] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Selection:
    """The weights to remove: in each layer those below its threshold, and the first ``ties`` of those equal to it.

    Attributes:
        names: of the layers, L of them; the arrays are (L,) in this order.
        thresholds: float32 magnitudes; -1 where the layer loses nothing.
        removed: how many weights the layer loses. ties: how many of these are equal to the threshold.
        equal: how many weights of the layer are equal to it.
    """

    names: tuple[str, ...]
    thresholds: npt.NDArray[np.float32]
    removed: npt.NDArray[np.int64]
    ties: npt.NDArray[np.int64]
    equal: npt.NDArray[np.int64]

    def keep(self, name: str, scores: Tensor) -> Tensor:
        """Return a bool tensor of the shape of ``scores`` (weights, or what the table was built from), True where it is kept.

        Among equal magnitudes the first in row-major order go first.
        """
        i = self.names.index(name)
        threshold, ties = float(self.thresholds[i]), int(self.ties[i])
        size = scores.detach().abs().float()
        if self.removed[i] == 0:
            return torch.ones_like(size, dtype=torch.bool, memory_format=torch.contiguous_format)
        kept = (size > threshold).contiguous()
        if ties < self.equal[i]:
            equal = (size == threshold).reshape(-1).nonzero().reshape(-1)
            kept.view(-1)[equal[ties:]] = True
        return kept


class MagnitudeTable:
    """Sorted |w| of each layer with a cumulative histogram over the bit patterns of floats.

    Selecting needs no pass over the weights: the bin in which the threshold lies is found in the histogram, and only the few
    thousand weights of that bin are looked at. Counts are exact; magnitudes are compared as float32. Memory: 2 bytes a weight
    (within a bin only the low bits of a float differ) and 100 to 200 kB a layer.

    Args:
        weights: name -> tensor of any shape. Nonnegative scores of another criterion will do as well.

    Raises:
        ModelError: a weight is NaN or infinite.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.names = tuple(weights)
        self._place = {name: i for i, name in enumerate(self.names)}
        largest = max((_largest(name, weight) for name, weight in weights.items()), default=np.float32(0))
        shift = _SHIFT if sum(weight.numel() for weight in weights.values()) < _MANY else _SHIFT - 1
        self._edges = _edges(int(largest.view(np.int32)), shift)
        self.sizes = {name: weight.numel() for name, weight in weights.items()}
        counts: list[npt.NDArray[np.int32]] = []
        self._tiny: list[_Keys] = []
        self._low: list[_Keys] = []
        for weight in weights.values():  # one after the other: sorted floats of all layers at once would take 4 bytes a weight
            patterns = np.sort(_magnitudes(weight)).view(np.int32)
            below = patterns.searchsorted(self._edges).astype(np.int32)
            counts.append(below)
            self._tiny.append(patterns[below[1] : below[2]].copy())
            self._low.append((patterns[below[2] :] & ((1 << shift) - 1)).astype(np.uint16))
        # (bins, L): how many magnitudes of each layer lie below an edge. One row is read for each selection.
        self._below = np.stack(counts or [np.zeros_like(self._edges)], axis=1)
        self._totals: OrderedDict[frozenset[str], tuple[list[int], npt.NDArray[np.int64]]] = OrderedDict()

    def zeros(self, name: str) -> int:
        """Return how many of a layer's magnitudes are exactly zero."""
        return int(self._below[1, self._place[name]])

    def select(self, amount: float | Mapping[str, float], exclude: Collection[str] = ()) -> Selection:
        """Choose the weights to remove.

        Args:
            amount: one share of all layers together: the round(amount * N) smallest of N go, wherever they are, ties in the
                order of layers and then of weights. Or {layer: share}: round(share * n) in each, none in layers not named.
            exclude: layers that neither lose weights nor count in N.

        Raises:
            RecipeError: an unknown layer.
        """
        for name in (*exclude, *(amount if isinstance(amount, Mapping) else ())):
            if name not in self._place:
                raise RecipeError(f"The table has no layer {name!r}; it has {', '.join(self.names[:12])}.")
        if isinstance(amount, Mapping):
            return self._select_each({n: round(a * self.sizes[n]) for n, a in amount.items() if n not in exclude})
        layers, total = self._total(frozenset(exclude))
        return self._select_together(round(amount * int(total[-1])), layers, total)

    def _total(self, exclude: frozenset[str]) -> tuple[list[int], npt.NDArray[np.int64]]:
        """The cumulative histogram of all layers together."""
        found = self._totals.get(exclude)
        if found is None:
            layers = [i for i, name in enumerate(self.names) if name not in exclude]
            found = layers, self._below[:, layers].sum(axis=1, dtype=np.int64)
            self._totals[exclude] = found
            for old in list(self._totals)[:-_KEPT_TOTALS]:
                self._totals.pop(old, None)
        return found

    def _select_together(self, count: int, layers: list[int], total: npt.NDArray[np.int64]) -> Selection:
        thresholds, removed, ties, equal = self._nothing()
        if count == 0:
            return Selection(self.names, thresholds, removed, ties, equal)
        place = int(total.searchsorted(count)) - 1  # total[place] < count <= total[place + 1]
        starts, ends = self._below[place, layers].astype(np.int64), self._below[place + 1, layers].astype(np.int64)
        value, below, same = self._in_bin(layers, starts, ends, count - int(total[place]), place)
        below += starts
        before = np.cumsum(same) - same
        taken = np.clip(count - int(below.sum()) - before, 0, same)
        thresholds[layers], removed[layers] = value, below + taken
        ties[layers], equal[layers] = taken, same
        return Selection(self.names, thresholds, removed, ties, equal)

    def _in_bin(
        self, layers: list[int], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], rank: int, place: int
    ) -> tuple[np.float32, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rank-th smallest magnitude of a bin (from 1), and for each layer how many in it are below and equal."""
        if place == 0:
            return np.float32(0), np.zeros_like(starts), ends - starts
        keys = [self._keys(i, place, a, b) for i, a, b in zip(layers, starts.tolist(), ends.tolist(), strict=True)]
        find = _by_parting if int((ends - starts).sum()) <= _FEW else _by_halving
        key, below, up_to = find(keys, rank)
        return self._magnitude(place, key), below, up_to - below

    def _keys(self, layer: int, place: int, start: int, end: int) -> _Keys:
        """The magnitudes at positions start to end of a layer, all of them in one bin: ascending bits above its edge."""
        if place == 0:
            return np.zeros(end - start, np.uint16)
        first = int(self._below[min(place, 2), layer])
        return (self._tiny if place == 1 else self._low)[layer][start - first : end - first]

    def _magnitude(self, place: int, key: int) -> np.float32:
        edge = 0 if place <= 1 else int(self._edges[place])
        value: np.float32 = np.int32(edge + key).view(np.float32)
        return value

    def _select_each(self, counts: Mapping[str, int]) -> Selection:
        thresholds, removed, ties, equal = self._nothing()
        for name, count in counts.items():
            if count == 0:
                continue
            i = self._place[name]
            place = bisect_right(self._below[:, i], count - 1) - 1  # the bin of the last weight that goes
            start, end = int(self._below[place, i]), int(self._below[place + 1, i])
            keys = self._keys(i, place, start, end)
            key = keys[count - 1 - start]
            below = start + int(keys.searchsorted(key, "left"))
            thresholds[i], removed[i], ties[i] = self._magnitude(place, int(key)), count, count - below
            equal[i] = start + int(keys.searchsorted(key, "right")) - below
        return Selection(self.names, thresholds, removed, ties, equal)

    def _nothing(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        n = len(self.names)
        return np.full(n, -1, np.float32), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)


def _magnitudes(weight: Tensor) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = weight.detach().abs().float().reshape(-1).cpu().numpy()
    return values


def _largest(name: str, weight: Tensor) -> np.float32:
    values = _magnitudes(weight)
    largest = values.max(initial=np.float32(0))  # NaN where there is one
    if not np.isfinite(largest):
        raise ModelError(
            f"The weights of {name!r} are not all finite (NaN or infinite); nothing can be chosen by size. Train it again."
        )
    return np.float32(largest)


def _edges(largest: int, shift: int) -> npt.NDArray[np.int32]:
    """Bit patterns that part the bins: zeros, all that is tiny, then 2**(23 - shift) an octave up to the largest."""
    last = largest >> shift
    first = max(0, last - (_OCTAVES << (23 - shift)))
    return np.concatenate([[0, 1], np.arange(first + 1, last + 2) << shift]).astype(np.int32)


_Found = tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""The rank-th smallest of ascending keys (from 1), and for each part of them how many are below it, and how many not above."""


def _by_parting(parts: list[_Keys], rank: int) -> _Found:
    """All of them are looked at."""
    keys = np.concatenate(parts)
    key = np.partition(keys, rank - 1)[rank - 1]
    stops = np.cumsum([len(part) for part in parts])
    return int(key), _counts_up_to(keys < key, stops), _counts_up_to(keys <= key, stops)


def _by_halving(parts: list[_Keys], rank: int) -> _Found:
    """The range of keys is halved until one is left: at most 32 looks, however many there are."""

    def counts(key: int, side: Literal["left", "right"]) -> npt.NDArray[np.int64]:
        return np.array([part.searchsorted(part.dtype.type(key), side) for part in parts], np.int64)

    low, high = 0, max(int(part[-1]) for part in parts if len(part))
    while low < high:
        middle = (low + high) // 2
        if int(counts(middle, "right").sum()) < rank:
            low = middle + 1
        else:
            high = middle
    return low, counts(low, "left"), counts(low, "right")


def _counts_up_to(flags: npt.NDArray[np.bool_], stops: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count flags in the segments that end at ``stops``."""
    sums = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=sums[1:])
    found = sums[stops]
    found[1:] -= sums[stops[:-1]]
    return found
