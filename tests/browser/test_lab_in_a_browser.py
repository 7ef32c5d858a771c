"""The compression lab in a real JupyterLab: dragged, typed, undone, fine-tuned, cancelled.

What is shown is what the engine says.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe import findings
from lab import PANEL, Notebook, Widget

START = """import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example("digits/lenet300"))
lab"""

# What the engine itself says of the recipe that the lab stands at, computed apart from the widget.
OWN = """
from nnwidgets import engine as E
def own():
    exp = lab.experiment
    small = E.compress(exp.bench(exp.state.weights_key).base, exp.recipe)
    cost = E.cost(exp.bench(exp.state.weights_key).base, exp.input_shape, exp.recipe)
    return [E.evaluate(small, exp.test).accuracy, cost.bytes_encoded, cost.macs_nonzero]
"""


@pytest.fixture
def book(notebook: Callable[..., Notebook]) -> Notebook:
    """A notebook whose first cell shows the lab, at rest."""
    opened = notebook(START)
    opened.run_all()
    opened.widget("compression-lab").wait_idle()
    opened.execute(OWN)
    return opened


@pytest.fixture
def widget(book: Notebook) -> Widget:
    return book.widget("compression-lab")


def shown(widget: Widget) -> list[float | None]:
    return [widget.raw("accuracy"), widget.raw("size_encoded"), widget.raw("macs_nonzero")]


def at_rest(book: Notebook, widget: Widget) -> None:
    """Wait until the kernel has no work and the page shows its last publication."""
    assert book.python("lab.wait(60)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)


def agrees(book: Notebook, widget: Widget) -> None:
    """The printed figures are the engine's own for the present recipe."""
    at_rest(book, widget)
    accuracy, size, macs = book.python("own()")
    assert widget.raw("accuracy") == accuracy
    assert widget.raw("size_encoded") == size
    assert book.python("lab.experiment.live.cost.macs_nonzero") == macs


def test_sixty_positions_of_the_slider_end_with_the_engines_own_figures(book: Notebook, widget: Widget) -> None:
    """Dragged over 60 positions; the last value arrives, and the figures are those of that recipe; no console error."""
    sequences: list[int] = []

    def step(number: int) -> None:
        book.page.wait_for_timeout(25)
        sequences.append(widget.seq)

    widget.drag("sparsity", 0.0, 0.9, steps=60, pause=step)
    at_rest(book, widget)
    assert len(set(sequences)) >= 10, "the figures followed while the slider moved"
    assert sequences == sorted(sequences), "an older figure was shown after a newer one"
    assert float(widget.input("sparsity").input_value()) == pytest.approx(book.python("lab.sparsity"))
    assert 0.85 <= book.python("lab.sparsity") <= 0.95
    agrees(book, widget)
    assert book.python("len(lab.experiment.history)") == 2, "one drag is one step of the history"
    assert (book.errors, book.left) == ([], [])


def test_up_and_back_down_is_the_original_bit_for_bit(book: Notebook, widget: Widget) -> None:
    before = shown(widget)
    widget.drag("sparsity", 0.0, 0.95, steps=30)
    at_rest(book, widget)
    assert shown(widget) != before
    widget.press("sparsity", "Home")
    at_rest(book, widget)
    assert shown(widget) == before
    pairs = "zip(E.bake(lab.experiment.compressed).state_dict().values(), lab.experiment.model.state_dict().values())"
    same = f"all(bool((a == b).all()) for a, b in {pairs})"
    assert book.python(same) is True


def test_undo_and_redo_and_reset(book: Notebook, widget: Widget) -> None:
    dense = shown(widget)
    widget.drag("sparsity", 0.0, 0.8, steps=20)
    at_rest(book, widget)
    pruned = shown(widget)
    widget.set("weight_bits", 4) if widget.input("weight_bits").evaluate("e => e.tagName") == "SELECT" else widget.press(
        "weight_bits", "ArrowRight"
    )
    at_rest(book, widget)
    both = shown(widget)
    assert dense != pruned != both
    for action, expected in (
        ("undo", pruned),
        ("undo", dense),
        ("redo", pruned),
        ("redo", both),
        ("reset", dense),
        ("undo", both),
    ):
        widget.action(action).click()
        at_rest(book, widget)
        assert shown(widget) == expected, action
    agrees(book, widget)


def test_fine_tuning_shows_progress_and_keeps_the_zeros_and_undo_brings_back(book: Notebook, widget: Widget) -> None:
    book.execute("lab.sparsity = 0.97; lab.epochs = 1")
    at_rest(book, widget)
    before = shown(widget)
    widget.action("fine_tune").click()
    widget.root.locator("progress, [role=progressbar]").first.wait_for(timeout=20_000)
    at_rest(book, widget)
    after = shown(widget)
    assert after[0] is not None and before[0] is not None and after[0] > before[0], "a heavily pruned net recovers"
    assert book.python("lab.experiment.live.cost.sparsity") >= 0.96
    agrees(book, widget)
    widget.action("undo").click()
    at_rest(book, widget)
    assert shown(widget) == before


def test_fine_tuning_can_be_cancelled_and_then_nothing_has_changed(book: Notebook, widget: Widget) -> None:
    book.execute("lab.sparsity = 0.9; lab.epochs = 50")
    at_rest(book, widget)
    before = shown(widget)
    widget.action("fine_tune").dblclick()
    widget.action("cancel").click(timeout=20_000)
    at_rest(book, widget)
    assert shown(widget) == before
    assert book.python("(len(lab.experiment.weights), lab.task, lab.last_task['role'])") == (0, None, "muted")


def test_the_slider_answers_while_a_net_is_fine_tuned(book: Notebook, widget: Widget) -> None:
    book.execute("lab.epochs = 50")
    widget.action("fine_tune").click()
    widget.action("cancel").wait_for(timeout=20_000)
    before = widget.seq
    widget.drag("sparsity", 0.0, 0.5, steps=10)
    book.page.wait_for_function(
        f"() => Number(document.querySelector('[data-nnw=compression-lab]').dataset.nnwSeq) > {before + 2}"
    )
    assert book.python("lab.task is not None") is True
    widget.action("cancel").click()
    agrees(book, widget)


def test_everything_by_keyboard_alone_and_no_key_reaches_the_notebook(book: Notebook, widget: Widget) -> None:
    cells = book.page.evaluate("() => window.nnwPanel.content.widgets.length")
    widget.input("sparsity").focus()
    for key in ["ArrowRight"] * 3 + ["PageUp", "a", "b", "d", "d", "x"]:
        book.page.keyboard.press(key)
    at_rest(book, widget)
    moved = book.python("lab.sparsity")
    assert moved > 0.03
    assert book.page.evaluate("() => window.nnwPanel.content.widgets.length") == cells, "a key made or removed a cell"
    widget.action("undo").focus()
    book.page.keyboard.press("Enter")
    at_rest(book, widget)
    assert book.python("lab.sparsity") < moved
    reached: set[str] = set()
    widget.input("sparsity").focus()
    for _ in range(60):
        book.page.keyboard.press("Tab")
        name = book.page.evaluate(
            "() => { const e = document.activeElement, c = e && e.closest('[data-nnw-control],[data-nnw-action]');"
            " return c ? c.dataset.nnwControl || c.dataset.nnwAction : ''; }"
        )
        reached.add(name)
    assert {"structure", "criterion", "allocation", "weight_bits", "granularity", "symmetric", "fine_tune"} <= reached


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(book: Notebook, widget: Widget, npm: object, theme: str) -> None:
    book.theme(theme)
    book.execute("lab.sparsity = 0.8; lab.weight_bits = 4")
    at_rest(book, widget)
    assert findings(book.page, '[data-nnw="compression-lab"]') == []


def test_row_18_two_views_of_one_widget_agree(notebook: Callable[..., Notebook]) -> None:
    book = notebook(START, "lab")
    book.run_all()
    first, second = book.widget("compression-lab", 0), book.widget("compression-lab", 1)
    first.wait_idle()
    first.press("sparsity", "PageUp", "PageUp")
    assert book.python("lab.wait(60)") is True
    for view in (first, second):
        view.wait_idle(after=book.python("lab.view['seq']") - 1)
    assert shown(first) == shown(second)
    assert first.input("sparsity").input_value() == second.input("sparsity").input_value() != "0"


def test_row_15_a_reloaded_page_shows_the_state_again(book: Notebook, widget: Widget) -> None:
    widget.press("sparsity", "PageUp", "PageUp", "PageUp")
    at_rest(book, widget)
    before = shown(widget)
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    book.page.reload()
    book.page.wait_for_selector(".jp-Notebook .jp-Cell")
    book.page.evaluate(PANEL)
    again = book.widget("compression-lab")
    again.wait_idle()
    assert shown(again) == before


def test_an_error_is_shown_inside_and_the_widget_goes_on(book: Notebook, widget: Widget) -> None:
    book.execute("lab.experiment.model[-1].weight.data.fill_(float('nan')) if hasattr(lab.experiment.model, '__getitem__') else "
                 "list(lab.experiment.model.parameters())[-2].data.fill_(float('nan'))")  # fmt: skip
    widget.press("sparsity", "PageUp")
    widget.wait_status("error")
    assert "NaN" in widget.root.locator("[role=alert]").first.inner_text()
    assert (
        "Traceback" in (widget.root.locator("[role=alert]").first.text_content() or "")
        or widget.root.locator("[role=alert] details, [role=alert] button").count()
    )


def test_names_are_shown_as_text(notebook: Callable[..., Notebook]) -> None:
    """Row 26: a script in a layer's or a class's name stays text."""
    book = notebook(
        "import torch\nfrom torch import nn\nfrom collections import OrderedDict\n"
        "import nnwidgets as nw\nfrom nnwidgets import engine as E\n"
        "name = '<img src=x onerror=alert(1)>'\n"
        "net = nn.Sequential(OrderedDict([('flat', nn.Flatten()), (name, nn.Linear(16, 2))]))\n"
        "split = E.Split(torch.randn(50, 1, 4, 4), torch.randint(0, 2, (50,)))\n"
        "lab = nw.CompressionLab(nw.Experiment(net, test=split, title=name, class_names=[name, 'b']))\nlab"
    )
    dialogs: list[str] = []
    book.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    assert not dialogs and widget.root.locator("img").count() == 0
    assert "<img src=x" in widget.root.inner_text()


def test_row_14_running_the_cell_again_closes_the_widget_of_its_last_run(notebook: Callable[..., Notebook]) -> None:
    """In a real front end, which names its cells: the old lab is closed, its work stopped; a lab of another cell stays."""
    book = notebook(
        "import nnwidgets as nw\nmade = []", "made.append(nw.CompressionLab(nw.load_example('digits/lenet300')))\nmade[-1]"
    )
    book.run_all()
    book.widget("compression-lab").wait_idle()
    book.execute("other = nw.CompressionLab(made[0].experiment)")
    book.run_cell(1)
    book.widget("compression-lab").wait_idle()
    assert book.python("[lab.comm is None for lab in made]") == [True, False]
    assert book.python("(other.comm is None, made[0].experiment.has_subscribers)") == (False, True)
    book.execute("other.close()")
    assert book.python("made[0].experiment.has_subscribers") is False


def test_linked_from_code_through_its_traits(notebook: Callable[..., Notebook]) -> None:
    """An ipywidgets slider linked to the lab moves it, and the lab's own slider moves the other."""
    hand = "hand = ipywidgets.FloatSlider(min=0, max=0.99)\nlink = ipywidgets.link((hand, 'value'), (lab, 'sparsity'))"
    book = notebook(f"import ipywidgets\n{START}", f"{hand}\nhand")
    book.run_all()
    widget = book.widget("compression-lab")
    widget.wait_idle()
    book.execute("hand.value = 0.5")
    at_rest(book, widget)
    assert float(widget.input("sparsity").input_value()) == 0.5
    widget.press("sparsity", "ArrowRight")
    at_rest(book, widget)
    assert book.python("hand.value") == pytest.approx(0.51)


def test_layers_by_hand(book: Notebook, widget: Widget) -> None:
    """The third spread opens the table; a layer's slider prunes that layer alone, starting from what the others have."""
    widget.drag("sparsity", 0.0, 0.5, steps=5)
    at_rest(book, widget)
    widget.control("allocation").locator("select").select_option("by hand")
    at_rest(book, widget)
    widget.press("allocation:fc2", "End")
    at_rest(book, widget)
    spread = book.python("dict(lab.experiment.recipe.pruning.allocation)")
    assert set(spread) == {"fc1", "fc2", "fc3"} and spread["fc2"] == 0.99 and 0.3 < spread["fc1"] < 0.7
    agrees(book, widget)
    widget.action("undo").click()
    at_rest(book, widget)
    assert book.python("lab.experiment.recipe.pruning.allocation") != spread


def test_the_menu_saves_snapshots_figures_and_code(book: Notebook, widget: Widget) -> None:
    widget.drag("sparsity", 0.0, 0.7, steps=5)
    at_rest(book, widget)
    before = shown(widget)
    widget.action("menu").click()
    widget.root.locator("form input[type=text]").fill("seventy")
    widget.action("snapshot_save").click()
    widget.root.get_by_text("seventy").wait_for()
    with book.page.expect_download() as download:
        widget.action("figure").first.click()
    saved = download.value.path().read_text(encoding="utf-8")
    assert download.value.suggested_filename == "compression_lab.svg" and "<svg" in saved
    book.page.keyboard.press("Escape")
    widget.action("reset").click()
    at_rest(book, widget)
    assert shown(widget) != before
    widget.action("menu").click()
    widget.action("snapshot_load").click()
    at_rest(book, widget)
    assert shown(widget) == before
    widget.action("menu").click()
    widget.action("measure_disk").first.click()
    at_rest(book, widget)
    disk, encoded = widget.raw("size_on_disk"), widget.raw("size_encoded")
    assert disk is not None and encoded is not None and abs(disk - encoded) <= 0.02 * disk
    widget.action("measure_latency").first.click()
    at_rest(book, widget)
    latency = widget.raw("latency")
    assert latency is not None and latency > 0
