"""How much accuracy each layer loses alone: a table of coloured cells with the numbers in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nnwidgets.figures import text
from nnwidgets.figures.records import Axis, Bars, Chart, Points, Series, Text, Tick

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sensitivity_chart"]

_FULL = 0.3  # accuracy lost that is drawn in full colour; near chance nothing more is to be told apart
_FAINTEST, _STRONGEST = 0.04, 0.6  # the number on it has a contrast of 4.5 in both themes
_LINE = 19  # height of a row


def sensitivity_chart(table: pd.DataFrame, now: Mapping[str, float], sample: str, other_weights: bool = False) -> Chart:
    """Rows are layers, columns amounts; the number is what accuracy changes by, in points, if that layer alone is pruned.

    Args:
        table: of `sensitivity_scan` by pruning. now: layer -> share of its weights at zero in the present state.
        sample: "val" or "test". other_weights: it was made for other weights than the present ones.
    """
    layers, amounts = list(dict.fromkeys(table["layer"])), sorted(set(table["amount"]))
    n, dense = int(table.attrs["n"]), float(table.attrs["dense"])
    x0, y0, fade, titles, numbers = [], [], [], [], []
    for row in table.to_dict("records"):
        place, line, drop = amounts.index(row["amount"]), len(layers) - 1 - layers.index(row["layer"]), row["drop"]
        x0.append(place)
        y0.append(line)
        fade.append(_FAINTEST + (_STRONGEST - _FAINTEST) * min(max(drop, 0.0) / _FULL, 1.0) ** 0.5)
        titles.append(
            f"{row['layer']}, {text.percent(row['amount'], 0)} % removed: accuracy {text.percent(row['accuracy'])} % "
            f"({text.signed_points(-drop)} points)"
        )
        numbers.append(Text(place + 0.5, line + 0.5, text.signed_points(-drop), "ink", "middle", bold=drop > 0.01))
    cells = Bars(
        [x + 0.02 for x in x0],
        [x + 0.98 for x in x0],
        [y + 0.06 for y in y0],
        [y + 0.94 for y in y0],
        "bad",
        opacity=fade,
        titles=titles,
    )
    series: list[Series] = [cells, *_marks(layers, amounts, now), *numbers]
    worst = max(table.to_dict("records"), key=lambda row: row["drop"])
    words = (
        f"Change of accuracy in points on {text.count(n)} images of S_{sample} (dense {text.percent(dense)} %) "
        "if one layer alone loses its smallest weights. "
        f"Most is lost in {worst['layer']} at {text.percent(worst['amount'], 0)} %: {text.signed_points(-worst['drop'])} points."
    )
    title = "Which layers can bear it: points of accuracy, one layer pruned alone"
    title += ", other weights than now" if other_weights else ""
    x = Axis(
        (0, len(amounts)),
        f"removed from the layer; {text.count(n)} images of S_{sample}",
        "%",
        ticks=tuple(Tick(i + 0.5, text.percent(amount, 0)) for i, amount in enumerate(amounts)),
    )
    y = Axis((0, len(layers)), ticks=tuple(Tick(len(layers) - 0.5 - i, name) for i, name in enumerate(layers)))
    return Chart("sensitivity", title, x, y, tuple(series), words, 700, 44 + _LINE * len(layers))


def _marks(layers: list[str], amounts: list[float], now: Mapping[str, float]) -> list[Series]:
    """Where each layer stands now, between the columns; nothing for layers that are whole."""
    places = [i + 0.5 for i in range(len(amounts))]
    marked = [(i, layer) for i, layer in enumerate(layers) if now.get(layer, 0.0) > 0]
    if not marked:
        return []
    x = [float(np.interp(now[layer], [0.0, *amounts, 1.0], [0.0, *places, float(len(amounts))])) for _, layer in marked]
    said = [f"{layer} now: {text.percent(now[layer])} % at zero" for _, layer in marked]
    y = [len(layers) - 1 - i + 0.14 for i, _ in marked]
    return [Points(x, y, "triangle", role="accent", size=4.0, titles=said, label="now")]
