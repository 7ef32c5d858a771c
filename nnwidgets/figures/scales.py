"""Domains and ticks of axes, chosen so that a chart holds still while its points move."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Tick

__all__ = ["accuracy_axis", "round_marks", "size_axis"]

# An accuracy axis starts at one of these and has ticks so far apart: few choices, so that it seldom jumps.
_FLOORS = {0.98: 0.005, 0.95: 0.01, 0.90: 0.02, 0.80: 0.05, 0.50: 0.1, 0.0: 0.2}


def accuracy_axis(values: Iterable[float], *, grid: bool = True, hidden: bool = False) -> Axis:
    """An axis of accuracy (shares) up to 1 that holds all ``values`` with a little room below."""
    lowest = min([value for value in values if math.isfinite(value)], default=0.9)
    floor = next((floor for floor in _FLOORS if lowest >= floor + 0.1 * (1 - floor)), 0.0)
    span = 1 - floor
    step = _FLOORS[floor]
    digits = 1 if step < 0.01 else 0
    places = [floor + i * step for i in range(round(span / step) + 1)]
    ticks = tuple(Tick(place, f"{100 * place:.{digits}f}") for place in places)
    return Axis((floor, 1.0 + 0.02 * span), "accuracy", "%", ticks=ticks, grid=grid, hidden=hidden)


def round_marks(low: float, high: float, most: int = 7) -> list[float]:
    """At most so many equally spaced round numbers (1, 2 or 5 times a power of ten apart) from ``low`` to ``high``, 0 exact.

    Where the two are equal there is one mark, and it is not rounded.
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10, 20) if (high - low) / (times * power) < most)
    return [place * step for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def size_axis(sizes: Iterable[float], dense: float) -> Axis:
    """A logarithmic axis of bytes from a power-of-two part of the dense size, at least 1/16, up to the dense size."""
    lowest = min([size for size in sizes if size > 0], default=dense)
    halvings = max(4, math.ceil(math.log2(dense / lowest) + 0.3)) if lowest < dense else 4
    step = math.ceil((halvings + 1) / 6)
    ticks = tuple(Tick(dense / 2**i, " ".join(text.size(dense / 2**i))) for i in range(0, halvings + 1, step))
    return Axis((dense / 2.0**halvings, dense * 1.12), "encoded size", "bytes", scale="log", ticks=ticks[::-1])
