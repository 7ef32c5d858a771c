"""FAULTS.md row 6 in a real browser: a thousand moves of a slider. Bounds are wide, so that a busy machine breaks none of them;
the exact figures are in tests/benchmarks/bench_browser.py.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

import pytest
from lab import Notebook, Widget
from moves import asked_meanwhile, click_until, move

START = """import nnwidgets as nw
lab = nw.CompressionLab(nw.load_example("digits"))
lab"""

# What the engine itself says of the present recipe, and how long the steps and the whole of the kernel's jobs took.
OWN = """
import time
from nnwidgets import engine as E
from nnwidgets.engine.jobs import Job
steps, moved, rested, changed = [], [], [], []
def timed(self, step=Job._step):
    began = time.monotonic()
    step(self)
    steps.append(time.monotonic() - began)
Job._step = timed
lab.observe(lambda change: moved.append(time.monotonic()), "sparsity")
def heard(event):
    if event.kind == "figures":
        changed.append(time.monotonic())
    if event.kind == "rest":
        rested.append(time.monotonic())
lab.experiment.subscribe(heard)
def forget():
    for kept in (steps, moved, rested, changed):
        kept.clear()
def own():
    exp = lab.experiment
    base = exp.bench(exp.state.weights_key).base
    cost = E.cost(base, exp.input_shape, exp.recipe)
    return [E.evaluate(E.compress(base, exp.recipe), exp.test).accuracy, cost.bytes_encoded, cost.macs_nonzero]
"""

# Traced memory by the file that holds it, what lives in the interpreter, and what is kept by design.
COUNT = """
import gc, threading, tracemalloc
import ipywidgets
def hooks():
    nets = [lab.experiment.model, lab.experiment.bench(None).base, lab.experiment.bench(None).quick.network]
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for net in nets for module in net.modules() for kind in kinds)
def alive():
    widgets = sum(1 for each in ipywidgets.Widget.widgets.values() if each is not None)
    return [threading.active_count(), hooks(), widgets, len(lab.experiment.history)]
def kept(older=None):
    for _ in range(3):
        gc.collect()
    now = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, tracemalloc.__file__)])
    if older is None:
        return now
    found = {}
    for each in now.compare_to(older, "filename"):
        found[each.traceback[0].filename] = each.size_diff
    return found
"""


@pytest.fixture
def book(notebook: Callable[..., Notebook]) -> Notebook:
    """A notebook whose first cell shows the lab, at rest."""
    opened = notebook(START)
    opened.run_all()
    opened.widget("compression-lab").wait_idle()
    return opened


def moves(n: int, last: float, seed: int = 0) -> list[float]:
    """Positions of a hand that wanders over the slider and ends at ``last``."""
    draw, at = random.Random(seed), 0.0
    found = []
    for _ in range(n - 1):
        at = min(max(at + draw.choice((-0.03, -0.02, -0.01, 0.01, 0.02, 0.03)), 0.0), 0.95)
        found.append(round(at, 2))
    return [*found, last]


def at_rest(book: Notebook, widget: Widget) -> None:
    """Wait until the kernel has no work and the page shows its last publication."""
    assert book.python("lab.wait(60)") is True
    widget.wait_idle(after=book.python("lab.view['seq']") - 1)


@pytest.mark.slow
def test_row_6_a_thousand_moves_end_with_the_last_and_nothing_stale_and_the_kernel_stays_free(book: Notebook) -> None:
    widget = book.widget("compression-lab")
    book.execute(OWN)
    with asked_meanwhile(book) as idle:
        book.page.wait_for_timeout(2000)
    widget.press("sparsity", "PageUp")  # one whole job: a single position, from the request to the exact figure
    at_rest(book, widget)
    whole = book.python("rested[-1] - moved[-1]")
    book.execute("forget()")
    with asked_meanwhile(book) as asked:
        log = move(widget, "sparsity", moves(1000, last=0.63))
    at_rest(book, widget)

    assert len(log.moved) == 1000 and log.seen == sorted(log.seen), "an older publication was shown after a newer one"
    assert len(set(log.seen)) > 50, "the figures followed while the slider moved"
    shown = float(widget.input("sparsity").input_value())
    assert (shown, book.python("lab.sparsity"), book.python("lab.experiment.recipe.pruning.amount")) == (0.63, 0.63, 0.63)
    accuracy, size, macs = book.python("own()")
    assert [widget.raw("accuracy"), widget.raw("size_encoded"), widget.raw("macs_nonzero")] == [accuracy, size, macs]
    assert book.python("len(lab.experiment.history)") == 3, "the key press is one step of the history, and the drag another"

    to_figures = book.python("changed[-1] - moved[-1]")
    to_rest = book.python("rested[-1] - moved[-1]")
    longest = book.python("max(steps)")
    print(f"last move to size and MACs {to_figures:.3f} s, longest step {longest:.3f} s")
    print(f"last move to rest {to_rest:.3f} s, a single one {whole:.3f} s")
    assert to_figures <= longest + 0.5, "the last move waited for more than one step of the work before it"
    assert to_rest <= 10 * whole + 5.0, "work for positions that were left is still done"

    asked.sort()
    delay = asked[int(0.99 * len(asked))]
    print(f"cell `1`: idle {statistics.median(idle):.4f} s, while moving {statistics.median(asked):.4f} s, p99 {delay:.4f} s")
    assert len(asked) > 50 and delay < 0.5, "a cell that does nothing had to wait"
    assert (book.errors, book.left) == ([], [])


@pytest.mark.slow
def test_row_6_a_thousand_moves_leave_no_memory_thread_hook_or_widget(book: Notebook) -> None:
    widget = book.widget("compression-lab")
    book.execute(COUNT)
    book.execute("tracemalloc.start()")
    for seed in (1, 2):  # caches fill, and the position where the hand rests is visited
        move(widget, "sparsity", moves(400, last=0.4, seed=seed))
        at_rest(book, widget)
    book.execute("before, lived = kept(), alive()")
    move(widget, "sparsity", moves(1000, last=0.4, seed=3))
    at_rest(book, widget)
    found = book.python("kept(before)")
    lived, now = book.python("lived"), book.python("alive()")
    visits = book.python("len(lab.experiment.live.visits)")
    # Jupyter remembers the signature of each message that it got, up to 65,536 of them, against replays
    jupyter = sum(found.pop(file) for file in list(found) if file.endswith("session.py") and "jupyter_client" in file)
    total = sum(found.values())
    print(
        f"kept {total} bytes, and {jupyter} in Jupyter's own list of messages; {visits} visits:",
        sorted(found.items(), key=lambda item: -abs(item[1]))[:12],
    )
    assert now == lived, "threads, hooks and widgets as before; a drag back to where it began is no step of the history"
    assert total <= 64 * 1024


@pytest.mark.parametrize("width", [1280, 600])
def test_nothing_on_the_page_jumps_while_the_slider_moves(book: Notebook, width: int) -> None:
    widget = book.widget("compression-lab")
    book.page.set_viewport_size({"width": width, "height": 1500})
    places = """root => [...root.querySelectorAll('section.card')].map(each => {
        const box = each.getBoundingClientRect(), own = root.getBoundingClientRect();
        return [each.getAttribute('aria-label'), Math.round(box.top - own.top), Math.round(box.height)]; })"""
    at_rest(book, widget)
    before = widget.root.evaluate(places)
    assert len(before) >= 8
    for share in (0.02, 0.5, 0.95):
        move(widget, "sparsity", [share])
        book.page.wait_for_timeout(150)
        assert widget.root.evaluate(places) == before, "while it is measured"
        at_rest(book, widget)
        assert widget.root.evaluate(places) == before, "at rest"


def test_cancel_is_shown_at_once_although_a_training_step_runs(book: Notebook) -> None:
    """The step that runs is made to last two seconds; "cancelled" is painted long before, and a new run may be started."""
    widget = book.widget("compression-lab")
    book.execute(
        "import time\n"
        "from torch.nn import functional as F\n"
        "def slow(logits, labels):\n"
        "    time.sleep(2)\n"
        "    return F.cross_entropy(logits, labels)\n"
        "lab.experiment.loss = slow"
    )
    widget.action("fine_tune").click()
    widget.action("cancel").wait_for()
    book.page.wait_for_timeout(1000)
    took = click_until(widget, "cancel", ".recover", "cancelled")
    assert book.python("lab.experiment.wait(0)") is False, "the step still runs"
    assert took < 1000
    widget.wait_status("idle")
    assert book.python("(lab.task, lab.last_task['text'])") == (None, "cancelled: nothing was changed")
    widget.action("fine_tune").click()
    widget.action("cancel").wait_for()
    widget.action("cancel").click()
    at_rest(book, widget)
    assert book.python("(len(lab.experiment.weights), len(lab.experiment.history))") == (0, 1)
