"""Ranges of the levels, powers of two, and one layer rounded step by step, in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
lab = nw.CompressionLab(nw.load_example("digits/lenet5"))
lab"""
REPORT = "lab.experiment.bench(None).plan.rounding(lab.experiment.recipe, lab.selected_layer)"


def test_one_layer_is_rounded_step_by_step(notebook: Callable[..., Notebook]) -> None:
    """Opened by keyboard; another range taken from the table; a weight followed; figures are the engine's, and Undo works."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    widget.set("weight_bits", 3)
    card = widget.root.locator("details.rounding")
    card.locator("summary").focus()
    book.page.keyboard.press("Enter")
    expect(card.locator("tbody tr")).to_have_count(4)
    expect(card.locator("tr.now")).to_contain_text("min-max")
    card.get_by_role("button", name="Take the range from least squares").focus()
    book.page.keyboard.press("Enter")
    expect(card.locator("tr.now")).to_contain_text("least squares")
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.experiment.recipe.quantization.observer") == "mse"
    assert book.python(f"{REPORT}.sqnr_db") > 0
    expect(card.locator("tr.now")).to_contain_text(f"{book.python(f'{REPORT}.sqnr_db'):.1f} dB")
    before = card.locator(".steps li").first.inner_text()
    widget.input("followed").focus()
    book.page.keyboard.press("End")
    expect(card.locator(".steps li").first).not_to_have_text(before)
    largest = book.python(f"{REPORT}.follow(1.0).weight")
    expect(card.locator(".steps li").first).to_contain_text(f"w = {largest:.3g}")
    widget.control("power_of_two").locator("label", has_text="power of two").click()
    assert book.python("lab.wait(60)") is True
    scales = book.python("[float(s) for s in lab.experiment.bench(None).plan.quantized(lab.experiment.recipe, 'conv1').scale]")
    assert all(scale == 2.0 ** round(__import__("math").log2(scale)) for scale in scales)
    widget.set("observer", "hand")
    widget.set("range_share", 0.6)
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.experiment.recipe.quantization.range_share") == 0.6
    widget.set("observer", "percentile")
    widget.set("percentile", 97)
    widget.input("percentile").press("Enter")
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.experiment.recipe.quantization.percentile") == 97
    assert book.python("lab.accuracy == E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy") is True
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    book.theme("dark")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.set("method", "ternary")
    assert book.python("lab.wait(60)") is True
    assert book.python("[lab.weight_bits, lab.experiment.recipe.quantization.method]") == [2, "ternary"]
    expect(widget.control("observer")).to_have_count(0)  # it has a rule of its own
    expect(card.locator("tbody tr")).to_have_count(1)
    widget.set("method", "codebook")
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.experiment.recipe.quantization.method") == "codebook"
    for name in ("granularity", "symmetric", "observer", "power_of_two"):
        expect(widget.control(name)).to_have_count(0)  # it has neither steps nor scales
    expect(card.locator("ol.steps li")).to_have_count(4)
    while book.python("lab.experiment.position"):
        widget.action("undo").click()
        assert book.python("lab.wait(60)") is True
    assert book.python("lab.observer") == "minmax" and (book.errors, book.left) == ([], [])
