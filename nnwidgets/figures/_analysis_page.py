"""The error analysis's number line and flowchart drawn by matplotlib, for papers and slides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnwidgets.figures._matplotlib import COLOURS
from nnwidgets.figures.records import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

__all__ = ["analysis_page"]

_SIGNS = {"strong": "●", "weak": "◐", "none": "○", "not tested": "…", "does not apply": "–", "failed": "!", "hidden": "?", "": ""}
_BADGES: Mapping[str, Role] = {"strong": "bad", "weak": "warn"}
_X = {"train": 0.0, "data": 0.0, "test": 0.53, "both": 0.53}
_WIDTH = 0.45
_Record = Mapping[str, Any]


def analysis_page(subtitle: str, line: _Record, flow: _Record, goal: float) -> MplFigure:
    """The number line above, the flowchart below, the sentence between them."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    sheet = Figure(figsize=(8.4, 8.2), layout="constrained")
    sheet.suptitle(f"Error analysis: {subtitle}", fontsize=9, color=COLOURS["muted"], x=0.01, ha="left")
    above, below = sheet.subplots(2, 1, height_ratios=(1, 6))
    _line(above, line, goal)
    _flow(below, flow)
    for words in sheet.findobj(Text):
        words.set_parse_math(False)
    return sheet


def _line(axes: Axes, line: _Record, goal: float) -> None:
    axes.set_xlim(*line["domain"])
    axes.set_ylim(-1, 3.2)
    axes.set_yticks([])
    axes.set_xticks([tick["at"] for tick in line["ticks"]], [tick["text"] for tick in line["ticks"]], fontsize=7)
    for i, mark in enumerate(line["marks"]):
        colour = COLOURS[mark["role"]]
        axes.plot([mark["low"], mark["high"]], [i, i], color=colour, linewidth=6, alpha=0.4, solid_capstyle="round")
        axes.plot([mark["value"]], [i], "o", color=colour, markersize=6)
        axes.annotate(
            f"{mark['label']} {mark['text']}", (mark["high"], i), (6, -3), textcoords="offset points", fontsize=8, color=colour
        )
    axes.axvline(goal, color=COLOURS["good"], linewidth=2)
    axes.text(goal, 2.75, f" {line['goal_text']}", color=COLOURS["good"], fontsize=8, weight="bold")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _flow(axes: Axes, flow: _Record) -> None:
    axes.set_xlim(0, 1)
    axes.axis("off")
    axes.text(0, 0.4, flow["sentence"], fontsize=8, color=COLOURS["ink"], wrap=True)
    nodes = {node["id"]: node for node in flow["nodes"]}
    rows = {"train": 3.0, "test": 3.0}
    _box(axes, 0.15, 1.2, 0.45, nodes["start"])
    _box(axes, 0.7, 1.2, 0.28, nodes["goal_met"])
    for column in ("train", "test"):
        for node in flow["nodes"]:
            if node["column"] == column or (column == "train" and node["column"] == "data"):
                inset = 0.03 if node["column"] == "data" and node["kind"] == "leaf" else 0.0
                _box(axes, _X[column] + inset, rows[column], _WIDTH - inset, node)
                rows[column] += 1.25
    _box(axes, _X["both"], max(rows["test"], rows["train"] - 1.25), _WIDTH, nodes["implementation"])
    axes.set_ylim(max(rows.values()) + 1.4, 0)


def _box(axes: Axes, x: float, y: float, width: float, node: _Record) -> None:
    from matplotlib.patches import FancyBboxPatch

    lit = node["state"] == "lit"
    edge = COLOURS["accent"] if node["state"] != "off" else COLOURS["line"]
    style = "--" if node["state"] == "undecided" or node["extension"] else "-"
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, 0.95, boxstyle="round,pad=0,rounding_size=0.02", mutation_aspect=12, facecolor="none", edgecolor=edge,
            linewidth=1.8 if lit else 1.0, linestyle=style,
        )
    )  # fmt: skip
    axes.text(x + 0.015, y + 0.4, node["title"], fontsize=8, weight="bold", color=COLOURS["ink"])
    badge = node["badge"]
    words = f"{_SIGNS[badge]} {badge}" + (f", {node['text']}" if node["text"] else "") if badge else node["text"]
    axes.text(x + 0.015, y + 0.8, words[:58], fontsize=7, color=COLOURS[_BADGES.get(badge, "muted")])
