"""What a benchmark prints: figures with their spread, and what they are measured against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Figure", "ratios", "seconds"]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was compared, larger first: "ResNet-20, all of S_test: naive loop / ours, float32".
        values: one a repetition, all from this run.
        reach: (">=" or "<=", bound), None where the figure is only told.
        unit: "x" for ratios, else "ms", "MB", "share" ...
        note: what limits it, or how it was measured, in a few words.
        pick: which of the values is held against ``reach``: "median", "min" or "max".
    """

    name: str
    values: tuple[float, ...]
    reach: tuple[str, float] | None = None
    unit: str = "x"
    note: str = ""
    pick: str = "median"

    @property
    def value(self) -> float:
        """The figure itself."""
        return {"median": statistics.median, "min": min, "max": max}[self.pick](self.values)

    @property
    def reached(self) -> bool | None:
        """Whether it is as good as wanted; None where nothing is wanted."""
        if self.reach is None:
            return None
        sign, bound = self.reach
        return self.value >= bound if sign == ">=" else self.value <= bound


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes."""
    began = clock()
    work()
    return clock() - began


def ratios(
    slow: Callable[[], object], fast: Callable[[], object], repeats: int = 5, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, ...]:
    """slow / fast, one a repetition; the two take turns, so that a busy machine hits both."""
    fast()  # first calls pay for what later ones find ready
    pairs: Sequence[tuple[float, float]] = [(seconds(slow, clock), seconds(fast, clock)) for _ in range(repeats)]
    return tuple(a / b for a, b in pairs)
