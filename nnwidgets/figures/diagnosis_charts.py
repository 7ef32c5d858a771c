"""Charts of an error analysis: errors beside each other, classes, calibration, training runs, cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Interval, Line, Points, Role, Rule, Series, Text, Tick
from nnwidgets.figures.scales import round_marks

__all__ = [
    "Prediction",
    "calibration_chart",
    "classes_chart",
    "cost_chart",
    "counts_chart",
    "epochs_chart",
    "error_axis",
    "errors_chart",
    "losses_chart",
]


class Prediction(Protocol):
    """An error at a size, with an interval."""

    @property
    def n(self) -> int:
        """Images."""

    @property
    def value(self) -> float:
        """The error."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


def error_axis(highest: float, label: str = "error", grid: bool = True) -> Axis:
    """An axis of an error from 0, in per cent."""
    top = min(1.0, max(0.02, 1.12 * highest))
    marks = round_marks(0.0, top, 5)
    digits = 0 if all(abs(100 * mark - round(100 * mark)) < 1e-6 for mark in marks) else 1
    return Axis((0.0, top), label, "%", ticks=tuple(Tick(mark, f"{100 * mark:.{digits}f}") for mark in marks), grid=grid)


def _log_marks(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers, or where there are fewer than two, 1, 2 and 5 times these."""
    powers = [10.0**k for k in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    if len(powers) > 1:
        return powers
    first = math.floor(math.log10(low))
    return [times * 10.0**k for k in range(first, first + 3) for times in (1, 2, 5) if low <= times * 10.0**k <= high]


def errors_chart(errors: Mapping[str, float], goal: float | None = None, title: str = "Errors beside each other") -> Chart:
    """One horizontal bar an error, the smallest marked."""
    names, values = list(errors), list(errors.values())
    rows = range(len(names))
    least = min(values, default=0.0)
    roles: list[Role] = ["good" if value == least else "accent" for value in values]
    series: list[Series] = [
        Bars([0.0] * len(values), values, [i + 0.16 for i in rows], [i + 0.84 for i in rows], roles=roles, opacity=0.8,
             titles=[f"{name}: {text.share(value)} %" for name, value in errors.items()])
    ]  # fmt: skip
    series += [
        Text(value, i + 0.5, f"{text.share(value)} %", "ink", dx=0.35, dy=0.35) for i, value in zip(rows, values, strict=True)
    ]
    highest = max([*values, goal or 0.0], default=0.1)
    if goal is not None:
        series.append(Rule("v", goal, "good", text="goal"))
    x = error_axis(1.4 * highest)  # room for the figures behind the bars
    y = Axis((float(len(names)), 0.0), "", ticks=tuple(Tick(i + 0.5, _short(name)) for i, name in enumerate(names)))
    said = "; ".join(f"{name} {text.share(value)} %" for name, value in errors.items())
    return Chart("errors", title, x, y, tuple(series), said, 420, 40 + 26 * max(2, len(names)))


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"


def values_chart(values: Mapping[str, float], title: str) -> Chart:
    """One horizontal bar a figure of a test, as they are: for what is no error."""
    names, found = list(values), list(values.values())
    low, high = min(0.0, *found), max(0.0, *found)
    room = 0.3 * max(high - low, 1e-9)
    rows = range(len(names))
    bars = Bars([min(0.0, v) for v in found], [max(0.0, v) for v in found], [i + 0.16 for i in rows], [i + 0.84 for i in rows],
                opacity=0.8, titles=[f"{name}: {value:.3g}" for name, value in values.items()])  # fmt: skip
    words = [
        Text(max(0.0, v), i + 0.5, f"{v:.3g}".replace("-", text.MINUS), "ink", dx=0.35, dy=0.35)
        for i, v in zip(rows, found, strict=True)
    ]
    marks = round_marks(low, high + room, 5)
    x = Axis((low, high + room), "", ticks=tuple(Tick(mark, f"{mark:g}".replace("-", text.MINUS)) for mark in marks), grid=True)
    y = Axis((float(len(names)), 0.0), "", ticks=tuple(Tick(i + 0.5, _short(name)) for i, name in enumerate(names)))
    said = "; ".join(f"{name} {value:.3g}" for name, value in values.items())
    return Chart("figures", title, x, y, (bars, *words), said, 420, 40 + 26 * max(2, len(names)))


def epochs_chart(train: Sequence[float], val: Sequence[float], goal: float) -> Chart:
    """E_train, as met while training, and E_val after each epoch."""
    epochs = [float(i + 1) for i in range(len(train))]
    series: list[Series] = [Line(epochs, list(train), label="E_train, while training")]
    if val:
        series.append(Line(epochs[: len(val)], list(val), role="alt", label="E_val"))
    series.append(Rule("h", goal, "good", text="goal"))
    marks = sorted({max(1, round(mark)) for mark in round_marks(0, len(train), 8)})
    x = Axis((1.0, max(2.0, float(len(train)))), "epoch", ticks=tuple(Tick(float(mark), str(mark)) for mark in marks))
    said = f"E_train from {text.share(train[0])} % to {text.share(train[-1])} %"
    return Chart("epochs", "Errors over the epochs", x, error_axis(max([*train, *val, goal])), tuple(series), said, 420, 220)


def counts_chart(counts: Sequence[int], names: Sequence[str]) -> Chart:
    """Images of each class of S_train."""
    n = len(counts)
    middle = sum(counts) / max(n, 1)
    roles: list[Role] = ["bad" if count < 0.5 * middle else "accent" for count in counts]
    titles = [f"{name}: {text.count(int(count))} images" for name, count in zip(names, counts, strict=True)]
    bars = Bars([i + 0.12 for i in range(n)], [i + 0.88 for i in range(n)], [0.0] * n, [float(c) for c in counts], roles=roles,
                opacity=0.85, titles=titles)  # fmt: skip
    top = 1.1 * max([*counts, 1])
    step = max(1, math.ceil(n / 12))
    x = Axis((0.0, float(n)), "class", ticks=tuple(Tick(i + 0.5, str(names[i])[:8]) for i in range(0, n, step)))
    y = Axis((0.0, top), "images", ticks=tuple(Tick(mark, text.count(int(mark))) for mark in round_marks(0, top, 4)), grid=True)
    said = f"from {text.count(min(counts))} to {text.count(max(counts))} images a class"
    return Chart(
        "classes",
        "Images of each class in S_train",
        x,
        y,
        (bars, Rule("h", middle, "muted", text="equal shares")),
        said,
        420,
        200,
    )


def classes_chart(recalls: Sequence[float], lows: Sequence[float], highs: Sequence[float], names: Sequence[str]) -> Chart:
    """Error on each class with its interval."""
    n = len(recalls)
    errors, low, high = [1 - r for r in recalls], [1 - h for h in highs], [1 - v for v in lows]
    places = [i + 0.5 for i in range(n)]
    titles = [f"{name}: {text.share(e)} % missed" for name, e in zip(names, errors, strict=True)]
    series: tuple[Series, ...] = (
        Interval("v", places, low, high, "accent", opacity=0.5),
        Points(places, errors, size=4, titles=titles),
    )
    step = max(1, math.ceil(n / 12))
    x = Axis((0.0, float(n)), "class", ticks=tuple(Tick(places[i], str(names[i])[:8]) for i in range(0, n, step)))
    return Chart(
        "per-class", "Error on each class", x, error_axis(max(high)), series, "share missed of each class, 95 %", 420, 220
    )


def calibration_chart(stated: Sequence[float], right: Sequence[float], low: Sequence[float], high: Sequence[float]) -> Chart:
    """How often it is right, by how sure it says it is."""
    ticks = tuple(Tick(i / 5, f"{20 * i}") for i in range(6))
    series: tuple[Series, ...] = (
        Line([0, 1], [0, 1], "muted", dash=True, label="perfect"),
        Interval("v", list(stated), list(low), list(high), "accent", opacity=0.5),
        Points(list(stated), list(right), size=4.5, label="measured"),
    )
    x, y = Axis((0, 1), "stated confidence", "%", ticks=ticks), Axis((0, 1.02), "right", "%", ticks=ticks, grid=True)
    return Chart(
        "calibration", "How sure it is, and how often right", x, y, series, "by stated confidence, 95 % intervals", 320, 280
    )


def losses_chart(losses: Sequence[float], smooth: int = 20) -> Chart:
    """Loss of each step of a run, smoothed by a running mean."""
    values = np.asarray(losses, dtype=float)
    width = max(1, min(smooth, len(values) // 5))
    mean: npt.NDArray[np.float64] = np.convolve(values, np.ones(width) / width, mode="valid") if len(values) else values
    positive = np.maximum(mean, 1e-6)
    low, high = float(positive.min(initial=0.1)), float(positive.max(initial=1.0))
    ends = min(low * 0.8, high * 0.5), high * 1.25
    y = Axis(ends, "loss", scale="log", ticks=tuple(Tick(mark, f"{mark:g}") for mark in _log_marks(*ends)), grid=True)
    x = Axis(
        (0, max(1, len(losses))), "step", ticks=tuple(Tick(m, text.count(int(m))) for m in round_marks(0, max(1, len(losses)), 6))
    )
    keep = np.unique(np.linspace(0, max(len(mean) - 1, 0), min(len(mean), 400)).astype(int))
    line = Line([float(i + width / 2) for i in keep], [float(positive[i]) for i in keep], label=f"mean of {width} steps")
    return Chart("loss", "Loss of the run", x, y, (line,), f"{len(losses)} steps, from {high:.2g} to {low:.2g}", 420, 220)


def cost_chart(
    flops: Sequence[float], errors: Sequence[float], low: Sequence[float], high: Sequence[float], titles: Sequence[str],
    present: int, goal: float,
) -> Chart:  # fmt: skip
    """Error of each attempt over the operations its training took."""
    series: list[Series] = [
        Interval("v", list(flops), list(low), list(high), "accent", opacity=0.45),
        Points(list(flops), list(errors), size=5, titles=list(titles), label="attempts"),
        Points(
            [flops[present]], [errors[present]], shape="diamond", role="alt", size=6.5, titles=[titles[present]], label="shown"
        ),
        Rule("h", goal, "good", text="goal"),
    ]
    ends = min(flops) / 1.6, max(flops) * 1.6
    ticks = tuple(Tick(mark, "".join(text.scaled(mark, ("", "k", "M", "G", "T", "P")))) for mark in _log_marks(*ends))
    x = Axis(ends, "operations of training", "FLOP", scale="log", ticks=ticks)
    return Chart(
        "cost",
        "Cost of training against error",
        x,
        error_axis(max([*high, goal]), "E_test"),
        tuple(series),
        "one point an attempt",
        460,
        260,
    )


def curve_chart(sizes: Sequence[int], errors: npt.NDArray[np.float64], ahead: Sequence[Prediction], goal: float) -> Chart:
    """Errors over the size of S_train, and the law that fits them with its interval; dashed where it is extrapolated."""
    points_x = [float(n) for n in sizes for _ in range(errors.shape[1])]
    points_y = [float(e) for row in errors for e in row]
    inside = [each for each in ahead if each.n <= sizes[-1]]
    beyond = [each for each in ahead if each.n >= sizes[-1]]
    places = [float(each.n) for each in ahead]
    series: list[Series] = [
        Interval("v", places, [each.low for each in ahead], [each.high for each in ahead], "muted", width=6, opacity=0.3),
        Line([float(e.n) for e in inside], [e.value for e in inside], label="power law"),
        Line([float(e.n) for e in beyond], [e.value for e in beyond], dash=True, label="extrapolated"),
        Points(points_x, points_y, role="alt", size=4, label="measured"),
        Rule("h", goal, "good", text="goal"),
    ]
    ticks = tuple(Tick(place, text.count(int(place))) for place in places)
    x = Axis((places[0] / 1.3, places[-1] * 1.3), "images in S_train", scale="log", ticks=ticks)
    highest = max([*points_y, *(each.high for each in ahead), goal])
    said = f"from {text.share(max(points_y))} % at {sizes[0]} images to {text.share(min(points_y))} % at {sizes[-1]}"
    return Chart(
        "learning-curve", "Error over the size of S_train", x, error_axis(highest, "E_val"), tuple(series), said, 520, 280
    )


def rate_chart(
    rates: npt.NDArray[np.float64], losses: npt.NDArray[np.float64], suggested: float | None, present: float | None
) -> Chart:
    """Loss over the growing rate, with the suggested and the present one."""
    shown = np.isfinite(losses)
    x_values, y_values = rates[shown], losses[shown]
    top = float(min(y_values.max(), 1.6 * y_values[: max(1, len(y_values) // 5)].mean()))
    series: list[Series] = [Line(x_values.tolist(), np.minimum(y_values, top).tolist(), label="loss, smoothed")]
    if suggested is not None:
        series.append(Rule("v", suggested, "good", text="suggested"))
    if present is not None and x_values[0] <= present <= x_values[-1]:
        series.append(Rule("v", present, "alt", text="present", text_anchor="end"))
    powers = range(math.ceil(math.log10(x_values[0])), math.floor(math.log10(x_values[-1])) + 1)
    x = Axis(
        (float(x_values[0]), float(x_values[-1])),
        "learning rate",
        scale="log",
        ticks=tuple(Tick(10.0**k, f"1e{k}") for k in powers),
    )
    marks = round_marks(0.0, 1.05 * top, 5)
    y = Axis((0.0, 1.05 * top), "loss", ticks=tuple(Tick(mark, f"{mark:g}") for mark in marks), grid=True)
    return Chart("rate", "Loss while the rate grows", x, y, tuple(series), "a learning-rate range test", 520, 260)
