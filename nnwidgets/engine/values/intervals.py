"""Intervals of a share, each named by what it speaks of."""

from __future__ import annotations

import math

__all__ = ["Z95", "paired_finite", "wilson", "wilson_finite"]

Z95 = 1.959964


def wilson(right: int, n: int, z: float = Z95) -> tuple[float, float]:
    """95 % interval of a share on new images like these, from ``right`` of ``n`` (Wilson 1927)."""
    return _wilson(right / n, n, z)


def wilson_finite(right: int, n: int, total: int, z: float = Z95) -> tuple[float, float]:
    """95 % interval of the share in a whole sample of ``total`` images of which ``n`` were seen, ``right`` of them right.

    The Wilson interval with the sample size that the finite population correction gives, n (N - 1) / (N - n), cut to what is still
    possible. It has no width once all are seen.
    """
    if n >= total:
        return right / total, right / total
    low, high = _wilson(right / n, n * (total - 1) / (total - n), z)
    return max(low, right / total), min(high, (right + total - n) / total)


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_finite(better: int, worse: int, n: int, total: int, z: float = Z95) -> tuple[float, float]:
    """95 % interval of the difference of two nets' accuracies in a whole sample, from the same ``n`` images of ``total``.

    ``better`` and ``worse`` count the images that only one of them answers right. Both counts are smoothed by z^2 / 4, so that the
    interval is never falsely narrow where no image has differed yet (Agresti & Min 2005 use the same device).
    """
    if n >= total:
        return (better - worse) / total, (better - worse) / total
    extra = z * z / 4
    size = n + 2 * extra
    up, down = (better + extra) / size, (worse + extra) / size
    half = z * math.sqrt(max(up + down - (up - down) ** 2, 0.0) / size * (total - n) / max(total - 1, 1))
    centre = (better - worse) / n
    rest = total - n
    return max(centre - half, (better - worse - rest) / total), min(centre + half, (better - worse + rest) / total)
