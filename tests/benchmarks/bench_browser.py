"""How the lab feels: from an event of the page to the frame that shows its effect, beside a widget that only echoes a number.

Both widgets stand in the same page on the same kernel and take turns; a frame counts once it has been painted (two animation
frames after the change of the document). A publication belongs to a move if it is of that position or of a later one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import Figure
from lab import Lab, Notebook, Widget, find_browser, start_lab
from moves import MoveLog, asked_meanwhile, click_until, move
from playwright.sync_api import Browser, sync_playwright

__all__ = ["figures"]

NETS = ("digits/lenet5", "digits/resnet20", "shapes")
FLAGS = ("--disable-gpu", "--disable-background-networking")
REPEATS, SINGLE, MOVES = 3, 16, 1000

# The bare widget: a range input, a number that Python sends back, drawn as text and as SVG. It has the lab's marks.
ECHO = '''
import anywidget, traitlets
class Echo(anywidget.AnyWidget):
    _esm = """
    export default { render({model, el}) {
      el.innerHTML = `<div data-nnw="echo" data-nnw-seq="-1"><span data-nnw-control="sparsity"><input type="range"
        min="0" max="0.99" step="0.01" value="0"></span><b></b><svg width="300" height="40"><rect height="30"/></svg></div>`;
      const root = el.firstChild, input = root.querySelector("input");
      input.addEventListener("input", () => { model.set("sparsity", input.valueAsNumber); model.save_changes(); });
      model.on("change:echo", () => {
        const {seq, value} = model.get("echo");
        root.querySelector("b").textContent = value.toFixed(2);
        root.querySelector("rect").setAttribute("width", String(300 * value));
        root.dataset.nnwSeq = String(seq); });
    } };"""
    sparsity = traitlets.Float(0.0).tag(sync=True)
    echo = traitlets.Dict({"seq": -1, "value": 0.0}).tag(sync=True)
    @traitlets.observe("sparsity")
    def _send_back(self, change):
        echoed.append((self.echo["seq"] + 1, change["new"], True, True))
        self.echo = {"seq": self.echo["seq"] + 1, "value": change["new"]}
echoed = []
echo = Echo()
echo
'''

# Each publication of the lab: its number, the position it is of, whether it brings size and MACs, whether accuracy.
LAB = """
import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example({name!r}))
published = []
def note(change):
    view, live = change["new"], lab.experiment.live
    amount = live.state.recipe.pruning.amount if live.state.recipe.pruning is not None else 0.0
    published.append((view["seq"], amount, "size_encoded" in view["figures"], "accuracy" in view["figures"]))
lab.observe(note, "view")
lab
"""

# How long the steps of the kernel's jobs took, when the last move arrived and when its figures were published.
STEPS = """
import time
from nnwidgets.engine.jobs import Job
steps, moved, changed = [], [], []
def timed(self, step=Job._step):
    began = time.monotonic()
    step(self)
    steps.append(time.monotonic() - began)
Job._step = timed
lab.observe(lambda change: moved.append(time.monotonic()), "sparsity")
lab.experiment.subscribe(lambda event: changed.append(time.monotonic()) if event.kind == "figures" else None)
"""


@dataclass(frozen=True)
class Times:
    """Milliseconds from each move to the paint of the first publication that belongs to it."""

    costs: tuple[float, ...]
    accuracy: tuple[float, ...]


class Page:
    """One net: its lab and the echo in one notebook."""

    def __init__(self, browser: Browser, server: Lab, name: str) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 1600})
        page = self.context.new_page()
        page.set_default_timeout(60_000)
        self.book = Notebook.open(page, server, f"{name.replace('/', '_')}.ipynb", [ECHO, LAB.format(name=name)])
        self.book.run_all()
        self.echo, self.lab = self.book.widget("echo"), self.book.widget("compression-lab")
        self.rest()

    def rest(self) -> None:
        """Wait until the kernel has no work and the page shows its last publication."""
        assert self.book.python("lab.wait(180)") is True
        self.lab.wait_idle(after=self.book.python("lab.view['seq']") - 1)

    def moves(self, widget: Widget, values: Sequence[float], pause_ms: float = 0, rest_ms: float = 0) -> Times:
        """Move one of the two sliders and match what was painted."""
        log = "echoed" if widget is self.echo else "published"
        seq = widget.seq
        done = move(widget, "sparsity", values, pause_ms, rest_ms, tail_ms=2000)
        told = self.book.python(f"[entry for entry in {log} if entry[0] > {seq}]")
        return Times(_matched(done, told, 2), _matched(done, told, 3))

    def close(self) -> None:
        """End the kernel and the page."""
        self.book.shut_down()
        self.context.close()


def _matched(done: MoveLog, told: Sequence[tuple[int, float, bool, bool]], part: int) -> tuple[float, ...]:
    """For each move the time to the first paint of a publication of its position or a later one that brings ``part``.

    The positions of one call are all different, so that a position names its move.
    """
    place = {round(value, 4): i for i, (value, _) in enumerate(done.moved)}
    found = []
    for i, (_, at) in enumerate(done.moved):
        seq = next((entry[0] for entry in told if entry[part] and place.get(round(entry[1], 4), -1) >= i), None)
        painted = None if seq is None else done.first_paint(seq)
        if painted is not None:
            found.append(painted - at)
    return tuple(found)


def p(times: Sequence[float], share: float) -> float:
    """A quantile of some times."""
    return float(np.quantile(times, share))


def _positions(start: float, n: int) -> list[float]:
    return [round(start + 0.01 * i, 2) for i in range(n)]


def _latency(page: Page, name: str, how: str, pause: float, rest: float) -> Iterator[Figure]:
    """Single moves, or one drag, of the echo and of the lab in turns."""
    n = SINGLE if pause else 90
    pairs = []
    for repeat in range(REPEATS):
        values = _positions(0.02 + 0.03 * repeat, n)
        pairs.append((page.moves(page.echo, values, pause), page.moves(page.lab, values, pause, rest)))
        page.rest()
    echo = [time for bare, _ in pairs for time in bare.costs]
    for part, label, reach in (
        ("costs", "size and MAC charts", 2.0),
        ("accuracy", "first accuracy figure", 4.0),
    ):
        ratio = tuple(p(getattr(ours, part), 0.95) / p(bare.costs, 0.95) for bare, ours in pairs)
        ours = [time for _, each in pairs for time in getattr(each, part)]
        note = f"p50 {p(ours, 0.5):.0f} ms, p95 {p(ours, 0.95):.0f} ms; echo {p(echo, 0.5):.0f} and {p(echo, 0.95):.0f} ms"
        yield Figure(f"{name}, {how}: slider to {label} painted / bare echo widget, p95", ratio, ("<=", reach), note=note)


def _cancels(page: Page, name: str, n: int = 12) -> Iterator[Figure]:
    """Cancel in the middle of a training run, and the slider while it runs."""
    page.book.execute("lab.epochs = 50")
    times = []
    for i in range(n):
        page.lab.action("fine_tune").click()
        page.lab.action("cancel").wait_for()
        page.book.page.wait_for_timeout(700 + 130 * i)
        times.append(click_until(page.lab, "cancel", ".recover", "cancelled"))
        page.rest()
    note = f"p50 {p(times, 0.5):.0f} ms, the longest {max(times):.0f} ms"
    yield Figure(f'{name}: Cancel, click to "cancelled" painted, p95', (p(times, 0.95),), ("<=", 100.0), "ms", note)
    page.lab.action("fine_tune").click()
    page.lab.action("cancel").wait_for()
    page.book.page.wait_for_timeout(1500)
    times = []
    for i, value in enumerate(_positions(0.3, 10)):
        for _ in range(60):  # a position that is being measured goes before the training: only then a step of it is in the way
            if page.book.python("lab.experiment.live.at_rest"):
                break
            page.book.page.wait_for_timeout(250)
        page.book.page.wait_for_timeout(500 + 37 * i)
        times += page.moves(page.lab, [value]).costs
    page.lab.action("cancel").click()
    page.rest()
    note = f"p50 {p(times, 0.5):.0f} ms, the longest {max(times):.0f} ms"
    yield Figure(
        f"{name}, while it is fine-tuned: slider to size and MAC charts painted, p95", (p(times, 0.95),), None, "ms", note
    )


def _many(page: Page, name: str) -> Iterator[Figure]:
    """1,000 moves at one a frame: what another cell notices, and how the last one settles."""
    page.book.execute(STEPS)
    with asked_meanwhile(page.book, 0.01) as idle:
        page.book.page.wait_for_timeout(5000)
    draw = np.random.default_rng(0)
    values = [
        float(value) for value in np.round(np.clip(0.5 + np.cumsum(draw.choice([-0.02, -0.01, 0.01, 0.02], MOVES)), 0, 0.95), 2)
    ]
    with asked_meanwhile(page.book, 0.01) as asked:
        move(page.lab, "sparsity", values)
    page.rest()
    milliseconds = [1000 * each for each in asked]
    note = f"p50 {p(milliseconds, 0.5):.1f} ms; idle p50 {1000 * p(idle, 0.5):.1f}, p99 {1000 * p(idle, 0.99):.1f} ms"
    yield Figure(f"{name}, 1,000 moves: a cell `1` run meanwhile, p99", (p(milliseconds, 0.99),), ("<=", 50.0), "ms", note)
    late, longest = page.book.python("(1000 * (changed[-1] - moved[-1]), 1000 * max(steps))")
    note = f"{late:.0f} ms to its figures; longest step of a job {longest:.0f} ms"
    yield Figure(
        f"{name}, 1,000 moves: the last one settles beyond one step of a job after", (late - longest,), ("<=", 50.0), "ms", note
    )


def figures() -> Iterator[Figure]:
    """Latency of the slider, of Cancel, and of other cells."""
    path = find_browser()
    if path is None:
        raise FileNotFoundError("no chromium or chrome on the PATH; set NNW_CHROMIUM to the path of one")
    with tempfile.TemporaryDirectory() as folder, start_lab(Path(folder) / "lab") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        for name in NETS:
            page = Page(browser, server, name)
            yield from _latency(page, name, "idle", pause=250, rest=4000)
            yield from _latency(page, name, "dragged", pause=0, rest=0)
            if name != "shapes":
                yield from _cancels(page, name)
            if name == "digits/lenet5":
                yield from _many(page, name)
            page.close()
        browser.close()
