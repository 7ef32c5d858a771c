"""Static rounding against training with it, in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
exp = nw.load_example("digits/lenet300")
lab = nw.CompressionLab(nw.Experiment(exp.model, train=exp.train.take(range(600)), test=exp.test, training=exp.training))
def rounded(bits):
    recipe = E.Recipe(None, E.Quantization(bits))
    return E.evaluate(E.compress(lab.experiment.model, recipe), lab.experiment.val).accuracy
lab"""
# Heights of the running task, frame by frame, once its chart has been laid out.
_HEIGHTS = """() => { window.heights = new Set(); const look = () => {
  const task = document.querySelector('[data-nnw-task="bits"]');
  if (task?.querySelector('[data-nnw-chart="loss"] svg')) window.heights.add(Math.round(task.getBoundingClientRect().height));
  requestAnimationFrame(look); }; look(); }"""


def test_bits_are_compared(notebook: Callable[..., Notebook]) -> None:
    """Opened and run by keyboard with one seed; each bit width is drawn and told; cancelled, what is done is kept."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    card = widget.root.locator("details.bits")
    card.locator("summary").focus()
    book.page.keyboard.press("Enter")
    widget.set("bits_seeds", 1)
    widget.input("bits_seeds").press("Enter")
    expect(card.locator('[data-nnw-plan="ready"]')).to_contain_text("6 trainings of")
    book.page.evaluate(_HEIGHTS)
    widget.action("bits_run").focus()
    book.page.keyboard.press("Enter")
    expect(card.locator('[data-nnw-task="bits"] [data-nnw-chart="loss"] path').first).to_be_visible(timeout=30_000)
    expect(card).to_contain_text("5 trainings with rounding; the network and its state are as they were", timeout=90_000)
    expect(card.locator(".verdict li")).to_have_count(5)
    expect(card.locator(".verdict")).to_contain_text("2 bits:")
    expect(widget.chart("bits").locator(".legend")).to_contain_text("trained with rounding")
    heights = book.page.evaluate("[...window.heights]")
    assert heights and max(heights) - min(heights) <= 1, f"the loss of each training is drawn in its place: {heights}"
    assert widget.root.locator(".recover [data-nnw-task]").count() == 0, "it is shown in its own card"
    assert book.python("lab.experiment.position") == 0
    assert book.python("[cell.static for cell in lab._bits._cells]") == book.python("[rounded(b) for b in (8, 4, 3, 2, 1)]")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.set("bits_epochs", 20)
    widget.input("bits_epochs").press("Enter")
    widget.action("bits_run").click()
    card.locator('[data-nnw-task="bits"]').get_by_role("button").click()
    expect(card).to_contain_text("cancelled: bit widths that were done are kept")
    assert book.python("lab.wait(60)") is True
    assert (book.errors, book.left) == ([], [])
