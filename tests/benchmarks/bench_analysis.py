"""The error analysis in a kernel: how long its tests take, how soon the first badge is there, what cells and Cancel wait for."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench_kernel import percentile
from figures import Figure

sys.path.append(str(Path(__file__).resolve().parents[1] / "kernels"))

from wire import Front, Kernel, start_kernel

WHOLE = (("digits/lenet300", 60), ("digits/lenet5", 180))  # seconds in which all tests should have run
LARGE, BUDGET = "digits/resnet20", 60
CANCELS = 24  # of testing, and as many of an action
LONGEST_WAIT_S = 2.0  # before Cancel is pressed
TOLD = ("strong", "weak", "none")
FORGET = "found = analysis._analysis.findings; found.evidence.clear(); found.context._kept.clear()"


def figures() -> Iterator[Figure]:
    """One kernel for each network."""
    for name, seconds in WHOLE:
        with tempfile.TemporaryDirectory() as place, start_kernel(Path(place), None) as kernel:
            yield from _all_tests(kernel, name, seconds)
    with tempfile.TemporaryDirectory() as place, start_kernel(Path(place), None) as kernel:
        yield from _within_budget(kernel)
    with tempfile.TemporaryDirectory() as place, start_kernel(Path(place), None) as kernel:
        yield from _cancels(kernel)


def opened(kernel: Kernel, name: str) -> Front:
    """An analysis of an example at rest; in the kernel it is named ``analysis``."""
    kernel.run(f"analysis = nw.ErrorAnalysis(nw.load_example({name!r})); assert analysis.wait(60)")
    return kernel.newest("flow")


def _trips(kernel: Kernel, front: Front, least: int) -> list[float]:
    """Seconds that trivial cells take, one after another, while the analysis is at work; ``least`` where it is idle."""
    took: list[float] = []
    while len(took) < least or front.state["task"] is not None:
        began = time.monotonic()
        took.append(kernel.reply(kernel.start("1")).at - began)
        time.sleep(0.01)
    return took


def _first_badge(front: Front, began: float) -> float:
    """When a leaf had a badge that a test gave it, in seconds after the click."""
    for at, state in front.updates:
        if at > began and any(node["badge"] in TOLD for node in state.get("flow", {}).get("nodes", ())):
            return at - began
    return float("inf")


def _tested(kernel: Kernel, front: Front, budget: int) -> tuple[float, float, list[float]]:
    """(seconds of "Test all", seconds to the first badge, cells meanwhile)."""
    front.handled(front.update(budget=budget))
    began = time.monotonic()
    front.click("run_all")
    front.wait(lambda: front.state["task"])
    trips = _trips(kernel, front, 1)
    front.wait_idle(600, error=None)
    return time.monotonic() - began, _first_badge(front, began), trips


def _all_tests(kernel: Kernel, name: str, reach: int) -> Iterator[Figure]:
    front = opened(kernel, name)
    idle = _trips(kernel, front, 100)
    took, badge, busy = _tested(kernel, front, 3600)
    left = kernel.value("[e.test for e in analysis.diagnosis.evidence if e.state == 'not tested']")
    began = time.monotonic()
    for test in left:  # they would tell nothing on this branch; asked for by name they run
        front.handled(front.click("run_test", test=test))
        front.wait_idle(600, error=None)
    whole = took + time.monotonic() - began
    note = f"of that {whole - took:.0f} s by name: {', '.join(left)}" if left else ""
    yield Figure(f"{name}: all tests", (whole,), ("<=", float(reach)), "s", note)
    yield Figure(f"{name}: first badge after 'Test all'", (badge,), ("<=", 3.0), "s")
    yield from _beside(name, idle, busy)


def _beside(name: str, idle: list[float], busy: list[float]) -> Iterator[Figure]:
    where = f"{name}: a trivial cell beside 'Test all'"
    yield Figure(f"{where}, delay, p99", (percentile(busy, 99) - percentile(idle, 99),), ("<=", 50.0), "ms", f"{len(busy)} cells")
    yield Figure(f"{where}, round trips", tuple(1e3 * took for took in busy), None, "ms")


def _within_budget(kernel: Kernel) -> Iterator[Figure]:
    front = opened(kernel, LARGE)
    idle = _trips(kernel, front, 100)
    took, badge, busy = _tested(kernel, front, BUDGET)
    left = kernel.value("[e.test + ': ' + e.text for e in analysis.diagnosis.evidence if e.state == 'not tested']")
    states = kernel.value("[e.state for e in analysis.diagnosis.evidence]")
    note = f"{states.count('done')} of {len(states)} tests done; not tested: {'; '.join(left) or 'none'}"
    yield Figure(f"{LARGE}: 'Test all' within {BUDGET} s", (took,), ("<=", 1.1 * BUDGET), "s", note)
    yield Figure(f"{LARGE}: first badge after 'Test all'", (badge,), ("<=", 3.0), "s")
    yield from _beside(LARGE, idle, busy)


def _cancels(kernel: Kernel) -> Iterator[Figure]:
    """Cancel at random moments of testing, and of an action that trains."""
    front = opened(kernel, "digits/lenet5")
    draw = random.Random(0)
    for what, arguments in (("run_all", {}), ("apply", {"remedy": "decay"})):
        said, ended = [], []
        for _ in range(CANCELS):
            kernel.run(FORGET)
            front.handled(front.click(what, **arguments))
            time.sleep(draw.uniform(0, LONGEST_WAIT_S))
            assert front.state["task"] is not None, front.state["error"]
            pressed = time.monotonic()
            front.click("cancel")
            front.wait(lambda: front.state["task"] is None and front.state["status"] == "idle")
            said.append(time.monotonic() - pressed)
            assert kernel.value("analysis.wait(30)")
            ended.append(time.monotonic() - pressed)
        name = {"run_all": "'Test all'", "apply": "'Apply and retrain'"}[what]
        where = f"digits/lenet5, {CANCELS} cancels at random moments of {name}"
        yield Figure(f"{where}: said, p95", (percentile(said, 95),), ("<=", 100.0), "ms")
        yield Figure(f"{where}: said", tuple(1e3 * each for each in said), None, "ms")
        yield Figure(f"{where}: the last step has ended, p95", (percentile(ended, 95),), None, "ms", "as a cell sees it")
