"""Pruning and training in rounds, and the chart of footprint and quality, in a real JupyterLab by hand and by keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe import findings
from lab import Notebook, Widget
from playwright.sync_api import expect

START = """import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example("digits/lenet300"))
lab"""


@pytest.fixture
def book(notebook: Callable[..., Notebook]) -> Notebook:
    """A notebook whose first cell shows the lab, at rest, with the rounds unfolded."""
    opened = notebook(START)
    opened.run_all()
    opened.widget("compression-lab").wait_idle()
    opened.widget("compression-lab").root.locator(".rounds summary").click()
    return opened


def at_rest(book: Notebook) -> Widget:
    widget = book.widget("compression-lab")
    assert book.python("lab.wait(120)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)
    return widget


def number(widget: Widget, control: str, value: int) -> None:
    """Typed, and done with."""
    widget.set(control, value)
    widget.input(control).press("Enter")


def test_rounds_are_drawn_run_one_by_one_and_undone(book: Notebook) -> None:
    """Nothing can be run before a share is chosen; then each press is a round, and Undo takes one back."""
    widget = book.widget("compression-lab")
    plan = widget.root.locator("[data-nnw-plan]")
    expect(plan).to_have_attribute("data-nnw-plan", "refused")
    expect(widget.action("prune_run")).to_have_attribute("aria-disabled", "true")
    widget.set("sparsity", 0.96)
    number(widget, "epochs", 1)
    number(widget, "rounds", 2)
    at_rest(book)
    expect(plan).to_contain_text("2 rounds, 1 epoch each: 80, 96 % removed; begins with the weights as trained")
    expect(widget.chart("schedule").locator("svg[role=img]")).to_be_visible()
    before = book.python("lab.experiment.position")
    widget.action("prune_step").click()
    expect(widget.root.locator(".recover > p")).to_contain_text("round 1 of 2", timeout=120_000)
    at_rest(book)
    expect(widget.control("sparsity").locator("output")).to_have_text("80 %")
    expect(plan).to_contain_text("goes on after round 1 of 2")
    widget.action("prune_run").focus()
    book.page.keyboard.press("Enter")
    expect(widget.control("sparsity").locator("output")).to_have_text("96 %", timeout=120_000)
    at_rest(book)
    assert book.python("lab.experiment.position") == before + 2
    own = "__import__('nnwidgets').engine.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy"
    assert widget.raw("accuracy") == book.python(own)
    assert widget.chart("schedule").locator("svg g.hollow path").count() == 2
    widget.action("undo").click()
    expect(widget.control("sparsity").locator("output")).to_have_text("80 %")
    assert (book.errors, book.left) == ([], [])


def test_what_does_not_go_together_is_closed_and_cancel_keeps_the_rounds_that_are_done(book: Notebook) -> None:
    """Regrowth by schedule; a run of many rounds is cancelled after one of them."""
    widget = book.widget("compression-lab")
    option = widget.control("regrowth").locator('option[value="dense_sparse_dense"]')
    expect(option).to_be_disabled()
    assert "three phases" in (option.get_attribute("title") or "")
    widget.set("schedule", "one_shot")
    expect(option).to_be_enabled()
    expect(widget.control("rounds")).to_have_count(0)
    widget.set("schedule", "iterative")
    widget.set("regrowth", "set")
    widget.set("sparsity", 0.9)
    number(widget, "rounds", 30)
    number(widget, "epochs", 1)
    at_rest(book)
    widget.action("prune_run").click()
    task = widget.root.locator('[data-nnw-task="prune"]')
    expect(task).to_contain_text("round 2 of 30", timeout=120_000)
    task.get_by_role("button").click()
    expect(widget.root.locator(".recover > p")).to_contain_text("kept")
    at_rest(book)
    assert book.python("lab.experiment.state.attempt.round") >= 1
    assert (book.errors, book.left) == ([], [])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_footprint_is_chosen_and_methods_are_told_apart(book: Notebook, npm: object, theme: str) -> None:
    """Axis and legend follow; the chosen criterion is explained; nothing serious for screen readers."""
    book.theme(theme)
    widget = book.widget("compression-lab")
    for share, bits in ((0.6, 32), (0.8, 32), (0.8, 4)):
        widget.set("sparsity", share)
        book.execute(f"lab.weight_bits = {bits}")
        at_rest(book)
    chart = widget.chart("pareto")
    legend = chart.locator(".legend")
    expect(legend).to_contain_text("best so far")
    expect(legend).to_contain_text("both")
    widget.set("merit", "energy")
    expect(chart.locator("svg[role=img]")).to_contain_text("estimated energy")
    widget.set("merit", "latency")
    expect(chart.locator("svg[role=img]")).to_contain_text("measured latency")
    expect(chart).not_to_contain_text("both")
    widget.set("criterion", "taylor")
    at_rest(book)
    widget.control("criterion").get_by_role("button").click()
    told = widget.root.locator('[data-nnw-choice="taylor"]')
    expect(told).to_contain_text("Molchanov")
    book.page.keyboard.press("Escape")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    assert (book.errors, book.left) == ([], [])
