"""The layer explorer in a browser test: begun, waited for, walked through; and the colours that its canvases really hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from lab import Notebook, Widget
from playwright.sync_api import Locator, Page, expect

__all__ = [
    "SHAPES",
    "START",
    "at_rest",
    "begin",
    "cells_of",
    "diverging",
    "like",
    "most_of",
    "picture_cells",
    "said_value",
    "stage",
    "tab_to",
    "viridis",
]

START = """import nnwidgets as nw
from nnwidgets import engine as E
explorer = nw.LayerExplorer(nw.load_example("digits/lenet5"))
explorer"""
SHAPES = START.replace("digits/lenet5", "shapes")

_BLUE_ORANGE = ("0b3c8c", "2f6fc4", "84b1e4", "f1f1ef", "efb07a", "c46613", "8a3b00")

# The pixel in the middle of each of rows x columns cells. They fill an element over the canvas, or the canvas; of the parts that
# stand side by side in it (dense, compressed, difference) one is read.
_CELLS = """([canvas, over, rows, columns, part, parts]) => {
  const on = canvas.getBoundingClientRect(), box = over ? over.getBoundingClientRect() : on;
  const scale = canvas.width / on.width, gap = parts > 1 ? 0.02 * box.width : 0;
  const wide = (box.width - gap * (parts - 1)) / parts, left = box.left - on.left + part * (wide + gap), top = box.top - on.top;
  const context = canvas.getContext('2d'), found = [];
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
    const at = [left + (x + 0.5) * wide / columns, top + (y + 0.5) * box.height / rows].map(v => Math.floor(v * scale));
    found.push(...context.getImageData(at[0], at[1], 1, 1).data);
  }
  return found; }"""


def begin(book: Notebook) -> Widget:
    """Run the cells of a notebook whose explorer is called ``explorer``, in the light theme, and wait until it is at rest."""
    book.theme("light")  # it is kept by the Lab, from test to test
    book.run_all()
    widget = book.widget("layer-explorer")
    at_rest(book, widget)
    return widget


def at_rest(book: Notebook, widget: Widget) -> None:
    """Wait until the kernel has no work and the page shows its last publication."""
    assert book.python("explorer.wait(60)") is True
    widget.wait_idle(after=book.python("explorer.seq") - 1)


def stage(widget: Widget, view: str, layer: str | None = None) -> Locator:
    """The middle, once it shows this view (of this layer) and nothing is on the way."""
    mark = f'[data-nnw-panel="{view}"]' + ("" if layer is None else f'[data-nnw-of="{layer}"]')
    found = widget.root.locator(f'{mark}:not([aria-busy="true"])')
    expect(found).to_be_visible(timeout=60_000)
    return found


def tab_to(page: Page, selector: str, key: str = "Tab", limit: int = 80) -> None:
    """Press Tab (or Shift+Tab) until the focus is in an element of this selector."""
    for _ in range(limit):
        if page.evaluate("s => document.activeElement.closest(s) !== null", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} did not reach {selector} in {limit} steps")


def cells_of(widget: Widget, chart: str, tile: int, shape: Sequence[int], part: int = 0, parts: int = 1) -> npt.NDArray[np.int64]:
    """(h, w, 3) colours of the cells of a tile as they are on the canvas."""
    place = widget.chart(chart)
    canvas = place.locator("canvas").element_handle()
    over = place.locator(f'[data-nnw-tile="{tile}"]').element_handle()
    return _read(widget.page, [canvas, over, *shape, part, parts])


def picture_cells(widget: Widget, chart: str, shape: Sequence[int]) -> npt.NDArray[np.int64]:
    """(h, w, 3) colours of the cells of a single picture."""
    canvas = widget.chart(chart).locator("canvas").first.element_handle()
    return _read(widget.page, [canvas, None, *shape, 0, 1])


def _read(page: Page, arguments: list[Any]) -> npt.NDArray[np.int64]:
    pixels = np.array(page.evaluate(_CELLS, arguments), np.int64).reshape(arguments[2], arguments[3], 4)
    assert (pixels[..., 3] == 255).all(), "a cell was not drawn"
    return pixels[..., :3]


def like(found: npt.NDArray[np.int64], wanted: npt.NDArray[np.float64]) -> bool:
    """Whether colours are the wanted ones: a number between two levels may be drawn as either, which are up to 4 of 255 apart."""
    apart = np.abs(found - wanted)
    return bool(apart.max() <= 4 and apart.mean() <= 1)


def most_of(*values: object) -> float:
    """The end of a scale: 995 of 1,000 numbers are no larger, and 9 of 10 of those other than zero."""
    told = np.concatenate([np.abs(np.asarray(each, np.float64)).ravel() for each in values])
    ends = np.quantile(told, 0.995, method="inverted_cdf"), np.quantile(told[told != 0], 0.9, method="inverted_cdf")
    return float(max(ends))


def viridis(values: object, low: float, high: float) -> npt.NDArray[np.float64]:
    """Colours of numbers by matplotlib's own table."""
    import matplotlib

    levels = np.round(255 * (np.asarray(values, np.float64) - low) / (high - low)).clip(0, 255).astype(int)
    return np.asarray(matplotlib.colormaps["viridis"](levels))[..., :3] * 255


def diverging(values: object, reach: float) -> npt.NDArray[np.float64]:
    """Colours of numbers from blue (-reach) through the page's grey (0, level 128) to orange (reach), in the light theme."""
    stops = np.array([[int(each[i : i + 2], 16) for i in (0, 2, 4)] for each in _BLUE_ORANGE])
    levels = np.round(128 + 127 * np.asarray(values, np.float64) / reach).clip(0, 255)
    share = np.where(levels <= 128, levels / 256, 0.5 + (levels - 128) / 254) * (len(stops) - 1)
    return np.stack([np.interp(share, np.arange(len(stops)), stops[:, i]) for i in range(3)], -1)


def said_value(text: str) -> tuple[int, int, float]:
    """(row, column, number) of the line under the pointer."""
    found = re.search(r"row (\d+), column (\d+): (\S+)", text)
    assert found, f"no number in {text!r}"
    return int(found[1]), int(found[2]), float(found[3].replace("\N{MINUS SIGN}", "-"))
