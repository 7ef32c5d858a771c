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
_COMPARED = {"raster": " dense", "other": " compressed", "difference": " difference"}
_MAPS = {"sequential": "viridis", "diverging": "PuOr", "grey": "gray"}
_Record = Mapping[str, Any]


def explorer_page(subtitle: str, panel: _Record | None, unit: _Record | None, image: _Record | None) -> MplFigure:
    """The panel at the left; input and unit at the right. Of many tiles the first 64 are drawn, of a comparison the first 21."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    sheet = Figure(figsize=(10, 5.6), layout="constrained")
    sheet.suptitle(f"Layer explorer: {subtitle}", fontsize=9, color=COLOURS["muted"], x=0.01, ha="left")
    parts = sheet.add_gridspec(1, 2, width_ratios=(3, 1))
    if panel is not None:
        _panel(sheet.add_subfigure(parts[0]), panel)
    shown = [(record, key) for record, key in ((image, "raster"), (unit, "map")) if record is not None and record[key]]
    _side(sheet.add_subfigure(parts[1]), shown)
    for words in sheet.findobj(Text):
        words.set_parse_math(False)  # names of layers and classes are no formulas
    return sheet


def _panel(figure: SubFigure, panel: _Record) -> None:
    figure.suptitle(f"{panel['title']}\n{panel['caption']}", fontsize=8, color=COLOURS["ink"], x=0.01, ha="left")
    rasters = [(panel[name], words) for name, words in _COMPARED.items() if panel[name]]
    most = _MOST_TILES // max(len(rasters), 1)
    pictures = [
        (tile["label"] + (words if len(rasters) > 1 else ""), _tiles(raster)[i], raster)
        for i, tile in enumerate(panel["tiles"][:most])
        for raster, words in rasters
    ]
    for column in panel["columns"]:
        pictures += [(column["title"], tile, column["raster"]) for tile in _tiles(column["raster"])]
    if pictures:
        _grid(figure, pictures, len(rasters))
        if len(panel["tiles"]) > most and rasters:
            figure.text(0.01, 0.0, f"the first {most} of {len(panel['tiles'])}", fontsize=7, color=COLOURS["muted"])
        return
    charts = [chart_of(chart) for chart in panel["charts"].values()]
    if not charts:
        words = panel["empty"] or panel["busy"] or (panel["ask"] or {}).get("text", "")
        figure.text(0.5, 0.5, words, ha="center", fontsize=8, wrap=True)
        return
    for chart, ax in zip(charts, figure.subplots(len(charts), 1, squeeze=False).ravel(), strict=True):
        draw(chart, ax)


def _grid(figure: SubFigure, pictures: Sequence[tuple[str, npt.NDArray[Any], _Record]], beside: int) -> None:
    """Row by row; ``beside`` pictures that belong together stay in one row."""
    columns = math.ceil(math.sqrt(len(pictures) * 1.6))
    columns += -columns % max(beside, 1)
    places = figure.subplots(math.ceil(len(pictures) / columns), columns, squeeze=False).ravel()
    for ax in places:
        ax.set_axis_off()
    for ax, (label, pixels, raster) in zip(places, pictures, strict=False):
        _picture(ax, pixels, raster)
        ax.set_title(label, fontsize=6, pad=1)


def _side(figure: SubFigure, shown: Sequence[tuple[_Record, str]]) -> None:
    if not shown:
        return
    for ax, (record, key) in zip(figure.subplots(len(shown), 1, squeeze=False).ravel(), shown, strict=True):
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
