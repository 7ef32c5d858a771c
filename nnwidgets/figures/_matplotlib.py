"""The same chart records drawn by matplotlib, for papers, slides and saved notebooks. No global state of pyplot is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnwidgets.figures.records import Axis, Bars, Chart, Figure, Interval, Line, Points, Role, Rule, Series, Text, Ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

__all__ = ["COLOURS", "draw", "page"]

# Okabe-Ito, darkened where needed for contrast on white; the front end's light theme has the same values.
COLOURS: Mapping[Role, str] = {
    "accent": "#0072B2",
    "alt": "#A6487F",
    "good": "#007F5C",
    "warn": "#8F5600",
    "bad": "#C04A00",
    "muted": "#5B6470",
    "line": "#D9DEE4",
    "ink": "#1B1F24",
}
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle": "^"}
_HORIZONTAL = {"start": "left", "end": "right", "middle": "center"}


def draw(chart: Chart, ax: Axes) -> None:
    """Draw one chart into matplotlib axes."""
    ax.set_title(chart.title, loc="left", fontsize=8, color=COLOURS["muted"], fontweight="bold")
    for which, axis in (("x", chart.x), ("y", chart.y)):
        _axis(ax, which, axis)
    for depth, series in enumerate(chart.series):
        _draw_series(ax, series, depth + 2)
    if sum(bool(getattr(series, "label", "")) for series in chart.series) >= 2:
        ax.legend(fontsize=7, frameon=False, loc="lower left")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(COLOURS["line"])
    if chart.x.hidden:
        ax.spines["bottom"].set_visible(False)


def _axis(ax: Axes, which: str, axis: Axis) -> None:
    target = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)(axis.scale)
    (ax.set_xlim if which == "x" else ax.set_ylim)(*axis.domain)
    ticks = () if axis.hidden else axis.ticks
    target.set_ticks([tick.at for tick in ticks], [tick.text for tick in ticks])
    target.set_ticks([], minor=True)
    target.set_tick_params(labelsize=7, labelcolor=COLOURS["muted"], length=0)
    if not axis.hidden and axis.label:
        (ax.set_xlabel if which == "x" else ax.set_ylabel)(
            axis.label + (f", {axis.unit}" if axis.unit else ""), fontsize=7, color=COLOURS["muted"]
        )
    if axis.grid:
        target.grid(True, color=COLOURS["line"], linewidth=0.6)
        ax.set_axisbelow(True)


def _draw_series(ax: Axes, series: Series, depth: int) -> None:
    drawers: dict[type, Any] = {
        Bars: _bars,
        Line: _line,
        Points: _points,
        Interval: _interval,
        Rule: _rule,
        Text: _text,
        Ticks: _ticks,
    }
    drawers[type(series)](ax, series, depth)


def _bars(ax: Axes, s: Bars, depth: int) -> None:
    colours: Any = [COLOURS[role] for role in s.roles] if s.roles else COLOURS[s.role]
    alpha = s.opacity if isinstance(s.opacity, int | float) else None
    if not isinstance(s.opacity, int | float):  # one a bar
        each = colours if isinstance(colours, list) else [colours] * len(s.x0)
        colours = list(zip(each, s.opacity, strict=True))
    widths = [b - a for a, b in zip(s.x0, s.x1, strict=True)]
    heights = [b - a for a, b in zip(s.y0, s.y1, strict=True)]
    ax.bar(
        list(s.x0),
        heights,
        widths,
        list(s.y0),
        align="edge",
        color=colours,
        alpha=alpha,
        zorder=depth,
        label=s.label or "_",
        linewidth=0,
    )


def _line(ax: Axes, s: Line, depth: int) -> None:
    style = "--" if s.dash else "-"
    ax.plot(s.x, s.y, style, color=COLOURS[s.role], linewidth=s.width * 0.75, alpha=s.opacity, zorder=depth, label=s.label or "_")


def _points(ax: Axes, s: Points, depth: int) -> None:
    face = COLOURS[s.role] if s.filled else "white"
    alpha: Any = s.opacity if isinstance(s.opacity, int | float) else list(s.opacity)  # matplotlib's types lack one a point
    ax.scatter(
        s.x,
        s.y,
        s=(1.5 * s.size) ** 2,
        marker=_MARKERS[s.shape],
        facecolors=face,
        edgecolors=COLOURS[s.role],
        alpha=alpha,
        zorder=depth,
        label=s.label or "_",
    )


def _interval(ax: Axes, s: Interval, depth: int) -> None:
    line = ax.vlines if s.orient == "v" else ax.hlines
    line(list(s.at), list(s.low), list(s.high), color=COLOURS[s.role], linewidth=s.width * 0.75, alpha=s.opacity, zorder=depth)


def _rule(ax: Axes, s: Rule, depth: int) -> None:
    style = "--" if s.dash else "-"
    (ax.axhline if s.orient == "h" else ax.axvline)(s.at, color=COLOURS[s.role], linestyle=style, linewidth=0.9, zorder=depth)
    if s.text:
        place = (0.02, s.at) if s.orient == "h" else (s.at, 1.0)
        transform = ax.get_yaxis_transform() if s.orient == "h" else ax.get_xaxis_transform()
        align = "left" if s.orient == "h" else _HORIZONTAL[s.text_anchor]
        ax.text(*place, s.text, color=COLOURS[s.role], fontsize=7, ha=align, va="bottom", transform=transform, zorder=depth)


def _text(ax: Axes, s: Text, depth: int) -> None:
    size = 7.5
    ax.annotate(
        s.text, (s.x, s.y), xytext=(s.dx * size, -s.dy * size), textcoords="offset points", fontsize=size, color=COLOURS[s.role],
        ha=_HORIZONTAL[s.anchor], fontweight="bold" if s.bold else "normal", zorder=depth,
    )  # fmt: skip


def _ticks(ax: Axes, s: Ticks, depth: int) -> None:
    ax.vlines(
        list(s.at),
        -0.05,
        0.0,
        color=COLOURS[s.role],
        linewidth=1.4,
        transform=ax.get_xaxis_transform(),
        clip_on=False,
        zorder=depth,
    )


def page(title: str, figures: Mapping[str, Figure], charts: Sequence[Chart], caption: str = "") -> MplFigure:
    """A page: printed figures in a row, two charts below, wide charts at the bottom.

    Args:
        figures: heading -> figure, left to right; charts: two charts, and one or two wide ones; caption: small print.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MplFigure

    below = [chart.height / 54 for chart in charts[3:4]]  # inches, about as much as it takes on the screen
    sheet = MplFigure(figsize=(9.6, 6.6 + sum(below)), layout="constrained", facecolor="white")
    FigureCanvasAgg(sheet)
    grid = sheet.add_gridspec(3 + len(below), 12, height_ratios=[1.0, 3.2, 1.7, *below])
    sheet.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=COLOURS["ink"])
    width = 12 // max(len(figures), 1)
    for column, (name, figure) in enumerate(figures.items()):
        ax = sheet.add_subplot(grid[0, column * width : (column + 1) * width])
        ax.set_axis_off()
        ax.text(0, 1.0, name.upper(), fontsize=7, color=COLOURS["muted"], fontweight="bold", va="top")
        ax.text(
            0, 0.72, f"{figure.value} {figure.unit}".strip(), fontsize=15, color=COLOURS[figure.role], va="top", fontweight="bold"
        )
        for line, note in enumerate(figure.notes[:3]):
            ax.text(0, 0.28 - 0.2 * line, note.text, fontsize=6.5, color=COLOURS[note.role], va="top")
    places = [grid[1, :7], grid[1, 7:], grid[2, :], *([grid[3, :]] if below else [])]
    for chart, place in zip(charts, places, strict=False):
        draw(chart, sheet.add_subplot(place))
    if caption:
        sheet.supxlabel(caption, fontsize=6.5, color=COLOURS["muted"], x=0.01, ha="left")
    return sheet
