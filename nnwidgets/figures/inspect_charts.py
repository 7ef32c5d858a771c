"""Charts of the inside of a network: outputs of a layer, classes of a channel, a training run step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nnwidgets.engine.inspect import UnitStatistics
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Figure, Line, Note, Role, Rule, Series, Text, Tick
from nnwidgets.figures.scales import round_marks

__all__ = ["channels_chart", "layer_figures", "outputs_chart", "profile_chart", "ratio_chart", "unit_figures"]

_MOST_LINES = 12
_RULE_OF_THUMB = 1e-3


def number(value: float) -> str:
    """Three digits with a real minus sign."""
    return f"{value:.3g}".replace("-", text.MINUS)


def outputs_chart(found: UnitStatistics, channel: int) -> Chart:
    """Outputs of a layer over a sample (all channels, and the chosen one), as shares on a logarithmic scale."""
    low, high = _inhabited(found.layer_histogram)
    edges = found.edges[low : high + 1]
    whole = found.layer_histogram[low:high]
    one = found.histogram[channel][low:high]
    floor = 1e-6
    series: list[Series] = [
        _bars(edges, whole / max(whole.sum(), 1), floor, "accent", "all channels", 0.55),
        _outline(edges, one / max(one.sum(), 1), floor, f"channel {channel}"),
    ]
    ticks = tuple(Tick(10.0**-k, f"{10.0 ** (2 - k):g} %") for k in (0, 2, 4, 6))
    ends = float(edges[0]), float(edges[-1])
    x = Axis(ends, "output", ticks=tuple(Tick(mark, f"{mark:g}".replace("-", text.MINUS)) for mark in round_marks(*ends)))
    y = Axis((floor, 1.5), "share", scale="log", ticks=ticks, grid=True)
    said = f"{found.n:,} images, {text.share(found.sparse_share)} % exactly zero"
    return Chart("histogram", "How often each output occurs", x, y, tuple(series), said, 560, 220)


def _inhabited(counts: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The bins from the first to the last that holds something."""
    held = np.flatnonzero(counts)
    return (int(held[0]), int(held[-1]) + 1) if len(held) else (0, len(counts))


def _bars(
    edges: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], floor: float, role: Role, label: str, opacity: float
) -> Bars:
    tops = np.maximum(shares, floor)
    return Bars(edges[:-1].tolist(), edges[1:].tolist(), [floor] * len(tops), tops.tolist(), role, opacity=opacity, label=label)


def _outline(edges: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], floor: float, label: str) -> Line:
    x = np.repeat(edges, 2)[1:-1]
    return Line(x.tolist(), np.repeat(np.maximum(shares, floor), 2).tolist(), "alt", width=2.0, label=label)


def channels_chart(found: UnitStatistics, channel: int) -> Chart:
    """For each channel the share of images in which it is alive, sorted; dead ones are marked."""
    order = np.argsort(-found.alive, kind="stable")
    places = np.arange(len(order))
    roles: list[Role] = ["bad" if found.dead[k] else "alt" if k == channel else "accent" for k in order]
    titles = [f"channel {k}: alive in {text.share(float(found.alive[k]))} % of images" for k in order]
    bars = Bars(
        (places + 0.08).tolist(),
        (places + 0.92).tolist(),
        [0.0] * len(order),
        np.maximum(found.alive[order], 0.012).tolist(),
        roles=roles,
        opacity=0.8,
        titles=titles,
    )
    x = Axis(
        (0, max(len(order), 8)), "channels, the most often alive first", ticks=(Tick(0, "1"), Tick(len(order), str(len(order))))
    )
    y = Axis((0, 1.05), "images", "%", ticks=(Tick(0, "0"), Tick(0.5, "50"), Tick(1, "100")), grid=True)
    dead = int(found.dead.sum())
    said = f"{dead} of {found.channels} channels are dead"
    return Chart("channels", "Images in which a channel is alive", x, y, (bars,), said, 560, 130)


def layer_figures(found: UnitStatistics) -> dict[str, Figure]:
    """Dead, sparse and saturated shares of a layer."""
    dead = int(found.dead.sum())
    zero = found.sparse_share
    told = {
        "dead_share": Figure(
            found.dead_share,
            f"{dead}",
            f"of {found.channels}",
            (Note("channels that give one constant"),),
            "bad" if dead else "ink",
        ),
        "sparse_share": Figure(zero, text.share(zero), "%", (Note("outputs that are exactly zero"),)),
    }
    if found.saturated_share is not None:
        share = found.saturated_share
        told["saturated_share"] = Figure(share, text.share(share), "%", (Note("outputs within 1 % of a bound"),))
    return told


def unit_figures(found: UnitStatistics, channel: int) -> dict[str, Figure]:
    """One channel over the sample: alive, selective for which class."""
    alive = float(found.alive[channel])
    dead = bool(found.dead[channel])
    note = Note(f"of {text.count(found.n)} images" + (": dead" if dead else ""), "bad" if dead else "muted")
    told = {"alive": Figure(alive, text.share(alive), "%", (note,), "bad" if dead else "ink")}
    if found.selectivity is not None and not math.isnan(float(found.selectivity[channel])):
        value = float(found.selectivity[channel])
        told["selectivity"] = Figure(value, f"{value:.2f}")
    return told


def profile_chart(found: UnitStatistics, channel: int, names: Sequence[str]) -> dict[str, Chart]:
    """Mean of a channel by class; nothing without labels."""
    if found.class_means is None:
        return {}
    means = np.nan_to_num(found.class_means[:, channel])
    most = 24
    shown = np.argsort(-means, kind="stable")[:most] if len(means) > most else np.arange(len(means))
    values = means[shown]
    best = int(np.argmax(values)) if len(values) else -1
    low, high = min(0.0, float(values.min(initial=0.0))), max(0.0, float(values.max(initial=0.0)))
    roles: list[Role] = ["alt" if i == best else "accent" for i in range(len(values))]
    label = [names[k] if k < len(names) else str(k) for k in shown]
    bars = Bars(
        [i + 0.12 for i in range(len(values))],
        [i + 0.88 for i in range(len(values))],
        np.minimum(values, 0).tolist(),
        np.maximum(values, 0).tolist(),
        roles=roles,
        opacity=0.8,
        titles=[f"{name}: {number(float(value))}" for name, value in zip(label, values, strict=True)],
    )
    short = max((len(name) for name in label), default=0) <= 3
    ticks = tuple(Tick(i + 0.5, name) for i, name in enumerate(label)) if short else ()
    span = (high - low) or 1.0
    series: tuple[Bars | Text, ...] = (bars,)
    if not short and best >= 0:
        series = (bars, Text(best + 0.5, float(values[best]), label[best], "alt", "middle", bold=True, dy=-0.8))
    x = Axis((0, max(len(values), 4)), "class", ticks=ticks, hidden=False)
    y = Axis((low, low + 1.22 * span), "mean", ticks=(Tick(low, number(low)), Tick(high, number(high))))
    said = f"strongest for {label[best]}" if best >= 0 else ""
    return {"profile": Chart("profile", "Mean by class", x, y, series, said, 240, 110)}


def ratio_chart(steps: Sequence[int], ratios: Mapping[str, Sequence[float]], total: int, chosen: str) -> Chart:
    """Size of the updates beside that of the weights, a line for each layer, on a logarithmic scale."""
    low, high = -6, 0
    names = list(ratios)[:_MOST_LINES]
    if chosen in ratios and chosen not in names:
        names[-1] = chosen
    stride = max(1, len(steps) // 150)
    lines = [
        Line(
            list(steps[::stride]),
            [min(max(value, 10.0**low), 1.0) for value in ratios[name][::stride]],
            "alt" if name == chosen else "accent",
            width=2.2 if name == chosen else 1.0,
            opacity=1.0 if name == chosen else 0.35,
            label=name if name == chosen else "",
        )
        for name in names
    ]
    rule = Rule("h", _RULE_OF_THUMB, "good", text="about 1/1000: rule of thumb")
    x = Axis((0, max(total, 1)), "step", ticks=(Tick(0, "0"), Tick(total, text.count(total))))
    y = Axis(
        (10.0**low, 10.0**high),
        "update / weight",
        scale="log",
        ticks=tuple(Tick(10.0**k, f"1e{k}") for k in (-6, -4, -2, 0)),
        grid=True,
    )
    return Chart("ratio", "Update / weight, by layer", x, y, (rule, *lines), f"{len(steps)} steps", 390, 170)
