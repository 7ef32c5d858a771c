"""Winning tickets in a real JupyterLab: the recorded lottery, and one of the network on the screen."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
exp = nw.load_example("digits/lenet300")
lab = nw.CompressionLab(nw.Experiment(exp.model, train=exp.train.take(range(300)), test=exp.test, build=exp.build))
lab"""


def test_recorded_and_own(notebook: Callable[..., Notebook], npm: object) -> None:
    """Opened by keyboard, another measure, a lottery of three rounds of one's own, cancelled and gone on with."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    card = widget.root.locator("details.lottery")
    card.locator("summary").focus()
    book.page.keyboard.press("Enter")
    expect(card).to_contain_text("recorded on")
    expect(card.locator(".verdict")).to_contain_text("no difference can be told")
    expect(widget.chart("lottery").locator(".legend")).to_contain_text("ticket: early weights again")
    card.locator('[data-nnw-control="lottery_measure"] label', has_text="accuracy at the end").click()
    expect(card).to_contain_text("Accuracy on S_test at the end by the share of weights left")
    card.locator('[data-nnw-control="lottery_source"] label', has_text="this network").click()
    expect(widget.chart("lottery")).to_have_count(0)
    for name, value in (("lottery_rounds", 2), ("lottery_seeds", 1), ("lottery_epochs", 1)):
        widget.set(name, value)
        widget.input(name).press("Enter")
    expect(card.locator('[data-nnw-plan="ready"]')).to_contain_text("7 runs of")
    widget.action("lottery_run").focus()
    book.page.keyboard.press("Enter")
    expect(card).to_contain_text("7 runs; the network and its state are as they were", timeout=90_000)
    expect(card.locator(".verdict")).to_contain_text("one seed cannot tell")
    expect(widget.chart("lottery").locator(".legend")).to_contain_text("places reshuffled")
    assert widget.root.locator(".recover [data-nnw-task]").count() == 0, "it is shown in its own card"
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.set("lottery_rounds", 15)
    widget.input("lottery_rounds").press("Enter")
    widget.set("lottery_epochs", 20)
    widget.input("lottery_epochs").press("Enter")
    widget.action("lottery_run").click()
    card.locator('[data-nnw-task="lottery"]').get_by_role("button").click()
    expect(card).to_contain_text("cancelled: rounds that were done are kept")
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.experiment.position") == 0
    assert (book.errors, book.left) == ([], [])
