"""The scan of layers in a real JupyterLab: asked for, cancelled, read by eye, pointer and keyboard, in both themes and narrow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe import findings
from lab import Notebook, Widget

START = """import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example("digits/lenet300"))
lab"""


@pytest.fixture
def book(notebook: Callable[..., Notebook]) -> Notebook:
    """A notebook whose first cell shows the lab, at rest."""
    opened = notebook(START)
    opened.run_all()
    opened.widget("compression-lab").wait_idle()
    return opened


def scanned(book: Notebook) -> Widget:
    widget = book.widget("compression-lab")
    widget.action("scan_layers").click()
    widget.chart("sensitivity").wait_for(timeout=120_000)
    assert book.python("lab.wait(60)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)
    return widget


def test_the_chart_appears_once_it_was_asked_for_with_the_numbers_of_the_engine(book: Notebook) -> None:
    widget = book.widget("compression-lab")
    assert widget.chart("sensitivity").count() == 0
    assert widget.action("scan_layers").inner_text() == "Which layers can bear it?"
    widget = scanned(book)
    book.execute(
        "from nnwidgets import engine as E\nfrom nnwidgets.engine.experiment.scanning import AMOUNTS, sample_for\n"
        "from nnwidgets.figures import text\n"
        "drops = E.sensitivity_scan(lab.experiment.model, sample_for(lab.experiment)[1], AMOUNTS)['drop']"
    )
    wanted = book.python("[text.signed_points(-drop) for drop in drops]")
    printed = widget.chart("sensitivity").locator("svg text.halo").all_text_contents()
    assert printed == wanted and len(wanted) == 3 * 6
    assert "images of S_val" in widget.root.locator(".recover p").inner_text()
    assert (book.errors, book.left) == ([], [])


def test_pointer_and_keyboard_get_the_same_words_and_the_marks_follow_the_slider(book: Notebook) -> None:
    widget = scanned(book)
    chart = widget.chart("sensitivity")
    cell = chart.locator("svg rect.fill").last
    cell.scroll_into_view_if_needed()
    cell.hover(force=True)  # its number lies on it
    tip = chart.locator(".tip").inner_text()
    assert tip.startswith("fc3, 95 % removed: accuracy")
    panel = widget.root.locator(".panel.sensitivity")
    panel.locator("summary").focus()
    book.page.keyboard.press("Enter")
    assert tip in panel.locator("li").all_inner_texts()
    assert chart.locator("path").count() == 0
    book.execute("lab.sparsity = 0.8")
    assert book.python("lab.wait(60)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)
    assert chart.locator("svg .r-accent path").count() == 3
    assert any("fc1 now:" in line for line in panel.locator("li").all_inner_texts())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_sticks_out_at_600_pixels(book: Notebook, npm: object, theme: str) -> None:
    book.theme(theme)
    book.execute("lab.sparsity = 0.8")
    widget = scanned(book)
    widget.root.locator(".panel.sensitivity summary").click()
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    book.page.set_viewport_size({"width": 600, "height": 1200})
    book.page.wait_for_function("e => e.clientWidth < 600", arg=widget.root.element_handle())
    panel = widget.root.locator(".panel.sensitivity")
    right = "getBoundingClientRect().right"
    out = f"p => [...p.querySelectorAll('*')].filter(e => e.{right} > p.{right} + 1).length"
    book.page.wait_for_function(f"p => ({out})(p) === 0", arg=panel.element_handle(), timeout=10_000)
    assert panel.evaluate(out) == 0


def test_a_scan_can_be_cancelled_and_asked_for_again(book: Notebook) -> None:
    widget = book.widget("compression-lab")
    book.execute(
        "import nnwidgets.engine.experiment.scanning as s\ns._MOST = s._FEWEST = 20_000; lab.experiment.val = lab.experiment.test"
    )
    widget.action("scan_layers").click()
    widget.action("cancel").click()
    widget.root.locator(".recover p").wait_for()
    assert "cancelled" in widget.root.locator(".recover p").inner_text()
    assert widget.chart("sensitivity").count() == 0
    book.execute("s._MOST = 200")
    scanned(book)
