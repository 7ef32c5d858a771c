"""The error analysis in a real JupyterLab: by mouse and by keyboard alone, and what is shown is what the kernel has."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe import findings
from exploring import tab_to
from lab import PANEL, Notebook, Widget
from playwright.sync_api import Locator, expect

ROOT = '[data-nnw="error-analysis"]'
HOSTILE = "<img src=x onerror=alert(1)>"
PANELS = ("confusion", "classes", "calibration", "worst", "suspects", "run", "cost")
NODE = "() => document.activeElement.dataset.nnwNode"
START = """import nnwidgets as nw
from nnwidgets import engine as E
analysis = nw.ErrorAnalysis(E.plant("{fault}", {seed}))
analysis"""
SCALED = START.format(fault="test_not_normalized", seed=62)  # an action that trains nothing mends it
MISLABELLED = START.format(fault="labels_random", seed=61)

# A test of evidence and an action of one's own that go on until they are cancelled.
ENDLESS = """
import time
from nnwidgets.engine.diagnosis import EvidenceTest, Remedy
class Slow(EvidenceTest):
    name, title, causes, method = "slow", "Endless", ("labels",), "waiting"
    def steps(self, ctx):
        while True:
            time.sleep(0.005)
            yield
class Idle(Remedy):
    name, title, text, causes = "idle", "Do nothing", "Nothing is done.", ("labels",)
    def change(self, ctx, arm):
        while True:
            time.sleep(0.005)
            yield
"""


def begin(book: Notebook) -> Widget:
    """Run the cells of a notebook whose analysis is called ``analysis``, in the light theme, and wait until it is at rest."""
    book.theme("light")
    book.run_all()
    widget = book.widget("error-analysis")
    at_rest(book, widget)
    return widget


def at_rest(book: Notebook, widget: Widget) -> None:
    """Wait until the kernel has no work and the page shows its last publication."""
    assert book.python("analysis.wait(60)") is True
    widget.wait_idle(after=book.python("analysis.seq") - 1)


def node(widget: Widget, name: str) -> Locator:
    return widget.root.locator(f'[data-nnw-node="{name}"]')


def attempt(widget: Widget, number: int) -> Locator:
    """A row of the track."""
    return widget.root.locator(f'.attempts [data-nnw-attempt="{number}"]')


def states(widget: Widget) -> dict[str, str]:
    """State of each box as it is drawn."""
    boxes: list[list[str]] = widget.root.locator("[data-nnw-node]").evaluate_all(
        "boxes => boxes.map(box => [box.dataset.nnwNode, box.dataset.nnwState])"
    )
    return {name: state for name, state in boxes}


def agrees(book: Notebook, widget: Widget) -> None:
    """Boxes, sentence and marks are what the kernel has."""
    at_rest(book, widget)
    assert states(widget) == book.python("{n['id']: n['state'] for n in analysis.flow['nodes']}")
    assert widget.root.locator("[data-nnw-sentence]").inner_text() == book.python("analysis.flow['sentence']")
    for name in ("train", "test"):
        assert widget.raw(f"E_{name}") == book.python(f"analysis.e_{name}")


def drag_goal(book: Notebook, widget: Widget, goal: float) -> None:
    """Take the handle where it is and move it to another goal; only the handle itself takes the pointer."""
    widget.input("goal").scroll_into_view_if_needed()
    box = widget.control("goal").bounding_box()
    top, now = book.python("(analysis.line['domain'][1], analysis.goal)")
    assert box is not None
    y = box["y"] + box["height"] / 2
    book.page.mouse.move(box["x"] + box["width"] * now / top, y)
    book.page.mouse.down()
    book.page.mouse.move(box["x"] + box["width"] * goal / top, y, steps=25)
    book.page.mouse.up()


def still_one_cell(book: Notebook, source: str) -> None:
    """No key made, removed, or wrote into a cell."""
    assert book.page.evaluate("() => window.nnwPanel.content.widgets.length") == 1
    assert book.page.evaluate("() => window.nnwPanel.content.widgets[0].model.sharedModel.getSource()") == source


def test_from_the_first_look_to_an_action_that_helps_by_mouse(notebook: Callable[..., Notebook]) -> None:
    """Walk the boxes, test one leaf, apply what is advised: path, number line and track change, and change back."""
    book = notebook(SCALED)
    widget = begin(book)
    agrees(book, widget)
    for name in ("labels", "start", "goal_met", "preprocessing"):
        node(widget, name).click()
        expect(widget.root.locator(f'[data-nnw-detail="{name}"]')).to_be_visible()
        assert book.python("analysis.selected") == name
    assert node(widget, "preprocessing").locator("[data-nnw-badge]").get_attribute("data-nnw-badge") == "not tested"
    widget.root.locator('[data-nnw-test="inputs"] [data-nnw-action="run_test"]').click()
    expect(node(widget, "preprocessing").locator('[data-nnw-badge="strong"]')).to_be_visible()
    assert widget.raw("confidence") == book.python("analysis.detail['confidence_raw']")
    before = widget.raw("E_test")
    widget.root.locator('[data-nnw-remedy="scale_test"] [data-nnw-action="apply"]').click()
    expect(attempt(widget, 1).locator('[data-nnw-verdict="confirmed"]')).to_be_visible()
    agrees(book, widget)
    after = widget.raw("E_test")
    assert before is not None and after is not None and after < before
    assert states(widget)["goal_met"] != "off" and attempt(widget, 1).get_attribute("aria-current") == "true"
    attempt(widget, 0).locator('[data-nnw-action="adopt"]').click()
    expect(attempt(widget, 0)).to_have_attribute("aria-current", "true")
    agrees(book, widget)
    assert widget.raw("E_test") == before
    assert (book.errors, book.left) == ([], [])


def test_everything_by_keyboard_alone_and_no_key_reaches_the_notebook(notebook: Callable[..., Notebook]) -> None:
    """Arrows, Enter and t in the flowchart, Tab to the buttons, an action applied and taken back."""
    book = notebook(SCALED)
    widget = begin(book)
    page, keys = book.page, book.page.keyboard
    widget.root.locator("button, input, select, [tabindex='0']").first.focus()
    tab_to(page, "[data-nnw-node]")
    for key in ("End", "Home", "ArrowRight", "ArrowLeft", "a", "b", "d", "d", "x", "m"):
        keys.press(key)
    assert page.evaluate(NODE) == "start"
    for _ in range(9):
        if page.evaluate(NODE) != "preprocessing":
            keys.press("ArrowDown")
    assert page.evaluate(NODE) == "preprocessing", "down the left branch"
    keys.press("Enter")
    expect(widget.root.locator('[data-nnw-detail="preprocessing"]')).to_be_visible()
    keys.press("t")
    expect(node(widget, "preprocessing").locator('[data-nnw-badge="strong"]')).to_be_visible()
    at_rest(book, widget)
    tab_to(page, '[data-nnw-remedy="scale_test"] [data-nnw-action="apply"]')
    keys.press("Enter")
    expect(attempt(widget, 1).locator('[data-nnw-verdict="confirmed"]')).to_be_visible()
    at_rest(book, widget)
    tab_to(page, '.attempts [data-nnw-attempt="0"] [data-nnw-action="adopt"]')
    keys.press("Space")
    expect(attempt(widget, 0)).to_have_attribute("aria-current", "true")
    at_rest(book, widget)
    assert book.python("analysis.current is analysis.experiment") is True
    tab_to(page, '[data-nnw-control="goal"]', "Shift+Tab", 120)
    before = book.python("analysis.goal")
    keys.press("ArrowRight")
    at_rest(book, widget)
    assert book.python("analysis.goal") > before
    agrees(book, widget)
    still_one_cell(book, SCALED)
    assert (book.errors, book.left) == ([], [])


def test_the_goal_is_dragged_and_everything_follows(notebook: Callable[..., Notebook]) -> None:
    """The kernel's goal is the handle's; sentence, branch and boxes are those of that goal; row 18: a second view agrees."""
    book = notebook(SCALED, "analysis")
    widget = begin(book)
    other = book.widget("error-analysis", 1)
    seen = set()
    for wanted in (0.05, 0.19, 0.1):
        drag_goal(book, widget, wanted)
        agrees(book, widget)
        goal = book.python("analysis.goal")
        assert goal == pytest.approx(wanted, abs=0.002) and goal == book.python("analysis.experiment.goal")
        assert float(widget.input("goal").input_value()) == pytest.approx(goal)
        seen.add((book.python("analysis.branch"), goal))
        other.wait_idle(after=book.python("analysis.seq") - 1)
        assert states(other) == states(widget)
        assert other.input("goal").input_value() == widget.input("goal").input_value()
    assert len(seen) == 3 and {branch for branch, _ in seen} >= {"goal_met", "test_high"}
    assert (book.errors, book.left) == ([], [])


def test_test_all_shows_progress_and_can_be_cancelled(notebook: Callable[..., Notebook]) -> None:
    """Rows 11 and 13: work that would never end is cancelled at once, and so is an action; everything stays usable."""
    source = MISLABELLED.replace(", 61))", ", 61), tests=(*nw.engine.diagnosis.evidence.ALL[:5], Slow()), remedies=(Idle(),))")
    book = notebook(ENDLESS + source)
    widget = begin(book)
    widget.action("run_all").dblclick()
    widget.root.locator("progress, [role=progressbar]").first.wait_for(timeout=20_000)
    expect(widget.root.locator('[data-nnw-node][aria-busy="true"]').first).to_be_visible()
    widget.action("cancel").click()
    expect(widget.root.locator(".taskline")).to_contain_text("Testing: cancelled; nothing was changed")
    at_rest(book, widget)
    assert widget.root.locator('[aria-busy="true"]').count() == 0 and book.python("len(analysis.diagnosis.evidence)") >= 1
    node(widget, "labels").click()
    widget.root.locator('[data-nnw-remedy="idle"] [data-nnw-action="apply"]').click()
    expect(widget.root.locator('[data-nnw-task="apply"]')).to_be_visible()
    widget.action("cancel").click()
    expect(widget.root.locator(".taskline")).to_contain_text("Do nothing: cancelled; nothing was changed")
    at_rest(book, widget)
    assert book.python("len(analysis.track)") == 1
    agrees(book, widget)
    book.execute("analysis._tests = analysis._tests[:5]; analysis._analysis.findings.tests = analysis._tests")
    widget.action("run_all").click()
    expect(widget.root.locator(".taskline")).to_contain_text("of 5 tests in")
    assert (book.errors, book.left) == ([], [])


def test_every_panel_by_mouse_and_a_cell_of_the_matrix_and_a_suspect(notebook: Callable[..., Notebook]) -> None:
    """Panel by panel without a complaint; errors of a pair; a decision about a label counts in the kernel; tags."""
    book = notebook(MISLABELLED)
    widget = begin(book)
    for name in PANELS:
        widget.set("panel", name)
        expect(widget.root.locator(f'[data-nnw-panel="{name}"]:not([aria-busy="true"])')).to_be_visible()
        at_rest(book, widget)
        assert widget.root.locator("[role=alert]").count() == 0, name
    widget.set("panel", "confusion")
    cell = widget.root.locator("[data-nnw-pair]").first
    pair = cell.get_attribute("data-nnw-pair")
    cell.click()
    expect(widget.root.locator('[data-nnw-panel="worst"]:not([aria-busy="true"])')).to_be_visible()
    at_rest(book, widget)
    assert book.python("(analysis.panel, analysis.pair)") == ("worst", pair)
    assert widget.root.locator("[data-nnw-tile]").count() == book.python("len(analysis.board['items'])") > 0
    widget.root.locator("[data-nnw-tile]").first.click()
    widget.root.locator('[data-nnw-control="tag"] input').fill("smudge")
    book.page.keyboard.press("Enter")
    expect(widget.root.locator("[data-nnw-tile] .mark").first).to_have_text("smudge")
    widget.set("panel", "suspects")
    widget.action("measure").click()
    expect(widget.root.locator("[data-nnw-tile]").first).to_be_visible(timeout=30_000)
    at_rest(book, widget)
    tile = widget.root.locator("[data-nnw-tile]").first
    row = int(tile.get_attribute("data-nnw-tile") or -1)
    tile.click()
    widget.action("label").get_by_text("Keep", exact=True).click()
    expect(widget.root.locator(f'[data-nnw-tile="{row}"] .mark')).to_have_text("keep")
    assert book.python("analysis._analysis.findings.context.decisions") == {row: "keep"}
    widget.set("panel", "run")
    widget.action("measure").click()
    expect(widget.chart("loss")).to_be_visible(timeout=30_000)
    assert (book.errors, book.left) == ([], [])


def test_practice_from_the_start_to_the_score_then_a_hall(notebook: Callable[..., Notebook]) -> None:
    """A fault by its number, a test, a guess, the score, the end; in a hall badges wait until they are revealed."""
    book = notebook(SCALED)
    widget = begin(book)
    widget.action("practice_menu").click()
    widget.root.locator('[data-nnw-control="fault"] input[value="seed"]').check(force=True)
    widget.root.locator('[data-nnw-control="practice_seed"] input').fill("7")
    widget.action("practice").click()
    expect(widget.root.locator('[data-nnw-practice="guessing"]')).to_be_visible(timeout=60_000)
    agrees(book, widget)
    node(widget, "preprocessing").click()
    book.page.keyboard.press("t")
    expect(widget.root.locator("[data-nnw-practice]")).not_to_contain_text(" 0 tests used")
    at_rest(book, widget)
    assert widget.root.locator(".place").count() == 0 and widget.root.locator('[data-nnw-value="confidence"]').count() == 0
    answer = book.python("sorted(analysis._practice.exercise.answers)[0]")
    widget.root.locator('[data-nnw-control="guess"] select').select_option(answer)
    widget.action("guess").click()
    expect(widget.root.locator('[data-nnw-value="score"]')).to_have_text(book.python("analysis.practice['score']"))
    assert book.python("analysis._practice.result.right") is True
    widget.action("end_practice").click()
    expect(widget.root.locator("[data-nnw-practice]")).to_have_count(0)
    agrees(book, widget)
    node(widget, "preprocessing").click()
    book.page.keyboard.press("t")
    strong = widget.root.locator('[data-nnw-badge="strong"]')
    expect(strong.first).to_be_visible()
    at_rest(book, widget)
    widget.action("menu").click()
    widget.action("hall").locator("input").click()
    expect(strong).to_have_count(0)
    book.page.keyboard.press("Escape")
    widget.action("reveal").click()
    expect(strong.first).to_be_visible()
    assert (book.errors, book.left) == ([], [])


def test_rows_15_and_16_a_reloaded_page_shows_the_state_and_a_dead_kernel_is_said(notebook: Callable[..., Notebook]) -> None:
    """Goal, box, panel and findings come back with the page; after a restart the last figures stay, with a word about it."""
    book = notebook(SCALED)
    widget = begin(book)
    node(widget, "preprocessing").click()
    book.page.keyboard.press("t")
    widget.set("panel", "confusion")
    widget.press("goal", "ArrowRight", "ArrowRight")
    agrees(book, widget)
    before, goal = widget.root.locator("[data-nnw-sentence]").inner_text(), book.python("analysis.goal")
    book.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    book.page.reload()
    book.page.wait_for_selector(".jp-Notebook .jp-Cell")
    book.page.evaluate(PANEL)
    again = book.widget("error-analysis")
    expect(again.root.locator('[data-nnw-panel="confusion"]')).to_be_visible()
    agrees(book, again)
    expect(again.root.locator('[data-nnw-detail="preprocessing"]')).to_be_visible()
    expect(node(again, "preprocessing").locator('[data-nnw-badge="strong"]')).to_be_visible()
    assert again.root.locator("[data-nnw-sentence]").inner_text() == before
    assert float(again.input("goal").input_value()) == pytest.approx(goal)
    book.page.evaluate("() => window.nnwPanel.sessionContext.session.kernel.restart()")
    expect(again.root.locator('[data-nnw-notice="disconnected"]')).to_be_visible(timeout=30_000)
    assert again.root.locator("[data-nnw-sentence]").inner_text() == before


def test_axe_finds_nothing_serious_and_nothing_sticks_out(notebook: Callable[..., Notebook], npm: object) -> None:
    """In light and dark, at 1280 and 600 px: tested, an attempt in the track, panels of each kind."""
    book = notebook(SCALED)
    widget = begin(book)
    book.execute("analysis.run_leaf('preprocessing'); analysis.wait(60); analysis.apply('scale_test'); analysis.wait(60)")
    book.execute("analysis.adopt(0); analysis.selected = 'preprocessing'")
    at_rest(book, widget)
    inside = "e => { const out = e.closest('.jp-OutputArea-output') || e; return out.scrollWidth <= out.clientWidth + 1; }"
    found = []
    every = ("confusion", "classes", "worst")
    for width, theme, panels in (
        (1280, "light", every),
        (1280, "dark", every[:1]),
        (600, "dark", every),
        (600, "light", every[2:]),
    ):
        book.page.set_viewport_size({"width": width, "height": 900})
        book.theme(theme)
        for name in panels:
            book.execute(f"analysis.panel = {name!r}")
            expect(widget.root.locator(f'[data-nnw-panel="{name}"]:not([aria-busy="true"])')).to_be_visible()
            at_rest(book, widget)
            found += [f"{width} px, {theme}, {name}: {each}" for each in findings(book.page, ROOT)]
            assert widget.root.evaluate(inside), f"{name} at {width} px"
    assert found == []


def test_row_26_names_are_shown_as_text(notebook: Callable[..., Notebook]) -> None:
    """A script in the names of classes, of the experiment, of an attempt and of a tag."""
    book = notebook(
        "import torch\nfrom torch import nn\nimport nnwidgets as nw\nfrom nnwidgets import engine as E\n"
        f"name = {HOSTILE!r}\n"
        "torch.manual_seed(0)\n"
        "net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2))\n"
        "split = lambda n: E.Split(torch.randn(n, 1, 4, 4), torch.arange(n) % 2)\n"
        "exp = nw.Experiment(net, train=split(200), test=split(50), title=name, class_names=[name, 'b'])\n"
        "analysis = nw.ErrorAnalysis(exp)\nanalysis"
    )
    dialogs: list[str] = []
    book.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    widget = begin(book)
    assert HOSTILE in widget.root.inner_text()
    for name in ("confusion", "classes", "worst"):
        widget.set("panel", name)
        expect(widget.root.locator(f'[data-nnw-panel="{name}"]:not([aria-busy="true"])')).to_be_visible()
        at_rest(book, widget)
        assert HOSTILE in widget.root.locator("[data-nnw-panel]").inner_text(), name
    widget.root.locator("[data-nnw-tile]").first.click()
    widget.root.locator('[data-nnw-control="tag"] input').fill(HOSTILE)
    book.page.keyboard.press("Enter")
    expect(widget.root.locator("[data-nnw-tile] .mark").first).to_have_text(HOSTILE)
    assert not dialogs and widget.root.locator("img").count() == 0
    assert book.left == [] and book.errors == []
