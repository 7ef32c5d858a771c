"""Every long task of the lab in a real kernel: interrupted, cancelled, and cancelled beside a busy cell: FAULTS.md rows 10-12."""

from __future__ import annotations

import time

import pytest
from wire import Front, Kernel

BUSY_S = 2.0
BUSY_CELL = f"began = time.monotonic()\nwhile time.monotonic() < began + {BUSY_S}: time.sleep(0.001)"
ASKED = {
    "epochs": 50,
    "schedule": "iterative",
    "budget": 600,
    "lottery_source": "own",
    "lottery_epochs": 50,
    "lottery_seeds": 10,
    "bits_epochs": 20,
}
TASKS = {  # command -> what is said where it is cancelled before anything is done
    "fine_tune": "cancelled: nothing was changed",
    "prune_run": "cancelled: nothing was changed",
    "search": "cancelled: nothing was changed",
    "lottery_run": "cancelled: rounds that were done are kept",
    "bits_run": "cancelled: bit widths that were done are kept",
    "scan_layers": "cancelled: nothing was changed",
    "measure_encodings": "cancelled: nothing was changed",
    "measure_crossover": "cancelled: nothing was changed",
    "arithmetic_run": "cancelled: nothing was changed",
    "remedies_run": "cancelled: nothing was changed",
}
STATE = "[lab.experiment.position, len(lab.experiment.history), lab.experiment.recipe.to_json()]"


@pytest.fixture
def at_work(kernel: Kernel, front: Front) -> Front:
    """Half of the weights are removed; what is asked for takes minutes."""
    front.update(**ASKED)
    front.update(sparsity=0.5)
    front.wait_idle(sparsity=0.5, error=None)
    return front


def begun(front: Front, name: str) -> bool:
    """Press a button and wait until its work is shown; False where it was done before it could be seen at work."""
    front.handled(front.click(name))
    front.wait(lambda: front.state["task"] or front.state["last_task"] or front.state["error"])
    assert front.state["error"] is None, front.state["error"]
    return front.state["task"] is not None


def cancelled(front: Front, name: str) -> float:
    """Press Cancel; returns the seconds until it is said how it ended."""
    pressed = time.monotonic()
    front.click("cancel")
    front.wait(lambda: front.state["task"] is None and front.state["last_task"])
    told = front.state["last_task"]
    if told["role"] != "good":  # it was not through before
        assert told["role"] == "muted" and told["text"].startswith(TASKS[name])
    return time.monotonic() - pressed


def test_rows_10_and_11_interrupts_change_nothing_and_cancel_works(kernel: Kernel, at_work: Front) -> None:
    """An interrupt goes to cells and not to the work; Cancel ends it in 2 s, and the next move is measured as ever."""
    before, seen = kernel.value(STATE), 0
    for name in TASKS:
        if not begun(at_work, name):
            continue
        seen += 1
        for _ in range(3):
            kernel.interrupt()
            time.sleep(0.02)
        assert cancelled(at_work, name) < 2.0, name
        assert kernel.value(STATE) == before and kernel.value("lab.experiment.jobs.running('task')") is None, name
    assert seen >= 5
    at_work.update(sparsity=0.6)
    at_work.wait_idle(sparsity=0.6, error=None)
    assert at_work.raw("accuracy") == kernel.value("E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy")


def test_row_12_cancel_beside_a_cell_that_runs(kernel: Kernel, at_work: Front) -> None:
    """At once where the front end speaks to a subshell, else when the cell has ended; never a deadlock."""
    before = kernel.value(STATE)
    for name in ("prune_run", "search", "lottery_run"):
        assert begun(at_work, name)
        cell = kernel.start(BUSY_CELL)
        time.sleep(0.2)
        waited = cancelled(at_work, name)
        assert kernel.reply(cell).status == "ok"
        assert waited < BUSY_S - 0.5 if kernel.subshells else waited < BUSY_S + 2, name
        assert kernel.value(STATE) == before, name
