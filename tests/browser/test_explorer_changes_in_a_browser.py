"""Channels off, dense against pruned and a copy in training, in a real JupyterLab; the network itself stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from exploring import START, at_rest, begin, cells_of, diverging, like, most_of, stage
from lab import Notebook, Widget
from playwright.sync_api import expect

WITHOUT = "E.evaluate(E.ablate(explorer.experiment.model, {where}), explorer.experiment.val).accuracy"
LAB = """import nnwidgets as nw
from nnwidgets import engine as E
explorer = nw.LayerExplorer(nw.load_example("digits/lenet5"), layer="conv2")
lab = nw.CompressionLab(explorer.experiment)
display(lab, explorer)"""


@pytest.fixture
def book(notebook: Callable[..., Notebook]) -> Notebook:
    """A notebook whose first cell shows the explorer of LeNet-5."""
    return notebook(START)


@pytest.fixture
def widget(book: Notebook) -> Widget:
    """The explorer at rest; the fingerprint of the network is kept."""
    found = begin(book)
    book.execute("before = E.fingerprint(explorer.experiment.model)")
    return found


def unchanged(book: Notebook) -> bool:
    """The network is the same to the last byte, and nothing was said about a change."""
    return bool(book.python("E.fingerprint(explorer.experiment.model) == before and not explorer.notices"))


def answers(widget: Widget) -> str:
    return widget.root.locator('[data-nnw-chart="answers"] ul').inner_text()


def test_channels_off_and_on_change_the_answers_and_the_accuracy_is_exact(book: Notebook, widget: Widget) -> None:
    """By the button, by the key on a tile, and back by the cross and by All on."""
    as_it_is = answers(widget)
    widget.action("switch_off").click()
    at_rest(book, widget)
    tile = widget.root.locator('[data-nnw-tile="0"]')
    assert "switched off" in (tile.get_attribute("aria-label") or "")
    assert answers(widget) != as_it_is
    assert widget.raw("accuracy") == book.python(WITHOUT.format(where="'conv1', 0"))
    widget.root.locator('[data-nnw-tile="3"]').click()
    widget.root.locator('[data-nnw-tile="3"]').press("o")
    widget.root.locator('[data-nnw-layer="conv2"]').click()
    stage(widget, "maps", "conv2")
    widget.root.locator('[data-nnw-tile="41"]').click()
    at_rest(book, widget)
    widget.root.locator('[data-nnw-tile="41"]').press("o")
    at_rest(book, widget)
    assert widget.raw("accuracy") == book.python(WITHOUT.format(where="{'conv1': [0, 3], 'conv2': [41]}"))
    widget.root.get_by_role("button", name="Switch conv1: 0 on").click()
    at_rest(book, widget)
    assert widget.raw("accuracy") == book.python(WITHOUT.format(where="{'conv1': [3], 'conv2': [41]}"))
    logits = "E.ablate(explorer.experiment.model, {'conv1': [3], 'conv2': [41]})(explorer.experiment.val.inputs([0]))"
    shown = book.python("{row['name']: row['other'] for row in explorer.answers['rows']}")
    wanted = book.python(f"{logits}[0].softmax(0).tolist()")
    assert all(shown[name] == pytest.approx(wanted[int(name)], abs=1e-6) for name in shown)
    widget.action("switch_on_all").click()
    at_rest(book, widget)
    assert answers(widget) == as_it_is
    assert widget.root.locator(".switched [data-nnw-value]").count() == 0
    assert unchanged(book)
    assert (book.errors, book.left) == ([], [])


def test_compare_follows_the_compression_lab(notebook: Callable[..., Notebook]) -> None:
    """While the lab's slider moves, the compressed maps follow; at rest they are the engine's, on the scale of both."""
    book = notebook(LAB)
    widget = begin(book)
    book.execute("before = E.fingerprint(explorer.experiment.model)")
    widget.set("compare", True)
    widget.root.locator("[data-nnw-parts]").wait_for()
    at_rest(book, widget)
    lab, seen = book.widget("compression-lab"), set[int]()

    def step(number: int) -> None:
        book.page.wait_for_timeout(40)
        seen.add(widget.seq)

    lab.drag("sparsity", 0.0, 0.8, steps=30, pause=step)
    at_rest(book, widget)
    assert len(seen) >= 4, "the maps followed while the slider moved"
    assert 0.7 < book.python("lab.sparsity") < 0.9
    book.execute(
        "exp = explorer.experiment\nimages = exp.val.inputs([0])\n"
        "dense, small = (E.feature_maps(m, images, 'conv2')[0] for m in (exp.model, E.compress(exp.model, exp.recipe)))"
    )
    dense, small = (np.array(book.python(f"{name}.tolist()")) for name in ("dense", "small"))
    reach = most_of(dense, small)
    tile = 23
    for part, (values, most) in enumerate(
        ((dense[tile], reach), (small[tile], reach), ((small - dense)[tile], most_of(small - dense)))
    ):
        assert like(cells_of(widget, "feature-maps", tile, (8, 8), part, 3), diverging(values, most)), part
    widget.set("compare", False)
    expect(widget.root.locator("[data-nnw-parts]")).to_have_count(0)
    at_rest(book, widget)
    assert unchanged(book)
    assert (book.errors, book.left) == ([], [])


def test_a_copy_is_trained_step_by_step_paused_and_gone_on_with(book: Notebook, widget: Widget) -> None:
    """One step, then on its own until Pause, then one step more; the filters move, the network does not."""
    widget.set("view", "training")
    place = stage(widget, "training", "conv1")
    widget.action("train_step").click()
    expect(place).to_contain_text("step 1 of", timeout=30_000)
    at_rest(book, widget)
    first = cells_of(widget, "training", 0, (5, 5))
    expect(widget.chart("ratio")).to_be_visible()
    widget.action("train_start").click()
    widget.root.locator('[data-nnw-task="training"]').wait_for()
    book.page.wait_for_function("() => /step \\d\\d+ of/.test(document.querySelector('[data-nnw-panel=training]').innerText)")
    widget.action("train_pause").click()
    widget.root.locator('[data-nnw-task="training"]').wait_for(state="detached")
    at_rest(book, widget)
    paused = book.python("int(explorer.panel['caption'].split('step ')[1].split(' ')[0].replace(',', ''))")
    assert paused >= 10
    widget.action("train_step").click()
    expect(place).to_contain_text(f"step {paused + 1:,} of")
    at_rest(book, widget)
    assert (cells_of(widget, "training", 0, (5, 5)) != first).any()
    widget.action("train_reset").click()
    at_rest(book, widget)
    expect(stage(widget, "training", "conv1")).not_to_contain_text("step 1")
    assert unchanged(book)
    assert (book.errors, book.left) == ([], [])
