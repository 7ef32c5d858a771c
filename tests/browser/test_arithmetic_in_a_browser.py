"""Integer arithmetic, timed from the lab in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
lab = nw.CompressionLab(nw.load_example("digits/lenet5"))
lab"""


def test_kinds_of_arithmetic_are_timed(notebook: Callable[..., Notebook]) -> None:
    """By keyboard; progress and Cancel; the words are those of the engine; nothing of the state changes."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    card = widget.root.locator("details.arithmetic")
    card.locator("summary").focus()
    book.page.keyboard.press("Enter")
    expect(card.locator('[data-nnw-plan="ready"]')).to_contain_text("run as with 8 bits")
    button = card.get_by_role("button", name="Time them")
    button.focus()
    book.page.keyboard.press("Enter")
    expect(card.locator(".verdict")).to_be_visible(timeout=30_000)
    assert book.python("lab.wait(60)") is True
    head = book.python("lab.arithmetic_view['words'][0]")
    expect(card.locator(".verdict b")).to_have_text(head)
    engine = book.python("lab._arithmetic._found[0].engine")
    assert (engine in head) if engine != "simulated" else ("Simulated" in head)
    assert book.python("lab.experiment.recipe == E.Recipe()") is True
    expect(card.locator('[data-nnw-chart="arithmetic"]')).to_contain_text("weights only")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    book.theme("dark")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.set("weight_bits", 4)
    expect(card.locator(".verdict li").last).to_have_text("Another state is shown by now.")
    assert (book.errors, book.left) == ([], [])
