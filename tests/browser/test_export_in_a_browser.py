"""Export, encodings and sparse products in a real JupyterLab, by clicks and typed names."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example("digits/lenet5"))
lab"""

SAME = """
import torch
def same(name):
    exp = lab.experiment
    again = __import__("copy").deepcopy(exp.model)
    again.load_state_dict(torch.load(name, weights_only=True))
    images = exp.test.inputs(slice(0, 32))
    with torch.no_grad():
        return bool(torch.equal(again(images), exp.compressed(images)))
"""


def test_a_file_is_written_refused_replaced_and_holds_what_is_said(notebook: Callable[..., Notebook], npm: object) -> None:
    """The file is really there; a name that leads elsewhere is refused; charts come once they were asked for."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    widget.set("sparsity", 0.5)
    widget.root.locator(".files > summary").click()
    widget.set("export_name", "mine")
    widget.input("export_name").press("Enter")
    assert book.python("lab.wait(60)") is True
    widget.action("export").click()
    written = widget.root.locator("[data-nnw-exported]")
    expect(written).to_contain_text("mine.pt", timeout=30_000)
    expect(written.locator("pre")).to_contain_text("weights_only=True")
    assert book.python("lab.wait(60)") is True
    book.execute(SAME)
    assert book.python("same('mine.pt')") is True
    widget.action("export").first.click()
    refused = widget.root.locator(".refused")
    expect(refused).to_contain_text("mine.pt exists already")
    refused.get_by_role("button").click()
    expect(refused).to_have_count(0)
    widget.set("export_name", "../mine")
    widget.input("export_name").press("Enter")
    widget.action("export").first.click()
    expect(refused).to_contain_text("is no file name")
    expect(refused.get_by_role("button")).to_have_count(0)
    assert book.python("__import__('os').path.exists('../mine.pt')") is False
    widget.action("measure_encodings").click()
    expect(widget.chart("encodings").locator("svg[role=img]")).to_contain_text("Deep Compression", timeout=60_000)
    expect(widget.chart("energy").locator("svg[role=img]")).to_contain_text("as trained")
    assert book.python("lab.wait(60)") is True
    widget.action("measure_crossover").focus()
    book.page.keyboard.press("Enter")
    expect(widget.chart("crossover").locator("svg[role=img]")).to_contain_text("as fast as dense", timeout=60_000)
    assert book.python("lab.wait(60)") is True
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    assert (book.errors, book.left) == ([], [])
