"""What is removed, by what and how it is spread, chosen in a real JupyterLab by hand and by keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe import findings
from lab import Notebook, Widget
from playwright.sync_api import expect

START = """import nnwidgets as nw
from nnwidgets import engine as E
lab = nw.CompressionLab(nw.load_example("digits/{net}"))
lab"""

OWN = """
def own():
    exp = lab.experiment
    cost = E.cost(exp.model, exp.input_shape, exp.recipe, calibration=exp.train)
    return [E.evaluate(exp.compressed, exp.test).accuracy, cost.bytes_encoded, cost.macs_nonzero]
def recipe():
    pruning = lab.experiment.recipe.pruning
    return None if pruning is None else [pruning.amount, pruning.structure, pruning.criterion, pruning.allocation]
"""


@pytest.fixture
def opened(notebook: Callable[..., Notebook]) -> Callable[[str], tuple[Notebook, Widget]]:
    def show(net: str) -> tuple[Notebook, Widget]:
        book = notebook(START.format(net=net))
        book.run_all()
        book.widget("compression-lab").wait_idle()
        book.execute(OWN)
        assert book.python("lab.wait(60)") is True
        return book, book.widget("compression-lab")

    return show


def agrees(book: Notebook, widget: Widget, wanted: list[object] | None) -> None:
    """The recipe is the wanted one, and the printed figures are the engine's own for it."""
    assert book.python("lab.wait(120)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)
    assert book.python("recipe()") == wanted
    assert [widget.raw("accuracy"), widget.raw("size_encoded"), widget.raw("macs_nonzero")] == book.python("own()")


def test_structures_criteria_and_spreads_are_applied(opened: Callable[[str], tuple[Notebook, Widget]]) -> None:
    """Each menu once; what the network or the structure does not allow is closed and says why."""
    book, widget = opened("lenet5")
    head = widget.control("structure").locator('option[value="head"]')
    expect(head).to_be_disabled()
    assert "no layer with it" in (head.get_attribute("title") or "")
    widget.set("sparsity", 0.5)
    widget.set("criterion", "obs")
    agrees(book, widget, [0.5, "weight", "obs", "global"])
    widget.set("allocation", "erk")
    agrees(book, widget, [0.5, "weight", "obs", "erk"])
    widget.set("structure", "2:4")
    agrees(book, widget, [0.5, "2:4", "obs", "global"])
    expect(widget.control("sparsity").locator("output")).to_have_text("50 %")
    widget.press("sparsity", "Home")
    agrees(book, widget, None)
    widget.press("sparsity", "End")
    agrees(book, widget, [0.5, "2:4", "obs", "global"])
    widget.set("structure", "neuron")
    widget.set("criterion", "taylor")
    expect(widget.control("norm")).to_have_count(0)  # of magnitudes only
    agrees(book, widget, [0.5, "neuron", "taylor", "global"])
    expect(widget.control("allocation").locator('option[value="erk"]')).to_be_disabled()


def test_looking_at_images_shows_how_far_it_is_and_can_be_cancelled(opened: Callable[[str], tuple[Notebook, Widget]]) -> None:
    """The control goes back, the figures stay."""
    book, widget = opened("lenet5")
    widget.set("sparsity", 0.4)
    agrees(book, widget, [0.4, "weight", "magnitude", "global"])
    widget.set("criterion", "movement")
    scoring = widget.root.locator('[data-nnw-task="scoring"]')
    expect(scoring).to_contain_text("movement looks at images")
    scoring.get_by_role("button").click()
    expect(scoring).to_have_count(0)
    agrees(book, widget, [0.4, "weight", "magnitude", "global"])
    assert widget.input("criterion").input_value() == "magnitude"


def test_a_layer_tells_what_goes_with_it(opened: Callable[[str], tuple[Notebook, Widget]]) -> None:
    """Where units go; a layer that keeps all of its units says why."""
    book, widget = opened("resnet20")
    told = widget.root.locator("[data-nnw-coupled]")
    expect(told).to_have_count(0)
    widget.set("structure", "filter")
    widget.set("selected_layer", "layer1.0.conv1")
    expect(told).to_contain_text("normalised by layer1.0.bn1")
    expect(told).to_contain_text("read by layer1.0.conv2")
    told.locator("summary").click()
    expect(told.get_by_role("listitem")).to_contain_text(["layer1.0.bn1: normalises them", "layer1.0.conv2: reads them"])
    widget.set("selected_layer", "fc")
    expect(told).to_contain_text("They are the network's answer.")
    widget.set("sparsity", 0.2)
    assert book.python("lab.wait(120)") is True
    widget.action("measure_latency").first.click()
    assert book.python("lab.wait(120)") is True
    expect(widget.root.locator('[data-nnw-value="speedup"]')).to_contain_text("fewer MACs")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Callable[[str], tuple[Notebook, Widget]], npm: object, theme: str) -> None:
    """With units chosen and what goes with them on the screen."""
    book, widget = opened("lenet5")
    book.theme(theme)
    widget.set("structure", "filter")
    widget.set("sparsity", 0.3)
    assert book.python("lab.wait(60)") is True
    assert findings(book.page, '[data-nnw="compression-lab"]') == []


def test_batch_norm_is_measured_again(opened: Callable[[str], tuple[Notebook, Widget]]) -> None:
    """By keyboard; drawn as a point of its own; the figures are those of the new statistics; Undo takes it back."""
    book, widget = opened("resnet20")
    widget.set("structure", "filter")
    widget.set("allocation", "uniform")
    widget.set("sparsity", 0.2)
    agrees(book, widget, [0.2, "filter", "magnitude", "uniform"])
    before = widget.raw("accuracy")
    widget.action("recalibrate").focus()
    book.page.keyboard.press("Enter")
    expect(widget.root.locator(".recover")).to_contain_text("batch-norm measured again on 1,024 images", timeout=60_000)
    assert book.python("lab.wait(60)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)
    assert widget.raw("accuracy") > before + 0.3
    assert widget.raw("accuracy") == book.python("E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy")
    expect(widget.chart("pareto").locator(".legend")).to_contain_text("units removed, batch-norm measured again")
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.action("undo").click()
    agrees(book, widget, [0.2, "filter", "magnitude", "uniform"])
    assert widget.raw("accuracy") == before and (book.errors, book.left) == ([], [])


def test_pruned_at_the_start(opened: Callable[[str], tuple[Notebook, Widget]]) -> None:
    """SNIP offers new random weights; they are pruned, then trained; Undo brings the trained ones back."""
    book, widget = opened("lenet300")
    start = widget.action("start_untrained")
    expect(start).to_have_count(0)
    widget.set("criterion", "snip")
    start.focus()
    book.page.keyboard.press("Enter")
    expect(widget.root.locator(".recover")).to_contain_text("new random weights, seed 0", timeout=60_000)
    widget.set("sparsity", 0.9)
    agrees(book, widget, [0.9, "weight", "snip", "global"])
    untrained = widget.raw("accuracy")
    assert untrained < 0.5
    assert findings(book.page, '[data-nnw="compression-lab"]') == []
    widget.set("epochs", 1)
    widget.input("epochs").press("Enter")
    widget.action("fine_tune").click()
    expect(widget.root.locator(".recover")).to_contain_text("fine-tuned 1 epoch", timeout=60_000)
    agrees(book, widget, [0.9, "weight", "snip", "global"])
    assert widget.raw("accuracy") > untrained + 0.2
    for _ in range(3):
        widget.action("undo").click()
        assert book.python("lab.wait(60)") is True
    agrees(book, widget, None)
    assert widget.raw("accuracy") > 0.9 and (book.errors, book.left) == ([], [])
