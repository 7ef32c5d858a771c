"""The layer explorer's records drawn by matplotlib, for papers and slides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnwidgets.figures._matplotlib import COLOURS, draw
from nnwidgets.figures.records import chart_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure
    from matplotlib.figure import SubFigure

__all__ = ["explorer_page"]

_MOST_TILES = 64
_MAPS = {"sequential": "viridis", "diverging": "PuOr", "grey": "gray"}
_Record = Mapping[str, Any]


def explorer_page(subtitle: str, panel: _Record | None, unit: _Record | None, image: _Record | None) -> MplFigure:
    """The panel at the left; input and unit at the right. Of many tiles the first 64 are drawn."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(10, 5.6), layout="constrained")
    sheet.suptitle(f"Layer explorer: {subtitle}", fontsize=9, color=COLOURS["muted"], x=0.01, ha="left")
    parts: Any = sheet.subfigures(1, 2, width_ratios=(3, 1))
    left, right = parts
    if panel is not None:
        _panel(left, panel)
    _side(right, [(record, key) for record, key in ((image, "raster"), (unit, "map")) if record is not None and record[key]])
    return sheet


def _panel(figure: SubFigure, panel: _Record) -> None:
    figure.suptitle(f"{panel['title']}\n{panel['caption']}", fontsize=8, color=COLOURS["ink"], x=0.01, ha="left")
    pictures: list[tuple[str, npt.NDArray[Any], _Record]] = []
    if panel["raster"]:
        tiles = _tiles(panel["raster"])
        pictures = [(tile["label"], tiles[i], panel["raster"]) for i, tile in enumerate(panel["tiles"][:_MOST_TILES])]
    for column in panel["columns"]:
        pictures += [(column["title"], tile, column["raster"]) for tile in _tiles(column["raster"])]
    if pictures:
        _grid(figure, pictures)
        return
    charts = [chart_of(chart) for chart in panel["charts"].values()]
    for chart, ax in zip(charts, np.atleast_1d(figure.subplots(max(len(charts), 1), 1)), strict=False):
        draw(chart, ax)
    if not charts:
        figure.text(0.5, 0.5, panel["empty"] or panel["busy"], ha="center", fontsize=8, wrap=True)


def _grid(figure: SubFigure, pictures: Sequence[tuple[str, npt.NDArray[Any], _Record]]) -> None:
    columns = math.ceil(math.sqrt(len(pictures) * 1.6))
    places = np.atleast_1d(figure.subplots(math.ceil(len(pictures) / columns), columns, squeeze=False)).ravel()
    for ax in places:
        ax.set_axis_off()
    for ax, (label, pixels, raster) in zip(places, pictures, strict=False):
        _picture(ax, pixels, raster)
        ax.set_title(label, fontsize=6, pad=1)


def _side(figure: SubFigure, shown: Sequence[tuple[_Record, str]]) -> None:
    if not shown:
        return
    for ax, (record, key) in zip(np.atleast_1d(figure.subplots(len(shown), 1)), shown, strict=True):
        _picture(ax, _tiles(record[key])[0], record[key])
        ax.set_title(record["title"], fontsize=8)
        ax.set_axis_off()


def _picture(ax: Axes, pixels: npt.NDArray[Any], raster: _Record) -> None:
    if raster["kind"] == "colour":
        ax.imshow(pixels, interpolation="nearest")
    else:
        ax.imshow(pixels, cmap=_MAPS[raster["kind"]], vmin=0, vmax=255, interpolation="nearest")


def _tiles(raster: _Record) -> npt.NDArray[np.uint8]:
    shape = (raster["count"], raster["height"], raster["width"])
    return np.frombuffer(raster["data"], np.uint8).reshape(shape if raster["channels"] == 1 else (*shape, 3))
