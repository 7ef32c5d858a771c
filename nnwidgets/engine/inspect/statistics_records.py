"""What is known of the units of a network over a sample, as frozen records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.inspect._sites import Site, site_of
from nnwidgets.engine.values._fields import nearest

__all__ = ["Statistics", "StatisticsStep", "UnitStatistics"]

_Numbers = npt.NDArray[np.float64]
_Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class UnitStatistics:
    """The channels of one layer over a sample of N images with P positions each; C channels, K classes.

    Attributes:
        site, kind: which layer, and its class or the name of the function. n: images seen; positions: P.
        note: how axes were read, "" where nothing had to be.
        mean, variance: (C,) over images and positions (divided by N * P). minimum, maximum: (C,).
        zeros, nonpositive: (C,) shares of numbers that are exactly 0, and that are 0 or below.
        rectified: nothing is below 0, as after a ReLU.
        alive: (C,) share of images in which the channel exceeds 0 somewhere, where the layer is rectified; else in which it
            varies from position to position, or, with a single position, is not 0.
        dead: (C,) True where every number seen is the same one, such as 0.
        saturated: (C,) share of numbers within 1 % of a bound (of the distance between both) for ReLU6, hardtanh, sigmoid,
            hardsigmoid and tanh; a lower bound of 0 of the first two is counted by ``zeros`` alone. None for other layers.
        edges, histogram: (bins + 1,) and (C, bins) counts, bin j holding edges[j] <= x < edges[j + 1]. All channels share
            edges, which are multiples of a power of two: zero is an edge, or outside. Nothing is outside of them.
        class_counts: (K,) images seen of each class. seen_classes: (U,) those that there were, in order; seen_means: (U, C) mean
            activation for each of them.
        selectivity: (C,) in [0, 1]; preferred: (C,) its class, -1 where there is none. None without labels or with one class.

    Selectivity is that of Morcos et al. 2018 (On the importance of single directions for generalization): of the class means of
    the activation, (largest - mean of the others) / (largest + mean of the others). It is defined for what is not negative:
    numbers below 0 count as 0, as a ReLU behind the layer would make them. A channel that is never above 0 has selectivity 0.
    """

    site: Site
    kind: str
    n: int
    positions: int
    note: str
    mean: _Numbers
    variance: _Numbers
    minimum: _Numbers
    maximum: _Numbers
    zeros: _Numbers
    nonpositive: _Numbers
    rectified: bool
    alive: _Numbers
    dead: npt.NDArray[np.bool_]
    saturated: _Numbers | None
    edges: _Numbers
    histogram: npt.NDArray[np.int32] | _Counts
    class_counts: _Counts | None = None
    seen_classes: _Counts | None = None
    seen_means: _Numbers | None = None
    selectivity: _Numbers | None = None
    preferred: _Counts | None = None

    @property
    def channels(self) -> int:
        """C."""
        return len(self.mean)

    @property
    def class_means(self) -> _Numbers | None:
        """(K, C) mean activation for each class, NaN for a class not seen. Made when it is asked for: of ImageNet's 1,000 classes
        a sample may hold ten, and all layers of a network together have 50,000 channels.
        """
        if self.class_counts is None or self.seen_classes is None or self.seen_means is None:
            return None
        found = np.full((len(self.class_counts), self.channels), np.nan)
        found[self.seen_classes] = self.seen_means
        return found

    @property
    def layer_histogram(self) -> _Counts:
        """(bins,) counts of all channels."""
        found: _Counts = self.histogram.sum(0, dtype=np.int64)
        return found

    @property
    def dead_share(self) -> float:
        """Share of channels that are dead."""
        return float(self.dead.mean())

    @property
    def sparse_share(self) -> float:
        """Share of exact zeros in the whole layer."""
        return float(self.zeros.mean())

    @property
    def saturated_share(self) -> float | None:
        """Share of numbers at a bound in the whole layer, None where it has none."""
        return None if self.saturated is None else float(self.saturated.mean())


@dataclass(frozen=True)
class Statistics:
    """Many layers over one sample.

    Attributes:
        n, total: images seen, and in the sample. units: one a layer, in the order asked for.
        skipped: places that could not be summed up, each with the reason.
    """

    n: int
    total: int
    units: tuple[UnitStatistics, ...]
    skipped: tuple[tuple[Site, str], ...] = ()

    @property
    def final(self) -> bool:
        """True once every image was seen."""
        return self.n == self.total

    def of(self, layer: str | Site, call: int = 0) -> UnitStatistics:
        """The record of one layer.

        Raises:
            InputError: it is not among them; the message says why, or offers the nearest names.
        """
        site = site_of(layer, call)
        for unit in self.units:
            if unit.site == site:
                return unit
        for place, reason in self.skipped:
            if place == site:
                raise InputError(f"{site} has no statistics: {reason}")
        raise InputError(f"no statistics of {str(site)!r}; {nearest(str(site), [str(unit.site) for unit in self.units])}")


@dataclass(frozen=True)
class StatisticsStep:
    """How far a pass is.

    Attributes:
        share: of the images, in [0, 1]. text: in words.
        so_far: ``so_far()`` gives what is known by now of all layers, ``so_far(site, ...)`` of some; made when it is asked for.
    """

    share: float
    text: str
    so_far: Callable[..., Statistics]
