"""Interrupts, Cancel and cells that run meanwhile: FAULTS.md rows 9-14."""

from __future__ import annotations

import time

import pytest
from wire import Front, Kernel


@pytest.mark.parametrize("front_end", ["with a subshell", "without"])
def test_row_12_cancel_while_a_cell_runs(kernel: Kernel, front: Front, front_end: str) -> None:
    if front_end == "without":
        front.subshell = None
    front.handled(front.update(epochs=50))
    front.handled(front.click("fine_tune"))
    front.wait(lambda: front.state["task"] and front.state["task"]["progress"] > 0)
    cell = kernel.start("began = time.monotonic()\nwhile time.monotonic() < began + 4: pass")
    time.sleep(0.5)
    t = time.monotonic()
    front.click("cancel")
    front.wait(lambda: front.state["last_task"])
    dt = time.monotonic() - t
    r = kernel.reply(cell)
    print(kernel.subshells, front_end, dt, r.at - t)
