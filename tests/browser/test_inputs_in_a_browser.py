"""Inputs of layers on few bits, in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from axe import findings
from lab import Notebook
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
lab = nw.CompressionLab(nw.load_example("digits/lenet5"))
lab"""


def test_inputs_are_rounded_and_looked_at(notebook: Callable[..., Notebook]) -> None:
    """Every control; the figures are the engine's; the card shows what goes into a layer; Undo brings the original back."""
    book = notebook(START)
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    expect(widget.control("activation_observer")).to_have_count(0)  # nothing is rounded yet
    widget.set("activation_bits", 3)
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.accuracy == E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy") is True
    card = widget.root.locator("details.rounding")
    card.locator("summary").focus()
    book.page.keyboard.press("Enter")
    card.locator('[data-nnw-control="rounding_of"] label', has_text="activations").click()
    expect(card.locator("tr.now")).to_contain_text("min-max")
    expect(card.locator(".steps li").first).to_contain_text("x = ")
    card.get_by_role("button", name="Take the range from least squares").focus()
    book.page.keyboard.press("Enter")
    expect(card.locator("tr.now")).to_contain_text("least squares")
    widget.control("activation_symmetric").locator("label", has_text="symmetric").click()
    widget.set("calibration_images", 40)
    widget.input("calibration_images").press("Enter")
    assert book.python("lab.wait(60)") is True
    expect(card.locator("p.cap").first).to_contain_text("40 images of S_train")
    assert book.python("lab.wait(60)") is True
    settings = "E.Quantization(activation_bits=3, activation_observer='mse', activation_symmetric=True, calibration_images=40)"
    assert book.python(f"lab.experiment.recipe == E.Recipe(None, {settings})") is True
    widget.set("activation_observer", "percentile")
    widget.set("percentile", 98)
    widget.input("percentile").press("Enter")
    assert book.python("lab.wait(60)") is True
    assert book.python("lab.experiment.recipe.quantization.percentile") == 98
    assert book.python("lab.accuracy == E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy") is True
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    book.theme("dark")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    while book.python("lab.experiment.position"):
        widget.action("undo").click()
        assert book.python("lab.wait(60)") is True
    assert book.python("lab.activation_bits == 32 and lab.experiment.recipe == E.Recipe()") is True
    assert (book.errors, book.left) == ([], [])
