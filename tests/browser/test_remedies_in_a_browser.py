"""What makes up for rounding, from the lab in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
exp = nw.load_example("digits/lenet5")
exp.apply(E.Recipe(None, E.Quantization(2, granularity="tensor")))
lab = nw.CompressionLab(exp)
lab"""


def test_remedies_are_measured_and_switched_on(notebook: Callable[..., Notebook]) -> None:
    """By keyboard; the verdict is the engine's; a switch moves the accuracy; undo brings it back."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    before = book.python("lab.accuracy")
    card = widget.root.locator("details.remedies")
    card.locator("summary").focus()
    book.page.keyboard.press("Enter")
    expect(card.locator('[data-nnw-plan="ready"]')).to_contain_text("2 bit")
    card.get_by_role("button", name="Measure each").focus()
    book.page.keyboard.press("Enter")
    assert book.python("lab.wait(100)") is True
    expect(card.locator(".verdict b")).to_have_text(book.python("lab.remedies_view['words'][0]"))
    expect(card.locator('[data-nnw-chart="remedies"]')).to_contain_text("biases corrected")
    assert book.python("lab.accuracy") == before and book.python("max(r.low or 0 for r in lab._remedies._rows)") > 0.1
    card.locator('[data-nnw-control="rounding"] input').nth(0).focus()
    book.page.keyboard.press("ArrowRight")
    assert book.python("lab.wait(60)") is True
    assert book.python("exp.recipe.quantization.rounding") == "adaptive" and book.python("lab.accuracy") > before + 0.1
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    book.theme("dark")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.root.get_by_role("button", name="Undo").click()
    assert book.python("lab.wait(60)") is True
    expect(card.locator('[data-nnw-control="rounding"] input').nth(0)).to_be_checked()
    assert book.python("lab.accuracy") == before and (book.errors, book.left) == ([], [])
