"""The layer explorer in a real JupyterLab: by mouse and by keyboard alone, and what is drawn is what the engine gives."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from axe import findings
from exploring import SHAPES, START, at_rest, begin, cells_of, diverging, like, most_of, said_value, stage, tab_to, viridis
from lab import PANEL, Notebook, Widget
from playwright.sync_api import expect

VIEWS = ("filters", "maps", "histogram", "deconvnet", "top9", "training")
HOSTILE = "<img src=x onerror=alert(1)>"
DRAWN = """root => { const canvas = root.querySelector('[data-nnw-chart="feature-maps"] canvas');
  return canvas && canvas.width > 1 && canvas.getContext('2d').getImageData(2, 2, 1, 1).data[3] === 255; }"""


@pytest.fixture
def book(notebook: Callable[..., Notebook]) -> Notebook:
    """A notebook whose first cell shows the explorer of LeNet-5."""
    return notebook(START)


@pytest.fixture
def widget(book: Notebook) -> Widget:
    """The explorer at rest, on the first convolution."""
    return begin(book)


def test_the_first_maps_are_there_soon_after_the_cell(notebook: Callable[..., Notebook]) -> None:
    """From the click on Run to maps on the canvas; nothing was loaded from elsewhere, nothing complained."""
    book = notebook(
        "import nnwidgets as nw\nexp = nw.load_example('digits/lenet5')\nnw.LayerExplorer",
        "explorer = nw.LayerExplorer(exp)\nexplorer",
    )
    book.run_cell(0)
    start = time.monotonic()
    book.run_cell(1)
    widget = book.widget("layer-explorer")
    book.page.wait_for_function(DRAWN, arg=widget.root.element_handle(), timeout=30_000)
    took = time.monotonic() - start
    print(f"from Run to the first maps: {took:.2f} s")
    assert took < 5
    at_rest(book, widget)
    assert widget.root.locator("[data-nnw-tile]").count() == 20
    assert (book.errors, book.left) == ([], [])


def test_every_tab_and_every_row_by_mouse(book: Notebook, widget: Widget) -> None:
    """Each tab shows what it says with something drawn in it; each row of the tree is what it names."""
    for view in VIEWS:
        widget.control("view").locator(f'label:has(input[value="{view}"])').click()
        place = stage(widget, view, "conv1")
        at_rest(book, widget)
        assert widget.root.locator("[role=alert]").count() == 0, view
        if view != "training":
            expect(place.locator("canvas, svg[viewBox]").first).to_be_visible()
    assert book.python("explorer.view") == "training"
    widget.set("view", "maps")
    names = book.python("list(E.layers(explorer.experiment.model, (1, 28, 28))['name'])")
    rows = widget.root.locator("[data-nnw-layer]")
    assert [rows.nth(i).get_attribute("data-nnw-layer") for i in range(rows.count())] == names
    for name in names:
        widget.root.locator(f'[data-nnw-layer="{name}"]').click()
        place = stage(widget, "maps", name)
        at_rest(book, widget)
        count = book.python(f"E.feature_maps(explorer.experiment.model, explorer.experiment.val.inputs([0]), {name!r}).shape[1]")
        assert place.locator("[data-nnw-tile]").count() == count
    assert (book.errors, book.left) == ([], [])


def test_everything_by_keyboard_alone_and_no_key_reaches_the_notebook(book: Notebook, widget: Widget) -> None:
    """Tree, tabs, tiles and map by Tab, arrows, letters and Enter; the notebook's own shortcuts stay quiet."""
    page, keys = book.page, book.page.keyboard
    cells = page.evaluate("() => window.nnwPanel.content.widgets.length")
    widget.root.locator("button, input, select, [tabindex='0']").first.focus()
    tab_to(page, '[role="tree"]')
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    keys.press("Enter")
    stage(widget, "maps", "conv2")
    tab_to(page, '[data-nnw-control="view"]')
    for view in (*VIEWS[2:], *VIEWS[:1]):
        keys.press("ArrowRight")
        stage(widget, view, "conv2")
        at_rest(book, widget)
    tab_to(page, '[data-nnw-chart="filters"]')
    for key in ("End", "ArrowLeft", "a", "b", "d", "d", "x"):
        keys.press(key)
    at_rest(book, widget)
    assert book.python("(explorer.layer, explorer.view, explorer.channel)") == ("conv2", "filters", 48)
    tab_to(page, '[data-nnw-chart="unit-map"]')
    for key in ("Home", "PageUp", "ArrowRight", "ArrowDown", "Enter"):
        keys.press(key)
    at_rest(book, widget)
    assert book.python("explorer.position") == "1,1"
    assert page.evaluate("() => window.nnwPanel.content.widgets.length") == cells, "a key made or removed a cell"
    assert page.evaluate("() => window.nnwPanel.content.widgets[0].model.sharedModel.getSource()") == START
    assert (book.errors, book.left) == ([], [])


def test_what_is_on_the_canvas_is_what_the_engine_gives(notebook: Callable[..., Notebook]) -> None:
    """Each cell of some tiles: maps after a ReLU, maps of both signs, filters in colour."""
    book = notebook(SHAPES)
    widget = begin(book)
    book.execute("model, images = explorer.experiment.model, explorer.experiment.val.inputs([0])")
    widget.root.locator('[data-nnw-layer="(relu)"]').click()
    stage(widget, "maps", "(relu)")
    at_rest(book, widget)
    maps = np.array(book.python("E.feature_maps(model, images, '(relu)')[0].tolist()"))
    for tile in (0, 7, 31):
        assert like(cells_of(widget, "feature-maps", tile, (32, 32)), viridis(maps[tile], maps.min(), most_of(maps)))
    widget.root.locator('[data-nnw-layer="conv1"]').click()
    stage(widget, "maps", "conv1")
    at_rest(book, widget)
    maps = np.array(book.python("E.feature_maps(model, images, 'conv1')[0].tolist()"))
    assert like(cells_of(widget, "feature-maps", 5, (32, 32)), diverging(maps[5], most_of(maps)))
    widget.set("view", "filters")
    stage(widget, "filters", "conv1")
    at_rest(book, widget)
    weight = np.array(book.python("model.conv1.weight.tolist()"))
    wanted = np.round(128 + 127 * weight[9] / np.abs(weight).max()).transpose(1, 2, 0)
    assert np.abs(cells_of(widget, "filters", 9, (3, 3)) - wanted).max() <= 1


def test_the_number_under_the_pointer_and_the_figures_are_exact(book: Notebook, widget: Widget) -> None:
    """Pointer over cells of the large map; a click chooses one, and its figure is the engine's float."""
    widget.root.locator('[data-nnw-chart="feature-maps"] [data-nnw-tile="11"]').click()
    at_rest(book, widget)
    book.execute("maps = E.feature_maps(explorer.experiment.model, explorer.experiment.val.inputs([0]), 'conv1')[0]")
    chart = widget.chart("unit-map")
    chart.scroll_into_view_if_needed()
    box = chart.locator("canvas").bounding_box()
    assert box is not None
    for y, x in ((0, 0), (11, 13), (23, 5)):
        book.page.mouse.move(box["x"] + (x + 0.5) * box["width"] / 24, box["y"] + (y + 0.5) * box["height"] / 24)
        exact = book.python(f"float(maps[11, {y}, {x}])")
        row, column, number = said_value(chart.locator("[data-nnw-readout]").inner_text())
        assert (row, column, number) == (y, x, pytest.approx(exact, rel=5e-3))
    book.page.mouse.down()
    book.page.mouse.up()
    at_rest(book, widget)
    assert book.python("explorer.position") == "23,5"
    assert widget.raw("here") == book.python("float(maps[11, 23, 5])")
    assert widget.raw("maximum") == book.python("float(maps[11].max())")
    assert widget.raw("mean") == pytest.approx(book.python("float(maps[11].mean())"), rel=1e-5)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(book: Notebook, widget: Widget, npm: object, theme: str) -> None:
    """In every tab, with a channel off, an image of one's own, and the drawing open."""
    book.theme(theme)
    book.execute("explorer.switch_off(channel=3)")
    at_rest(book, widget)
    found = []
    for view in VIEWS:
        widget.set("view", view)
        stage(widget, view, "conv1")
        at_rest(book, widget)
        found += [f"{view}: {each}" for each in findings(book.page, '[data-nnw="layer-explorer"]')]
    widget.action("draw").click()
    widget.root.locator("[data-nnw-draw]").wait_for()
    assert found + findings(book.page, '[data-nnw="layer-explorer"]') == []


def test_nothing_sticks_out_at_600_px(book: Notebook, widget: Widget) -> None:
    """No tab is wider than its place; structure and image are one click away."""
    book.page.set_viewport_size({"width": 600, "height": 900})
    inside = "e => { const out = e.closest('.jp-OutputArea-output') || e; return out.scrollWidth <= out.clientWidth + 1; }"
    for view in VIEWS:
        widget.set("view", view)
        stage(widget, view, "conv1")
        at_rest(book, widget)
        assert widget.root.evaluate(inside), view
    widget.root.locator("[data-nnw-folded] > summary").click()
    expect(widget.root.locator('[data-nnw-layer="conv2"]')).to_be_visible()
    assert widget.root.evaluate(inside), "unfolded"


def test_row_26_names_are_shown_as_text(notebook: Callable[..., Notebook]) -> None:
    """A script in the name of a layer, of a class of layers, of a class of images and of the experiment."""
    book = notebook(
        "import torch\nfrom torch import nn\nfrom collections import OrderedDict\n"
        "import nnwidgets as nw\nfrom nnwidgets import engine as E\n"
        f"name = {HOSTILE!r}\n"
        "kind = type(name, (nn.Conv2d,), {})\n"
        "net = nn.Sequential(OrderedDict([(name, kind(1, 4, 3)), ('flat', nn.Flatten()), ('answer', nn.Linear(16, 2))]))\n"
        "split = E.Split(torch.randn(50, 1, 4, 4), torch.arange(50) % 2)\n"
        "explorer = nw.LayerExplorer(nw.Experiment(net, test=split, title=name, class_names=[name, 'b']))\nexplorer"
    )
    dialogs: list[str] = []
    book.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    widget = begin(book)
    for view in VIEWS[:-1]:
        widget.set("view", view)
        stage(widget, view)
        at_rest(book, widget)
        assert HOSTILE in widget.root.locator("[data-nnw-panel]").inner_text(), view
    widget.action("switch_off").click()
    at_rest(book, widget)
    assert not dialogs and widget.root.locator("img").count() == 0
    assert book.left == [] and book.errors == []


def test_row_15_a_reloaded_page_shows_the_state_again(book: Notebook, widget: Widget) -> None:
    """Layer, tab, channel and what was drawn of them."""
    widget.root.locator('[data-nnw-layer="conv2"]').click()
    widget.set("view", "filters")
    widget.set("channel", 17)
    widget.input("channel").press("Tab")
    at_rest(book, widget)
    before = cells_of(widget, "filters", 17, (5, 5))
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    book.page.reload()
    book.page.wait_for_selector(".jp-Notebook .jp-Cell")
    book.page.evaluate(PANEL)
    again = book.widget("layer-explorer")
    stage(again, "filters", "conv2")
    at_rest(book, again)
    assert book.python("(explorer.layer, explorer.view, explorer.channel)") == ("conv2", "filters", 17)
    expect(again.root.locator('[data-nnw-tile="17"]')).to_have_attribute("aria-selected", "true")
    assert (cells_of(again, "filters", 17, (5, 5)) == before).all()
