"""The error analysis in real kernels: random messages, interrupts, Cancel while a cell runs; FAULTS.md rows 4 and 10-13."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from random_messages import ANALYSIS, messages
from wire import Front, Kernel

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.diagnosis.evidence import ALL

IN_PROCESS, ON_THE_WIRE = 12_000, 1_500
BUSY_S = 2.0
BUSY_CELL = f"began = time.monotonic()\nwhile time.monotonic() < began + {BUSY_S}: time.sleep(0.001)"
QUICK = "tuple(test for test in __import__('nnwidgets.engine.diagnosis.evidence', fromlist=['ALL']).ALL if test.seconds < 0.2)"


@pytest.fixture
def analysis(kernel: Kernel) -> Iterator[Front]:
    """An analysis of LeNet-300-100 in the shared kernel, at rest, as its front end sees it. In the kernel it is ``analysis``."""
    kernel.run(f"analysis = nw.ErrorAnalysis(nw.load_example('digits/lenet300'), tests={QUICK}); assert analysis.wait(60)")
    made = kernel.newest("flow")
    kernel.run("print_of = E.fingerprint(analysis.experiment.model)")
    yield made
    unchanged = kernel.value("print_of == E.fingerprint(analysis.experiment.model)")
    kernel.run("analysis.close(); analysis.experiment.close(); del analysis")
    assert unchanged, "the user's network was changed"


def applying(front: Front) -> None:
    """Begin an action that trains for a minute and wait until it is at work."""
    front.handled(front.update(seeds=10))
    front.handled(front.click("apply", remedy="decay"))
    front.wait(lambda: front.state["task"] and "pair" in front.state["task"]["text"])


def cancelled(front: Front) -> float:
    """Press Cancel and wait until it is said that nothing was changed; returns the seconds that it took."""
    pressed = time.monotonic()
    front.click("cancel")
    front.wait(lambda: front.state["task"] is None and front.state["last_task"])
    assert front.state["last_task"]["text"].endswith("cancelled; nothing was changed") and front.state["status"] == "idle"
    return time.monotonic() - pressed


def works(kernel: Kernel, front: Front, goal: float = 0.2) -> None:
    """Nothing is half-applied, and tests, goal and panels still give the engine's own."""
    front.wait_idle(error=None)
    assert [each["verdict"] for each in front.state["track"]] == ["start"]
    front.update(goal=goal, panel="confusion", sample="test")
    front.handled(front.click("run_leaf", leaf="preprocessing"))
    front.wait_idle(error=None, goal=goal)
    own = "E.evaluate(analysis.experiment.model, {})"
    looked_at = "analysis._analysis.findings.context.splits['test']"  # panels show at most 2,000 images
    assert front.state["e_test"] == pytest.approx(kernel.value(own.format("analysis.experiment.test") + ".error"))
    assert front.state["board"]["matrix"]["counts"] == kernel.value(own.format(looked_at) + ".confusion.tolist()")
    assert kernel.value("analysis.diagnosis.branch == analysis.branch == 'goal_met' and analysis.experiment.goal") == goal


def test_row_10_an_interrupt_during_an_action_changes_nothing(kernel: Kernel, analysis: Front) -> None:
    applying(analysis)
    for _ in range(5):
        kernel.interrupt()
        time.sleep(0.02)
    cancelled(analysis)
    works(kernel, analysis)


def test_row_11_cancel_works_where_an_interrupt_does_not_arrive(kernel: Kernel, analysis: Front) -> None:
    applying(analysis)
    before = kernel.value("analysis.experiment.jobs.running(analysis._slot).generation")
    kernel.interrupt()
    assert kernel.value("analysis.experiment.jobs.running(analysis._slot).generation") == before
    assert cancelled(analysis) < 2.0
    assert kernel.value("analysis.wait(10) and analysis.experiment.jobs.running(analysis._slot) is None")
    works(kernel, analysis)


@pytest.mark.parametrize("subshell", [True, False], ids=["in a subshell", "behind the cell"])
def test_row_12_cancel_while_a_cell_runs(kernel: Kernel, analysis: Front, subshell: bool) -> None:
    """At once where the front end speaks to a subshell (JupyterLab 4.4, ipykernel 7); else when the cell has ended."""
    if subshell and not kernel.subshells:
        assert kernel.widget_shell() is None  # ipykernel 6: only the other case
        return
    if not subshell:
        analysis.subshell = None
    applying(analysis)
    cell = kernel.start(BUSY_CELL)
    time.sleep(0.3)
    waited = cancelled(analysis)
    assert kernel.reply(cell).status == "ok"
    assert waited < BUSY_S - 1 if subshell else waited > BUSY_S - 1
    works(kernel, analysis)


def test_row_13_a_double_click_starts_one_job(kernel: Kernel, analysis: Front) -> None:
    before = kernel.value("analysis.experiment.jobs._generations[analysis._slot]")
    for _ in range(3):
        analysis.click("apply", remedy="decay")
    analysis.wait(lambda: analysis.state["task"])
    analysis.handled(analysis.click("run_all"))
    assert kernel.value("analysis.experiment.jobs._generations[analysis._slot]") == before + 1
    cancelled(analysis)
    works(kernel, analysis)


def test_row_12_a_cell_may_drive_it_and_wait_while_the_front_end_moves(kernel: Kernel, analysis: Front) -> None:
    cell = kernel.start("analysis.run_all(); waited = [analysis.wait(20) for _ in range(10)]; analysis.goal = 0.3")
    for step in range(20):
        analysis.update(goal=0.01 + 0.001 * step, selected=("labels", "start")[step % 2])
    assert kernel.reply(cell).status == "ok" and kernel.value("all(waited)")
    analysis.wait_idle(error=None)
    assert analysis.state["goal"] == kernel.value("analysis.experiment.goal")
    works(kernel, analysis)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[bytes]]]:
    """An analysis in this process whose messages have to be JSON in UTF-8 without NaN; and what it said last."""
    log, sent, unraised = logging.getLogger("nnwidgets"), [b""], []
    log.propagate = False
    made = nw.ErrorAnalysis(nw.load_example("digits/lenet300"), tests=ALL[:8])
    assert made.wait(60)

    def send(message: dict[str, Any], buffers: object = None) -> None:
        state = {name: value for name, value in (message.get("state") or {}).items() if name not in ("_esm", "_css")}
        sent[:] = [json.dumps({**message, "state": state}, allow_nan=False, ensure_ascii=False, default=str).encode()]

    monkeypatch.setattr(made, "_send", send)
    monkeypatch.setattr(threading, "excepthook", unraised.append)
    yield made, sent
    made.close()
    made.experiment.close()
    log.propagate = True
    assert not unraised, "a thread died"


def test_row_4_12_000_random_messages_are_handled(in_process: tuple[Any, list[bytes]]) -> None:
    widget, sent = in_process
    before, code = E.fingerprint(widget.experiment.model), widget._esm
    handled = 0
    for message in messages(3, IN_PROCESS, ANALYSIS):
        widget._handle_msg(message)
        handled += 1
    assert handled == IN_PROCESS and sent != [b""]
    for command in ("cancel", "end_practice", "reveal", "dismiss"):
        widget._handle_msg({"content": {"data": {"method": "custom", "content": {"kind": "command", "name": command}}}})
    assert widget.wait(120), "the worker came to rest"
    for name in widget.writable:
        widget.traits()[name]._validate(widget, getattr(widget, name))
    calm = {"goal": 0.2, "panel": "confusion", "sample": "test", "selected": "start"}
    widget._handle_msg({"content": {"data": {"method": "update", "state": calm}}})
    widget.adopt(0)
    assert widget.wait(60)
    widget.clear_error()
    looked_at = widget._analysis.findings.context.splits["test"]  # panels show at most 2,000 images
    all_of_it, own = (E.evaluate(widget.experiment.model, split) for split in (widget.experiment.test, looked_at))
    assert widget.e_test == pytest.approx(all_of_it.error) and widget.board["matrix"]["counts"] == own.confusion.tolist()
    assert (E.fingerprint(widget.experiment.model), widget._esm, widget.status) == (before, code, "idle")


def test_row_4_1_500_random_messages_through_the_wire(kernel: Kernel, analysis: Front) -> None:
    """A cell is answered while they come and after them."""
    said = len(kernel.said)
    for number, message in enumerate(messages(4_712, ON_THE_WIRE, ANALYSIS)):
        last = analysis.send(message["content"].get("data"), buffers=message["buffers"])
        if number == ON_THE_WIRE // 2:
            assert kernel.value("1 + 1") == 2
    analysis.handled(last, timeout=120)
    for command in ("cancel", "end_practice", "reveal", "dismiss"):
        analysis.handled(analysis.click(command))
    assert kernel.value("analysis.wait(120)", 130)
    analysis.handled(analysis.click("adopt", id=0))
    assert kernel.value("analysis.wait(60)", 70)
    analysis.handled(analysis.click("dismiss"))
    analysis.update(goal=0.2, panel="confusion", sample="test")
    analysis.wait_idle(goal=0.2, error=None)
    seen = "analysis._analysis.findings.context.splits['test']"
    own = kernel.value(f"E.evaluate(analysis.experiment.model, {seen}).confusion.tolist()")
    assert analysis.state["board"]["matrix"]["counts"] == own
    assert "ErrorAnalysis: refused" in kernel.said[said:] and "Traceback" not in kernel.said[said:]
