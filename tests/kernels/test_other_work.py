"""Other work of the kernel while a slider moves: that it goes on. How fast, ``tests/benchmarks/run.py kernel`` tells."""

from __future__ import annotations

import sys
from pathlib import Path

from wire import Front, Kernel

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from bench_kernel import moving, percentile, round_trips


def test_cells_are_answered_while_a_slider_moves(kernel: Kernel, front: Front) -> None:
    idle = round_trips(kernel, 50)
    with moving(front):
        busy = round_trips(kernel, 50)
    moved = kernel.value("lab.gesture"), kernel.value("lab.experiment.recipe != E.Recipe()")
    assert moved == (front.state["gesture"], True), "the slider did move"
    front.wait_idle(error=None)
    assert percentile(busy, 50) <= percentile(idle, 99) + 150, "in ms, generous: the machine may be busy"
    assert percentile(busy, 99) <= percentile(idle, 99) + 1000
