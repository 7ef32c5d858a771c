"""Numbers as a person reads them: digits that mean something, units, a real minus sign."""

from __future__ import annotations

import math

__all__ = ["count", "duration", "milliseconds", "percent", "scaled", "share", "signed_points", "size"]

MINUS = "\N{MINUS SIGN}"


def count(number: int) -> str:
    """4000 -> 4,000."""
    return f"{number:,}"


def percent(share: float, digits: int = 1) -> str:
    """0.968 -> 96.8. Never rounded up to 100 when it is not."""
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) >= 100:
        return f"{100 - 10.0**-digits:.{digits}f}"
    return text


def share(part: float, digits: int = 1) -> str:
    """0.968 -> 96.8, 0.0001 -> <0.1, 0.9999 -> >99.9: 0 and 100 are printed only where they are exact."""
    text, step = f"{100 * part:.{digits}f}", 10.0**-digits
    if part > 0 and float(text) <= 0:
        return f"<{step:.{digits}f}"
    if part < 1 and float(text) >= 100:
        return f">{100 - step:.{digits}f}"
    return text


def signed_points(share: float, digits: int = 1) -> str:
    """-0.009 -> a minus sign and 0.9; +0.3 with its plus."""
    text = f"{abs(100 * share):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if share > 0 else MINUS) + text


def scaled(number: float, units: tuple[str, ...]) -> tuple[str, str]:
    """A number in the unit that leaves one to three digits before the point, as (value, unit); three significant digits."""
    step = 0
    while abs(number) >= 999.5 and step < len(units) - 1:
        number, step = number / 1000, step + 1
    if step == 0 and float(number).is_integer():
        return f"{number:.0f}", units[0]
    digits = 0 if abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2
    return f"{number:.{digits}f}", units[step]


def size(number: float) -> tuple[str, str]:
    """Bytes as (value, unit), 1 kB = 1,000 bytes."""
    return scaled(number, ("B", "kB", "MB", "GB"))


def milliseconds(value: float) -> str:
    """0.0123 -> 0.012, 2.31 -> 2.31, 41.2 -> 41.2."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as s, min or h, rounded so that it does not flicker."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 5400:
        return f"{math.ceil(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
