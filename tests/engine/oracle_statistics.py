"""The slow twin of the statistics: it keeps everything and looks at one channel after the other."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from torch import Tensor

from nnwidgets.engine.inspect import UnitStatistics


def edges_of(low: float, high: float, bins: int) -> list[float]:
    """The narrowest bins whose width is a power of two and that hold all, beginning with the bin of the lowest number."""
    for exponent in itertools.count(-60):
        width = 2.0**exponent
        first = math.floor(low / width)
        if math.floor(high / width) < first + bins:
            return [(first + j) * width for j in range(bins + 1)]
    raise AssertionError


def channel_slowly(x: Any, labels: Any, rectified: bool) -> dict[str, Any]:
    """One channel. ``x``: (N, P) float64; labels: (N,) or None."""
    n, positions = x.shape
    found = {
        "mean": x.mean(),
        "variance": ((x - x.mean()) ** 2).mean(),
        "minimum": x.min(),
        "maximum": x.max(),
        "zeros": (x == 0).sum() / x.size,
        "nonpositive": (x <= 0).sum() / x.size,
        "dead": x.size > 1 and len(np.unique(x)) == 1,
    }
    if rectified:
        found["alive"] = sum((image > 0).any() for image in x) / n
    else:
        found["alive"] = sum(len(np.unique(image)) > 1 if positions > 1 else image[0] != 0 for image in x) / n
    if labels is not None:
        present = sorted(set(labels.tolist()))
        positive = {label: np.maximum(x[labels == label], 0).mean() for label in present}
        found["class_means"] = {label: x[labels == label].mean() for label in present}
        best = max(present, key=lambda label: positive[label])
        if len(present) > 1:
            rest = np.mean([positive[label] for label in present if label != best])
            found["selectivity"] = (positive[best] - rest) / (positive[best] + rest) if positive[best] > 0 else 0.0
            found["preferred"] = best if positive[best] > 0 else -1
    return found


def assert_equal(unit: UnitStatistics, values: Tensor, labels: Tensor | None, bins: int = 64) -> None:
    """A record against all the activations (N, C, H, W) or (N, C) of a layer."""
    x = values.double().numpy().reshape(values.shape[0], values.shape[1], -1)
    classes = None if labels is None else labels.numpy()
    rectified = bool((x >= 0).all())
    assert (unit.n, unit.channels, unit.positions, unit.rectified) == (*x.shape, rectified)
    edges = edges_of(x.min(), x.max(), bins)
    assert unit.edges.tolist() == edges
    assert unit.histogram.sum() == x.size, "nothing is outside"
    for c in range(x.shape[1]):
        wanted = channel_slowly(x[:, c], classes, rectified)
        for name in ("minimum", "maximum", "dead"):
            assert getattr(unit, name)[c] == wanted[name], (name, c)
        for name in ("mean", "variance", "zeros", "nonpositive", "alive"):
            assert math.isclose(getattr(unit, name)[c], wanted[name], rel_tol=1e-9, abs_tol=1e-12), (name, c)
        counts, _ = np.histogram(x[:, c], [*edges[:-1], math.inf])
        assert unit.histogram[c].tolist() == counts.tolist()
        if labels is not None:
            assert unit.class_means is not None and unit.selectivity is not None and unit.preferred is not None
            for label, mean in wanted["class_means"].items():
                assert math.isclose(unit.class_means[label, c], mean, rel_tol=1e-9, abs_tol=1e-12)
            assert math.isclose(unit.selectivity[c], wanted["selectivity"], rel_tol=1e-8, abs_tol=1e-9)
            assert unit.preferred[c] == wanted["preferred"]
    assert unit.layer_histogram.tolist() == unit.histogram.sum(0).tolist()
