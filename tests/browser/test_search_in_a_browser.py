"""The search for the smallest network that meets the goal, in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example("digits/lenet5"))
lab"""


def test_it_is_found_in_time_and_cancelled(notebook: Callable[..., Notebook], npm: object) -> None:
    """By keyboard: seconds, the button; the path, the result in words, one step to undo; then cancelled."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    widget.set("budget", 4)
    widget.input("budget").press("Enter")
    widget.action("search").focus()
    book.page.keyboard.press("Enter")
    task = widget.root.locator('[data-nnw-task="search"]')
    expect(task).to_contain_text("smallest so far", timeout=30_000)
    assert widget.root.locator(".recover [data-nnw-task]").count() == 0, "it is shown in its own card"
    told = widget.root.locator(".search > p")
    expect(told).to_contain_text("instead of", timeout=60_000)
    assert book.python("lab.wait(60)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)
    assert book.python("lab.experiment.position") == 1
    val = "__import__('nnwidgets').engine.evaluate(lab.experiment.compressed, lab.experiment.val).accuracy"
    assert book.python(val) >= 0.97 - 1e-9, "the goal is met on all of S_val"
    raw = widget.raw("size_encoded")
    assert raw is not None and raw < 600_000
    expect(widget.chart("pareto").locator(".legend")).to_contain_text("looked at by the search")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.action("undo").click()
    expect(widget.control("sparsity").locator("output")).to_have_text("0 %")
    widget.set("budget", 60)
    widget.input("budget").press("Enter")
    widget.action("search").click()
    task.get_by_role("button").click()
    expect(told).to_contain_text("cancelled")
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.experiment.recipe.pruning is None") is True
    assert (book.errors, book.left) == ([], [])
