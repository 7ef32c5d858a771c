"""The statistics of one layer while they grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nnwidgets.engine.errors import ModelError, UnsupportedError
from nnwidgets.engine.inspect._axes import Frame
from nnwidgets.engine.inspect._bounds import bounds_of
from nnwidgets.engine.inspect._grid import Counts, Grid
from nnwidgets.engine.inspect._layout import Layout
from nnwidgets.engine.inspect._maps import view_as_maps
from nnwidgets.engine.inspect._sites import Site
from nnwidgets.engine.inspect._summary import Extremes, Numbers, Summary, summarize
from nnwidgets.engine.inspect.statistics_records import UnitStatistics
from nnwidgets.engine.trace.weights import kind_of

__all__ = ["Classes", "Gathering"]

_MOST_INT32 = int(np.iinfo(np.int32).max)


class Gathering:
    """Sums up what one layer gives, batch after batch. A batch counts once it is added, not when it is looked at.

    Args:
        module: None for a function. bins: of the histogram. classes: K, 0 without labels.
        layout, frame: as `as_maps` takes them.
    """

    _shift: Numbers  # (C,) near the mean of each channel, fixed by the first batch
    _low: Numbers
    _high: Numbers
    _sums: Numbers
    _squares: Numbers
    _nonzero: Numbers
    _balance: Numbers
    _above: Numbers
    _varies: Numbers
    _saturated: Numbers
    _grid: Grid
    _counts: Counts
    _seen: npt.NDArray[np.int64]  # (U,) classes met so far, in order: of a thousand a sample may hold ten
    _class_sums: Numbers  # (U, C)
    _class_rectified: Numbers | None  # None as long as nothing is below 0: both are the same then

    def __init__(
        self,
        site: Site,
        module: nn.Module | None,
        bins: int,
        classes: int,
        layout: Layout | None = None,
        frame: Frame = None,
    ) -> None:
        self.site, self._module, self._bins, self._classes = site, module, bins, classes
        self._layout, self._frame = layout, frame
        self._kind = kind_of(module) if module is not None else site.name.rpartition("(")[2].rstrip(")")
        self._bounds = bounds_of(module, self._kind)
        self._n, self._positions, self._note = 0, 0, ""

    def look(self, result: object, batch: int) -> Summary:
        """Sum up what the layer gave for a batch. Nothing of it is kept.

        Raises:
            UnsupportedError: it has no channels. ModelError: it holds NaN or infinity, or has another shape than before.
        """
        maps = view_as_maps(result, batch, self.site, self._module, self._layout, self._frame)
        values = maps.values.flatten(2)
        if values.dtype not in (torch.float32, torch.float64):
            values = values.float()
        if not values.numel():
            raise UnsupportedError(f"{self.site} gives nothing: its shape is {tuple(maps.values.shape)}.")
        if self._n and (values.shape[1], values.shape[2]) != (len(self._low), self._positions):
            raise ModelError(f"{self.site} gives another shape from one batch to the next; expected images of one size.")
        self._note = maps.note
        extremes = Extremes.of(values)
        if not extremes.finite:
            bad = int((~torch.isfinite(extremes.lows + extremes.highs)).any(1).sum())
            raise ModelError(f"{self.site} gives NaN or infinity for {bad} of {batch} images; look at the weights before it.")
        shift = self._shift if self._n else (extremes.low + extremes.high) / 2
        grid = self._grid_for(float(extremes.low.min()), float(extremes.high.max()))
        return summarize(values, extremes, shift, grid, self._bounds)

    def _grid_for(self, low: float, high: float) -> Grid:
        if not self._n:
            return Grid.over(low, high, self._bins)
        before = float(self._low.min()), float(self._high.max())
        constant = before[0] == before[1]  # one number is counted so far: it can be moved into any bins
        return Grid.over(min(low, before[0]), max(high, before[1]), self._bins, None if constant else self._grid.exponent)

    def add(self, summary: Summary, classes: Classes | None) -> None:
        """Count a batch in."""
        if not self._n:
            self._start(summary)
        one = float(self._low.min()) if self._n and self._low.min() == self._high.max() else None
        counts = _moved(self._counts, self._grid, summary.grid, one)
        self._n += len(summary.sums)
        if self._n * self._positions > _MOST_INT32:
            counts = counts.astype(np.int64, copy=False)
        counts += summary.counts
        self._counts, self._grid = counts, summary.grid
        self._low, self._high = np.minimum(self._low, summary.low), np.maximum(self._high, summary.high)
        self._sums += summary.sums.sum(0)
        self._squares += summary.squares
        self._nonzero += summary.nonzero
        self._balance += summary.balance
        self._above += summary.above
        self._varies += summary.varies
        if summary.saturated is not None:
            self._saturated += summary.saturated
        if classes is not None:
            self._add_classes(summary, classes)

    def _start(self, summary: Summary) -> None:
        channels = len(summary.low)
        self._positions, self._grid = summary.positions, summary.grid
        self._shift = (summary.low + summary.high) / 2
        self._low, self._high = summary.low, summary.high
        self._sums, self._squares, self._nonzero, self._balance, self._above, self._varies, self._saturated = np.zeros(
            (7, channels)
        )
        self._counts = np.zeros(summary.counts.shape, np.int32)
        self._seen = np.zeros(0, np.int64)
        self._class_sums, self._class_rectified = np.zeros((0, channels)), None

    def _add_classes(self, summary: Summary, classes: Classes) -> None:
        self._make_room(classes.present)
        rows = np.searchsorted(self._seen, classes.present)
        sums = classes.sum(summary.sums + self._positions * self._shift)
        if summary.rectified is not None and self._class_rectified is None:
            self._class_rectified = self._class_sums.copy()
        if self._class_rectified is not None:
            self._class_rectified[rows] += sums if summary.rectified is None else classes.sum(summary.rectified)
        self._class_sums[rows] += sums

    def _make_room(self, present: npt.NDArray[np.int64]) -> None:
        """Rows for classes that were not met before."""
        known = np.union1d(self._seen, present)
        if len(known) == len(self._seen):
            return
        rows = np.searchsorted(known, self._seen)

        def spread(sums: Numbers) -> Numbers:
            found = np.zeros((len(known), sums.shape[1]))
            found[rows] = sums
            return found

        self._class_sums = spread(self._class_sums)
        self._class_rectified = None if self._class_rectified is None else spread(self._class_rectified)
        self._seen = known

    def record(self, class_counts: npt.NDArray[np.int64]) -> UnitStatistics | None:
        """What is known by now, None before the first batch.

        Args:
            class_counts: (K,) images seen of each class.
        """
        if not self._n:
            return None
        numbers = self._n * self._positions
        shifted = self._sums / numbers
        rectified = bool((self._low >= 0).all())
        means, selectivity, preferred = self._selectivity(class_counts)
        return UnitStatistics(
            site=self.site,
            kind=self._kind,
            n=self._n,
            positions=self._positions,
            note=self._note,
            mean=shifted + self._shift,
            variance=np.maximum(self._squares / numbers - np.square(shifted), 0.0),
            minimum=self._low.copy(),
            maximum=self._high.copy(),
            zeros=1 - self._nonzero / numbers,
            nonpositive=1 - (self._nonzero + self._balance) / (2 * numbers),
            rectified=rectified,
            alive=(self._above if rectified else self._varies) / self._n,
            dead=(self._low == self._high) & (numbers > 1),
            saturated=None if self._bounds is None else self._saturated / numbers,
            edges=self._grid.edges,
            histogram=self._counts.copy(),
            class_counts=class_counts.copy() if self._classes else None,
            seen_classes=self._seen.copy() if self._classes else None,
            seen_means=means,
            selectivity=selectivity,
            preferred=preferred,
        )

    def _selectivity(self, counts: npt.NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """(means of the classes seen, selectivity, preferred class)."""
        if not self._classes:
            return None, None, None
        seen = self._seen
        per_class = (counts[seen] * float(self._positions))[:, None]
        means = self._class_sums / per_class
        if len(seen) < 2:
            return means, None, None
        positive = means if self._class_rectified is None else self._class_rectified / per_class
        largest = positive.max(0)
        rest = (positive.sum(0) - largest) / (len(seen) - 1)
        there = largest > 0
        selectivity = np.where(there, (largest - rest) / np.where(there, largest + rest, 1.0), 0.0)
        return means, selectivity, np.where(there, seen[positive.argmax(0)], -1)


@dataclass(frozen=True)
class Classes:
    """The classes of a batch of B images.

    Attributes:
        present: (U,) classes that there are. belongs: (U, B) 1.0 where an image is of the class.
    """

    present: npt.NDArray[np.int64]
    belongs: Numbers

    @classmethod
    def of(cls, labels: npt.NDArray[np.int64]) -> Classes:
        """Of (B,) labels."""
        present = np.unique(labels)
        return cls(present, (present[:, None] == labels).astype(np.float64))

    def sum(self, values: Numbers) -> Numbers:
        """(B, C) -> (U, C) sums over the images of each class."""
        found: Numbers = self.belongs @ values
        return found


def _moved(counts: Counts, old: Grid, new: Grid, one: float | None) -> Counts:
    """Counts in the bins of another grid; ``one``: the only number that was counted, which any grid can take."""
    if one is None:
        return old.moved(counts, new)
    moved = np.zeros_like(counts)
    moved[:, new.number(one)] = counts.sum(1)
    return moved
