"""Bits of each layer in a real JupyterLab: in the table by keyboard, and by what each layer bears."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
lab = nw.CompressionLab(nw.load_example("digits/lenet5"))
lab"""
OWN = "[lab.accuracy, E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy]"


def test_bits_by_hand_and_by_scan(notebook: Callable[..., Notebook]) -> None:
    """A layer gets its own bits; a scan gives all of them theirs; the slider brings the same for all back; Undo steps through."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    expect(widget.action("spread_bits")).to_have_count(0)
    widget.set("weight_bits", 2)
    assert book.python("lab.wait(60)") is True
    table = widget.root.locator("details.layers-table")
    table.locator("summary").focus()
    book.page.keyboard.press("Enter")
    bits = table.locator('[data-nnw-control="weight_bits:conv1"] select')
    expect(bits).to_have_value("2")
    bits.select_option("8")
    expect(widget.control("weight_bits").locator("output")).to_have_text("by layer")
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.weight_bits['conv1']") == 8 and book.python("lab.weight_bits['fc1']") == 2
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    expect(widget.action("spread_bits")).to_have_count(0)
    widget.action("undo").click()
    expect(bits).to_have_value("2")
    widget.action("spread_bits").focus()
    book.page.keyboard.press("Enter")
    expect(widget.root.locator(".recover")).to_contain_text("at most 2 bits a weight on average", timeout=120_000)
    assert book.python("lab.wait(60)") is True
    same, spread = book.python("[lab.history['length'], len(set(lab.weight_bits.values()))]")
    assert same == 3 and spread > 1
    shown, own = book.python(OWN)
    assert shown == own > 0.9, "the same bits for all leave less than half"
    for layer in ("conv1", "fc1"):
        chosen = table.locator(f'[data-nnw-control="weight_bits:{layer}"] select')
        expect(chosen).to_have_value(str(book.python(f"lab.weight_bits[{layer!r}]")))
    widget.set("weight_bits", 4)
    expect(widget.control("weight_bits").locator("output")).to_have_text("4 bit")
    assert book.python("lab.wait(60)") is True and book.python("lab.weight_bits") == 4
    assert (book.errors, book.left) == ([], [])
