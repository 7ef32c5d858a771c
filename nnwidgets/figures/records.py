"""What a chart or a printed figure holds. Plain data: strings are ready to print, numbers are in axis units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

__all__ = [
    "Axis",
    "Bars",
    "Chart",
    "Figure",
    "Interval",
    "Line",
    "Note",
    "Points",
    "Role",
    "Rule",
    "Series",
    "Text",
    "Tick",
    "Ticks",
    "chart_of",
    "to_wire",
]

Role = Literal["accent", "alt", "good", "warn", "bad", "muted", "line", "ink"]


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: where (axis units) and what is printed."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """An axis: its domain in axis units, and its ticks. ``hidden`` draws nothing, ``grid`` draws lines across."""

    domain: tuple[float, float]
    label: str = ""
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    ticks: tuple[Tick, ...] = ()
    grid: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Bars:
    """Rectangles from (x0, y0) to (x1, y1); ``ids`` make them choosable, ``titles`` explain each one."""

    x0: Sequence[float]
    x1: Sequence[float]
    y0: Sequence[float]
    y1: Sequence[float]
    role: Role = "accent"
    roles: Sequence[Role] | None = None
    opacity: float | Sequence[float] = 1.0
    ids: Sequence[str] | None = None
    titles: Sequence[str] | None = None
    label: str = ""
    type: str = "bars"


@dataclass(frozen=True)
class Line:
    """A broken line through (x, y); ``width`` in CSS pixels (points in matplotlib)."""

    x: Sequence[float]
    y: Sequence[float]
    role: Role = "accent"
    dash: bool = False
    width: float = 1.5
    opacity: float = 1.0
    label: str = ""
    type: str = "line"


@dataclass(frozen=True)
class Points:
    """Marks at (x, y); ``size`` is the radius in CSS pixels."""

    x: Sequence[float]
    y: Sequence[float]
    shape: Literal["circle", "square", "diamond", "triangle"] = "circle"
    filled: bool = True
    role: Role = "accent"
    size: float = 3.5
    opacity: float | Sequence[float] = 1.0
    titles: Sequence[str] | None = None
    label: str = ""
    type: str = "points"


@dataclass(frozen=True)
class Interval:
    """Strokes from ``low`` to ``high`` at ``at``: vertical (``at`` is an x) or horizontal (``at`` is a y)."""

    orient: Literal["v", "h"]
    at: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    role: Role = "accent"
    width: float = 2.0
    opacity: float = 1.0
    type: str = "interval"


@dataclass(frozen=True)
class Rule:
    """A line across the whole chart: horizontal at a y or vertical at an x, with a word on it."""

    orient: Literal["h", "v"]
    at: float
    role: Role = "good"
    dash: bool = True
    text: str = ""
    text_anchor: Literal["start", "end", "middle"] = "start"
    type: str = "rule"


@dataclass(frozen=True)
class Text:
    """A word at (x, y), moved by (dx, dy) in em."""

    x: float
    y: float
    text: str
    role: Role = "ink"
    anchor: Literal["start", "end", "middle"] = "start"
    bold: bool = False
    dx: float = 0.0
    dy: float = 0.0
    type: str = "text"


@dataclass(frozen=True)
class Ticks:
    """Short strokes below the x axis, such as quantization levels."""

    at: Sequence[float]
    role: Role = "alt"
    type: str = "ticks"


Series = Bars | Line | Points | Interval | Rule | Text | Ticks


@dataclass(frozen=True)
class Chart:
    """One chart; ``width`` and ``height`` give its aspect; ``description`` says in words what it shows."""

    kind: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    description: str = ""
    width: float = 390
    height: float = 218


@dataclass(frozen=True)
class Note:
    """A short line under a figure. With ``name`` and ``raw`` it is a figure of its own."""

    text: str
    role: Role = "muted"
    name: str | None = None
    raw: float | None = None


@dataclass(frozen=True)
class Figure:
    """A printed figure: ``raw`` is the plain number, ``value`` and ``unit`` what is printed."""

    raw: float | None
    value: str
    unit: str = ""
    notes: tuple[Note, ...] = ()
    role: Role = "ink"
    bar: Chart | None = None
    action: dict[str, str] | None = None


def to_wire(record: Any) -> Any:
    """The record as plain JSON data; fields that are None are left out."""
    if isinstance(record, dict):
        return {key: to_wire(value) for key, value in record.items()}
    if isinstance(record, str | int | float | bool) or record is None:
        return record
    if isinstance(record, Sequence):
        return [to_wire(value) for value in record]
    found = ((field.name, getattr(record, field.name)) for field in fields(record))
    return {name: to_wire(value) for name, value in found if value is not None}


def chart_of(data: dict[str, Any]) -> Chart:
    """The chart that ``to_wire`` made plain data of."""
    kinds = {"bars": Bars, "line": Line, "points": Points, "interval": Interval, "rule": Rule, "text": Text, "ticks": Ticks}
    x, y = (Axis(**{**data[name], "ticks": tuple(Tick(**tick) for tick in data[name]["ticks"])}) for name in ("x", "y"))
    series = tuple(kinds[each["type"]](**each) for each in data["series"])
    return Chart(**{**data, "x": x, "y": y, "series": series})
