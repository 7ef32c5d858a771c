"""One layer on its grid: how many weights each level has, and where the weights of each channel lie."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from nnwidgets.engine.quantization import Calibration, Followed, RoundingReport
from nnwidgets.engine.values.recipe import Quantization
from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Interval, Line, Role, Series, Text, Tick, Ticks

__all__ = ["decibels", "inputs_chart", "number", "observers_chart", "occupancy_chart", "ranges_chart"]


def number(value: float, digits: int = 3) -> str:
    """A small number with its sign as printed."""
    return f"{value:.{digits}g}".replace("-", text.MINUS)


def decibels(value: float) -> str:
    """A ratio of powers; nothing lost is said in words."""
    return "exact" if value == math.inf else f"{value:.1f} dB".replace("-", text.MINUS)


def occupancy_chart(layer: str, report: RoundingReport, followed: Followed | None, what: str = "weights") -> Chart:
    """Weights on each level, over all scales together; the level of the followed weight is marked. Or inputs."""
    if report.quantized.codebook is not None:
        return _shared_chart(layer, report, followed)
    codes, counts = report.codes.tolist(), report.counts.tolist()
    total = max(1, report.n)
    shares = [count / total for count in counts]
    top = max([*shares, 1e-9]) * 1.1
    roles: list[Role] = ["alt" if followed is not None and code == followed.code else "accent" for code in codes]
    titles = [f"q = {number(code)}: {text.count(count)} {what}" for code, count in zip(codes, counts, strict=True)]
    bars = Bars(
        [code - 0.45 for code in codes],
        [code + 0.45 for code in codes],
        [0.0] * len(codes),
        shares,
        roles=roles,
        opacity=0.85,
        titles=titles,
    )
    x = Axis(
        (codes[0] - 0.7, codes[-1] + 0.7),
        "code q",
        ticks=tuple(Tick(code, number(code)) for code in dict.fromkeys((codes[0], codes[len(codes) // 2], codes[-1]))),
    )
    y = _shares(top, what)
    used = f"{text.percent(report.used, 0)} % of the levels of a scale have {'a weight' if what == 'weights' else 'an input'}"
    return Chart("occupancy", f"{what.capitalize()} on each level of {layer}", x, y, (bars,), used, 330, 190)


def _shares(top: float, what: str) -> Axis:
    """Shares of all, as per cent that differ."""
    ticks = tuple(Tick(at, text.percent(at, 0 if top >= 0.04 else 1)) for at in (0.0, top / 2, top))
    return Axis((0.0, top), f"{what}, %", ticks=ticks, grid=True)


def _shared_chart(layer: str, report: RoundingReport, followed: Followed | None) -> Chart:
    """Weights on each value of a codebook that some have, where they lie: a bar reaches half-way to the next of these values."""
    assert report.quantized.codebook is not None
    values, counts = report.quantized.codebook.tolist(), report.counts.tolist()
    used = [code for code, count in enumerate(counts) if count]
    shares = [counts[code] / max(1, report.n) for code in used]
    low, high = float(report.weight.min()) if report.n else -1.0, float(report.weight.max()) if report.n else 1.0
    low, high = min(low, 0.0), max(high, 0.0)
    edges = [low, *((values[a] + values[b]) / 2 for a, b in itertools.pairwise(used)), high]
    top = max([*shares, 1e-9]) * 1.1
    roles: list[Role] = ["alt" if followed is not None and code == followed.code else "accent" for code in used]
    titles = [f"c[{code}] = {number(values[code])}: {text.count(counts[code])} weights" for code in used]
    left, right = edges[: len(used)], edges[1 : len(used) + 1]
    bars = Bars(left, right, [0.0] * len(used), shares, roles=roles, opacity=0.85, titles=titles)
    ticks = tuple(Tick(at, number(at, 2)) for at in dict.fromkeys((low, 0.0, high)))
    margin = 0.02 * (high - low)
    x = Axis((low - margin, high + margin), "value of the codebook", ticks=ticks)
    y = _shares(top, "weights")
    said = f"{len(used)} of {len(values)} values have a weight"
    said += ", one more is zero for what is removed" if report.n < report.weight.numel() else ""
    series: tuple[Series, ...] = (bars, Ticks(report.quantized.levels().tolist()))
    return Chart("occupancy", f"Weights on each value of {layer}", x, y, series, said, 330, 190)


def observers_chart(layer: str, reports: Sequence[tuple[str, RoundingReport]], now: str, what: str = "weights") -> Chart:
    """The weights that share a scale, and where the levels end by each observer. Or inputs.

    Args:
        reports: (label, what its grid does); now: the label of the chosen one.
    """
    chosen = next(report for label, report in reports if label == now)
    channel = chosen.quantized.widest
    edges, counts = chosen.histogram(channel)
    top = max([*counts, 1]) * 1.1
    bars = Bars(edges[:-1], edges[1:], [0.0] * len(counts), [float(count) for count in counts], "accent", opacity=0.5)
    series: list[Series] = [bars]
    found = [(label, *report.levels_end(channel)) for label, report in reports]
    left = min([edges[0], *(low for _, low, _ in found)])
    right = max([edges[-1], *(high for _, _, high in found)])
    for place, (label, low, high) in enumerate(found):
        at = top * (1.08 + 0.16 * (len(found) - place - 1))
        role: Role = "alt" if label == now else "ink"
        series.append(
            Line([low, low, high, high], [0.0, at, at, 0.0], role, dash=label != now, width=1.6 if label == now else 1.0)
        )
        series.append(Text(right, at, label, role, dx=0.5, bold=label == now))
    margin = 0.04 * (right - left)
    reach = 0.4 * (right - left)  # the words stand behind the lines
    ticks = tuple(Tick(at, number(at, 2)) for at in dict.fromkeys((left, 0.0, right)))
    x = Axis((left - margin, right + reach), what.rstrip("s"), ticks=ticks)
    y = Axis((0.0, top * (1.2 + 0.16 * len(found))), hidden=True)
    of = "one scale for all of them" if channel is None else f"channel {channel}, the widest of {chosen.quantized.n_scales}"
    return Chart(
        "observers", f"Where the levels of {layer} end", x, y, tuple(series), f"{of}; lines: first to last level", 430, 210
    )


def ranges_chart(layer: str, report: RoundingReport) -> Chart:
    """The range of each channel, and the ends of the levels that its scale has."""
    low, high = report.low.tolist(), report.high.tolist()
    at = [float(i) for i in range(len(low))]
    ends = report.ends.tolist()
    reach = max([1e-12, *map(abs, low), *map(abs, high), *(abs(value) for pair in ends for value in pair)]) * 1.08
    width = max(1.0, min(5.0, 160 / max(1, len(at))))
    series: list[Series] = [Interval("v", at, low, high, "accent", width=width, opacity=0.8)]
    for side, label in ((0, "ends of the levels"), (1, "")):
        if len(ends) == len(at) > 1:
            series.append(Line(at, [pair[side] for pair in ends], "alt", width=1.2, label=label))
        elif ends:
            series.append(Line([-0.5, len(at) - 0.5], [ends[0][side]] * 2, "alt", width=1.2, label=label))
    ticks = tuple(Tick(float(i), str(i)) for i in dict.fromkeys((0, len(at) - 1)))
    x = Axis((-0.7, max(len(at) - 0.3, 0.3)), "channel", ticks=ticks)
    y = Axis((-reach, reach), "weight", ticks=tuple(Tick(v, number(v, 2)) for v in (-reach / 1.08, 0.0, reach / 1.08)), grid=True)
    words = f"from {number(min(low, default=0))} to {number(max(high, default=0))} over {text.count(len(low))} channels"
    words += "; lines: first and last level"
    return Chart("ranges", f"Ranges of the channels of {layer}", x, y, tuple(series), words, 330, 190)


def inputs_chart(seen: Calibration, settings: Quantization, module: str) -> Chart:
    """The range of what goes into each layer, and the ends of its levels; the chosen layer stands out."""
    names = list(seen.inputs)
    at = [float(i) for i in range(len(names))]
    low, high = [seen.inputs[name].low for name in names], [seen.inputs[name].high for name in names]
    grids = seen.grids(settings)
    ends = [grids[name].ends for name in names]
    reach = max([1e-12, *high, *(each[1] for each in ends)]) * 1.08
    bottom = min([0.0, *low, *(each[0] for each in ends)]) * 1.08
    width = max(1.0, min(5.0, 160 / max(1, len(at))))
    series: list[Series] = [Interval("v", at, low, high, "accent", width=width, opacity=0.8)]
    if module in names:
        place = names.index(module)
        series.append(Interval("v", [at[place]], [low[place]], [high[place]], "ink", width=width))
    for side, label in ((0, "ends of the levels"), (1, "")):
        series.append(Line(at, [each[side] for each in ends], "alt", width=1.2, label=label))
    x = Axis(
        (-0.7, max(len(at) - 0.3, 0.3)),
        "layer",
        ticks=tuple(Tick(float(i), str(i + 1)) for i in dict.fromkeys((0, len(at) - 1))),
    )
    marks = dict.fromkeys((bottom / 1.08, 0.0, reach / 1.08))
    y = Axis((bottom, reach), "input", ticks=tuple(Tick(value, number(value, 2)) for value in marks), grid=True)
    own = seen.inputs.get(module)
    words = f"{text.count(len(names))} layers; {module}: " + (
        "not seen" if own is None else f"from {number(own.low)} to {number(own.high)}"
    )
    words += "; lines: ends of the levels"
    return Chart("ranges", "Ranges of what goes into each layer", x, y, tuple(series), words, 330, 190)
