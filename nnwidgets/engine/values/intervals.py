"""Intervals of a share, each named by what it speaks of."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["Z95", "exact_finite", "student", "wilson"]

Z95 = 1.959964
_T95 = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139)  # 1 to 10 degrees


def wilson(right: int, n: int, z: float = Z95) -> tuple[float, float]:
    """95 % interval of a share on new images like these, from ``right`` of ``n`` (Wilson 1927)."""
    return _wilson(right / n, n, z)


def exact_finite(right: int, n: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of the share in a whole sample of ``total`` images, of which ``n``, drawn at random, were seen, ``right`` right.

    All shares under which so few or so many right ones have a chance of at least 2.5 % each way (Clopper & Pearson 1934, with the
    hypergeometric distribution): it covers at least as often as it says, for any n, and has no width once all are seen.
    """
    tail, wrong = (1 - level) / 2, n - right
    least, most = right, total - wrong  # images that are right in the whole sample: what is still possible
    low = _first(least, most, lambda k: _at_least(right, n, k, total) > tail)
    high = total - _first(wrong, total - right, lambda k: _at_least(wrong, n, k, total) > tail)
    return low / total, high / total


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest integer in [low, high] for which ``holds``, which is true from there on and true at ``high``."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _at_least(x: int, n: int, k: int, total: int) -> float:
    """Chance of at least ``x`` right ones among ``n`` drawn from ``total`` of which ``k`` are right."""
    first, last = max(x, n + k - total, 0), min(n, k)
    if first > last:
        return 0.0
    table = _log_factorials(total)
    reach = int(12 * math.sqrt(n)) + 50  # terms beyond twelve standard deviations add nothing
    mean = n * k / total
    start = max(first, int(mean) - reach)
    values = np.arange(start, min(last, max(first, int(mean)) + reach) + 1)
    logs = (
        table[k] - table[values] - table[k - values] + table[total - k] - table[n - values] - table[total - k - n + values]
        - (table[total] - table[n] - table[total - n])
    )  # fmt: skip
    return float(np.exp(logs).sum())


@lru_cache(maxsize=8)
def _log_factorials(n: int) -> npt.NDArray[np.float64]:
    """log(0!), ..., log(n!)."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def student(values: Sequence[float], least: float = 0.0) -> tuple[float, float, float]:
    """Mean and its 95 % interval (Student 1908).

    Args:
        values: such as paired differences, one a seed. least: their spread is taken to be at least this, so that values that are
            equal by rounding (half an image, half a step) do not claim certainty.

    Returns:
        (mean, low, high); a single value has no interval: -inf and inf.
    """
    n, mean = len(values), statistics.fmean(values)
    if n < 2:
        return mean, -math.inf, math.inf
    half = _t95(n - 1) * max(statistics.stdev(values), least) / math.sqrt(n)
    return mean, mean - half, mean + half


def _t95(freedom: int) -> float:
    """The 97.5 % point of Student's distribution; beyond the table by expansion in 1 / freedom (Abramowitz & Stegun 26.7.5)."""
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    z = Z95
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum((term / math.pow(freedom, power) for power, term in enumerate(terms)), 0.0)
