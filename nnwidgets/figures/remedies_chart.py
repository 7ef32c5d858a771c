"""What each remedy of rounding gains, in points of accuracy with its interval, and the same in words."""

from __future__ import annotations

from collections.abc import Sequence

from nnwidgets.engine.scans import RemedyRow
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Chart, Interval, Points, Role, Rule, Series, Text, Tick

__all__ = ["remedies_chart", "remedies_words"]

_LINE = 30  # height of a row
_LEAST = 1.0  # points that the axis shows to both sides at least


def remedies_chart(rows: Sequence[RemedyRow], labels: Sequence[str], words: str) -> Chart:
    """A line for each remedy, zero is the recipe as it is.

    Args:
        rows: measured so far, "none" first. labels: of all that are tried, in order. words: the state and the images.
    """
    tried = [row for row in rows if row.gain is not None]
    low = min([-_LEAST, *(100 * (row.low or 0.0) for row in tried)])
    high = max([_LEAST, *(100 * (row.high or 0.0) for row in tried)])
    series: list[Series] = [Rule("v", 0.0, "muted")]
    places = {label: len(labels) - 0.5 - place for place, label in enumerate(labels)}
    for row in tried:
        at, role, end = places[row.label], _role(row), 100 * (row.high or 0.0)
        series.append(Interval("h", [at], [100 * (row.low or 0.0)], [end], role, width=3))
        dot = [100 * (row.gain or 0.0)]
        series.append(Points(dot, [at], filled=role != "muted", role=role, size=5, titles=[f"{row.label}: {_said(row)}"]))
        series.append(Text(end, at, _said(row), "ink", dx=0.5))
    x = Axis((low, high + 0.8 * (high - low)), "points of accuracy gained", ticks=(Tick(0.0, "0"),))
    y = Axis((0.0, float(len(labels))), ticks=tuple(Tick(at, label) for label, at in places.items()))
    description = f"{words}. Lines: 95 % interval for images like these, paired; hollow: it may be zero"
    return Chart("remedies", "What makes up for rounding", x, y, tuple(series), description, 430, 40 + _LINE * len(labels))


def remedies_words(rows: Sequence[RemedyRow]) -> list[str]:
    """What was found, a heading first; nothing before there is a row."""
    if not rows:
        return []
    start = rows[0]
    tried = [row for row in rows if row.gain is not None]
    best = max(tried, key=lambda row: row.gain or 0.0, default=None)
    as_is = f"{text.percent(start.accuracy or 0.0, 1)} % as it is"
    if best is None or (best.low or 0.0) <= 0:
        lines = [f"Rounded so, accuracy is {as_is}; nothing is seen to gain yet."]
    else:
        lines = [f"Most on these images: {best.label}, {text.percent(best.accuracy or 0.0, 1)} %; {as_is}."]
    harm = [row.label for row in tried if (row.high or 0.0) < 0]
    if harm:
        lines.append(f"Worse than without: {', '.join(harm)}.")
    unclear = [row.label for row in tried if (row.low or 0.0) <= 0 <= (row.high or 0.0)]
    if unclear:
        lines.append(f"Not told apart from zero: {', '.join(unclear)}.")
    lines += [f"Not tried, {row.label}: {row.reason}" for row in rows if row.reason]
    return lines


def _role(row: RemedyRow) -> Role:
    if (row.low or 0.0) > 0:
        return "good"
    return "bad" if (row.high or 0.0) < 0 else "muted"


def _said(row: RemedyRow) -> str:
    return f"{text.percent(row.accuracy or 0.0, 1)} %, {text.signed_points(row.gain or 0.0, 1)}"
