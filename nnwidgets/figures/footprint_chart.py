"""Accuracy against what a network costs: all visited states by method, the front, the goal, and where one stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nnwidgets.engine.values.front import pareto_front
from nnwidgets.engine.values.records import Estimate
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Chart, Interval, Line, Points, Role, Rule, Series, Text, Tick
from nnwidgets.figures.scales import accuracy_axis, size_axis

__all__ = ["MERITS", "Looked", "Method", "Visited", "footprint_chart", "in_words"]

Method = Literal["weights", "units", "bits", "both"]
Trained = Literal["", "not trained", "batch-norm measured again", "fine-tuned", "in rounds"]
Shape = Literal["circle", "square", "diamond", "triangle"]

MERITS = {
    "size": ("encoded size", ("B", "kB", "MB", "GB")),
    "macs": ("MACs on nonzero weights", ("MAC", "kMAC", "MMAC", "GMAC")),
    "energy": ("estimated energy", ("µJ", "mJ", "J")),
    "latency": ("measured latency", ("ms",)),
}
"""What a footprint can be -> (its name, its units, a thousand apart)."""

_SHAPES: dict[Method, tuple[Shape, str]] = {
    "weights": ("circle", "weights removed"),
    "units": ("square", "units removed"),
    "bits": ("triangle", "fewer bits"),
    "both": ("diamond", "both"),
}
_TRAINING: dict[Trained, tuple[Role, bool]] = {
    "": ("accent", True),
    "not trained": ("muted", False),
    "batch-norm measured again": ("accent", False),
    "fine-tuned": ("alt", False),
    "in rounds": ("ink", False),
}


@dataclass(frozen=True)
class Visited:
    """A state that was measured.

    Attributes:
        footprint: bytes, MACs, µJ or ms. accuracy, low, high, final: of its estimate.
        method: what was done; trained: what came after. text: all of it in words.
    """

    footprint: float
    accuracy: float
    low: float
    high: float
    final: bool
    method: Method
    trained: Trained
    text: str


@dataclass(frozen=True)
class Looked:
    """A point that a search looked at: its footprint, its accuracy on S_val as far as it was measured, in words."""

    footprint: float
    accuracy: float
    text: str


def in_words(merit: str, value: float) -> str:
    """A footprint with its unit."""
    if merit == "latency":
        return f"{text.milliseconds(value)} ms"
    return " ".join(text.scaled(value, MERITS[merit][1]))


def footprint_chart(
    visits: Sequence[Visited],
    now: float | None,
    estimate: Estimate | None,
    dense: float | None,
    goal: float,
    merit: str = "size",
    searched: Sequence[Looked] = (),
) -> Chart:
    """Accuracy against a footprint.

    Args:
        now, dense: footprint of the present state and of the dense network, None where it was not measured.
        estimate: accuracy of the present state; goal: as an accuracy. searched: points that a search has been to, on S_val.
    """
    known = [visit.footprint for visit in visits] + [look.footprint for look in searched] + ([] if now is None else [now])
    most = dense if dense is not None else max(known, default=1.0)
    accuracies = [visit.accuracy for visit in visits] + [look.accuracy for look in searched] + [goal]
    y = accuracy_axis(accuracies + ([estimate.accuracy] if estimate else []))
    name, units = MERITS[merit]
    x = size_axis(known, most) if merit == "size" else _axis(merit, known, most, name, units[0])
    series: list[Series] = [Rule("h", goal, "good", text=f"goal {text.percent(goal)} %")]
    series += _front(visits, x.domain[1], y.domain[0])
    series += _trail(visits, y.domain[0])
    if searched:
        at, high = [look.footprint for look in searched], [max(look.accuracy, y.domain[0]) for look in searched]
        titles = [look.text for look in searched]
        series.append(Line(at, high, role="muted", dash=True, width=1.0, opacity=0.3))
        series.append(Points(at, high, "diamond", False, "muted", 2.5, titles=titles, label="looked at by the search, on S_val"))
    for training, (role, filled) in _TRAINING.items():
        for method, (shape, label) in _SHAPES.items():
            chosen = [visit for visit in visits if visit.method == method and visit.trained == training]
            if chosen:
                named = ", ".join(filter(None, (label, training)))
                series.append(_points(chosen, shape, filled, role, named, y.domain[0]))
    if estimate is not None and now is not None:
        series.append(Interval("v", [now], [max(estimate.low, y.domain[0])], [estimate.high], width=2.5))
        series.append(Points([now], [estimate.accuracy], size=6, titles=["now"]))
        series.append(Text(now, estimate.accuracy, "now", "accent", "end", bold=True, dx=-0.9, dy=-0.4))
    places = "1 position" if len(visits) == 1 else f"{len(visits)} positions"
    said = f"{places} visited; now " + ("not measured" if now is None else in_words(merit, now))
    if merit == "latency" and now is None:
        said += ": measure the latency first"
    return Chart("pareto", f"Footprint and quality: accuracy, {name}", x, y, tuple(series), said, 390, 218)


def _axis(merit: str, values: Sequence[float], dense: float, label: str, unit: str) -> Axis:
    axis = size_axis(values, dense)
    ticks = tuple(Tick(tick.at, in_words(merit, tick.at)) for tick in axis.ticks)
    return Axis(axis.domain, label, unit, scale="log", ticks=ticks)


def _front(visits: Sequence[Visited], right: float, floor: float) -> list[Series]:
    """The staircase under what nothing else beats, of states that were measured to the end."""
    done = [visit for visit in visits if visit.final]
    best = [done[i] for i in pareto_front([(visit.footprint, visit.accuracy) for visit in done])]
    if len(done) < 3:
        return []
    x, y = [best[0].footprint], [max(best[0].accuracy, floor)]
    for visit in best[1:]:
        x += [visit.footprint, visit.footprint]
        y += [y[-1], max(visit.accuracy, floor)]
    return [Line([*x, right], [*y, y[-1]], "good", width=1.6, opacity=0.8, label="best so far")]


def _trail(visits: Sequence[Visited], floor: float) -> list[Series]:
    if len(visits) < 2:
        return []
    return [Line([v.footprint for v in visits], [max(v.accuracy, floor) for v in visits], opacity=0.25, width=1.0)]


def _points(chosen: Sequence[Visited], shape: Shape, filled: bool, role: Role, label: str, floor: float) -> Points:
    return Points(
        [visit.footprint for visit in chosen],
        [max(visit.accuracy, floor) for visit in chosen],
        shape=shape,
        filled=filled,
        role=role,
        opacity=[0.9 if visit.final else 0.35 for visit in chosen],
        titles=[visit.text for visit in chosen],
        label=label,
    )
