"""An arm of a comparison on paired seeds: its means joined by a line, and the spread of the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nnwidgets.figures.records import Interval, Line, Points, Role, Series

__all__ = ["Look", "arm_series"]

Look = tuple[str, Role, Literal["circle", "square", "triangle", "diamond"]]
"""What an arm is called, its colour and its shape."""


def arm_series(look: Look, at: Sequence[float], values: Sequence[Sequence[float]], titles: Sequence[str]) -> list[Series]:
    """Means over seeds with a stroke from the least to the largest.

    Args:
        at: places along the axis. values: at each, one number a seed. titles: what is said of each mean.
    """
    label, role, shape = look
    means = [sum(own) / len(own) for own in values]
    return [
        Line(at, means, role),
        Interval("v", at, [min(own) for own in values], [max(own) for own in values], role, opacity=0.5),
        Points(at, means, shape, True, role, titles=titles, label=label),
    ]
