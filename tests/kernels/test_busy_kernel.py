"""Interrupts, Cancel, failing jobs, cells that run meanwhile or again: FAULTS.md rows 8-14 and 48, in a real kernel."""

from __future__ import annotations

import time

import pytest
from wire import Front, Kernel

BUSY_S = 3.0
BUSY_CELL = f"began = time.monotonic()\nwhile time.monotonic() < began + {BUSY_S}: time.sleep(0.001)"


def fine_tune(front: Front) -> None:
    """Start fine-tuning that takes minutes and wait until it has made some steps."""
    front.handled(front.update(epochs=50))
    front.handled(front.click("fine_tune"))
    front.wait(lambda: front.state["task"] and front.state["task"]["progress"] > 0)


def cancelled(front: Front) -> float:
    """Press Cancel and wait until it is said that nothing was changed; returns the seconds that it took."""
    pressed = time.monotonic()
    front.click("cancel")
    front.wait(lambda: front.state["task"] is None and front.state["last_task"])
    assert front.state["last_task"] == {"text": "cancelled: nothing was changed", "role": "muted"}
    return time.monotonic() - pressed


def moves(kernel: Kernel, front: Front, share: float = 0.5) -> None:
    """A move still gives the engine's own figures."""
    front.update(sparsity=share)
    front.wait_idle(sparsity=share, error=None)
    assert front.raw("accuracy") == kernel.value("E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy")
    assert kernel.value("lab.experiment.recipe.pruning.amount") == share


def test_row_8_an_observer_that_raises_is_shown_and_the_others_run(kernel: Kernel, front: Front) -> None:
    kernel.run("heard = []\ndef bad(change): raise RuntimeError('mine')")
    kernel.run("lab.observe(bad, 'sparsity'); lab.observe(lambda change: heard.append(change['new']), 'sparsity')")
    front.handled(front.update(sparsity=0.5))
    front.wait(lambda: front.state["status"] == "error")
    assert "mine" in front.state["error"]["message"] and "bad" in front.state["error"]["traceback"]
    assert kernel.value("heard") == [0.5]
    kernel.run("lab.unobserve(bad, 'sparsity')")
    front.handled(front.click("dismiss"))
    moves(kernel, front, 0.75)
    assert kernel.value("heard") == [0.5, 0.75]


BREAK = """
plan = type(lab.experiment.bench(None).plan)
kept = plan.load
def broken(*arguments, **named): raise RuntimeError('broken on purpose')
plan.load = broken
"""


def test_row_9_a_failing_job_shows_retry_and_applies_nothing_by_halves(kernel: Kernel, front: Front) -> None:
    kernel.run(BREAK)
    front.handled(front.update(sparsity=0.5))
    front.wait(lambda: front.state["status"] == "error" and front.state["error"])
    assert front.state["error"]["retry"] and "broken on purpose" in front.state["error"]["message"]
    kernel.run("plan.load = kept")
    front.handled(front.click("retry"))
    front.wait_idle(sparsity=0.5, error=None)
    moves(kernel, front)


def test_row_9_fine_tuning_that_fails_in_the_middle_changes_nothing(kernel: Kernel, front: Front) -> None:
    kernel.run("calls = []\ndef loss(out, y):\n calls.append(1)\n if len(calls) > 5: raise RuntimeError('in the middle')")
    kernel.run("good = loss\ndef loss(out, y): good(out, y); return torch.nn.functional.cross_entropy(out, y)")
    kernel.run("lab.experiment.loss = loss; before = lab.experiment.state")
    front.handled(front.click("fine_tune"))
    front.wait(lambda: front.state["status"] == "error")
    assert "in the middle" in front.state["error"]["message"] and front.state["error"]["retry"]
    assert kernel.value("[lab.experiment.state == before, len(lab.experiment.attempts), len(calls)]") == [True, 0, 6]
    kernel.run("lab.experiment.loss = None")
    front.handled(front.update(epochs=1))
    front.handled(front.click("retry"))
    front.wait_idle(error=None)
    assert front.state["last_task"]["role"] == "good" and kernel.value("len(lab.experiment.attempts)") == 1


def test_row_10_an_interrupt_during_a_job_changes_nothing(kernel: Kernel, front: Front) -> None:
    fine_tune(front)
    for _ in range(5):
        kernel.interrupt()
        time.sleep(0.02)
    cancelled(front)
    front.update(sparsity=0.31)
    kernel.interrupt()
    front.wait_idle()
    moves(kernel, front)


def test_row_10_an_interrupted_cell_leaves_network_and_widget_as_they_were(kernel: Kernel, front: Front) -> None:
    setup = "E.TrainingSetup(epochs=50)"
    for code in ("lab.experiment.fine_tune({})", "[E.evaluate(lab.experiment.model, lab.experiment.test) for _ in range(10**6)]"):
        cell = kernel.start("began = True\n" + code.format(setup))
        time.sleep(1.0)
        kernel.interrupt()
        ended = kernel.reply(cell)
        assert (ended.status, ended.error.split(":")[0]) == ("error", "KeyboardInterrupt")
        moves(kernel, front, 0.25 if "evaluate" in code else 0.75)
    assert kernel.value("len(lab.experiment.attempts)") == 0


RAIN = """
import _thread
inside = False
def rain():
    for _ in range(60):
        time.sleep(0.011)
        if inside: _thread.interrupt_main()
rainer, step = threading.Thread(target=rain), 0
rainer.start()
while rainer.is_alive():
    try:
        inside = True
        while rainer.is_alive():
            step = step + 1
            lab.sparsity = step % 90 / 100
        inside = False
    except KeyboardInterrupt:
        inside = False
        interrupts = interrupts + 1
"""


def test_row_10_interrupts_that_rain_on_a_cell_leave_the_wire_free(kernel: Kernel, front: Front) -> None:
    """Each may strike while the cell holds the lock of the widget; none strikes the kernel itself."""
    kernel.run("interrupts = 0")
    while kernel.value("interrupts") < 20:
        kernel.run(RAIN)
    front.wait_idle(sparsity=kernel.value("lab.sparsity"))
    kernel.run("heard = []; lab.observe(lambda change: heard.append(change['new']), 'sparsity')")
    moves(kernel, front, 0.123)
    kernel.run("lab.sparsity = 0.5; assert lab.wait(60)")
    assert kernel.value("heard") == [0.123, 0.5]
    front.wait_idle(sparsity=0.5)


def test_row_11_cancel_works_where_an_interrupt_does_not_arrive(kernel: Kernel, front: Front) -> None:
    fine_tune(front)
    before = kernel.value("lab.experiment.jobs.running('task').generation")
    kernel.interrupt()
    assert kernel.value("lab.experiment.jobs.running('task').generation") == before, "the interrupt does not reach the job"
    assert cancelled(front) < 2.0
    assert kernel.value("[len(lab.experiment.history), lab.experiment.jobs.running('task')]") == [1, None]
    moves(kernel, front)


@pytest.mark.parametrize("subshell", [True, False], ids=["in a subshell", "behind the cell"])
def test_row_12_cancel_while_a_cell_runs(kernel: Kernel, front: Front, subshell: bool) -> None:
    """At once where the front end speaks to a subshell (JupyterLab 4.4, ipykernel 7); else when the cell has ended."""
    if subshell and not kernel.subshells:
        assert kernel.widget_shell() is None  # ipykernel 6: only the other case
        return
    if not subshell:
        front.subshell = None
    fine_tune(front)
    cell = kernel.start(BUSY_CELL)
    time.sleep(0.3)
    waited = cancelled(front)
    assert kernel.reply(cell).status == "ok"
    assert waited < BUSY_S - 1 if subshell else waited > BUSY_S - 1
    moves(kernel, front)


def test_row_12_a_cell_may_wait_while_the_front_end_moves(kernel: Kernel, front: Front) -> None:
    cell = kernel.start("lab.sparsity = 0.4\nwaited = [lab.wait(20) for _ in range(20)]")
    for step in range(20):
        front.update(learning_rate=0.001 * (step + 1), epochs=step + 1)
    assert kernel.reply(cell).status == "ok" and kernel.value("all(waited)")
    front.wait_idle(sparsity=0.4, epochs=20, learning_rate=0.02)
    moves(kernel, front)


def test_row_13_a_double_click_starts_one_job(kernel: Kernel, front: Front) -> None:
    front.handled(front.update(epochs=50))
    for _ in range(2):
        front.click("fine_tune")
    front.wait(lambda: front.state["task"])
    front.handled(front.click("fine_tune"))
    assert kernel.value("[lab.experiment.jobs.running('task').generation, lab.experiment.jobs._generations['task']]") == [1, 1]
    cancelled(front)
    assert kernel.value("lab.wait(10) and lab.experiment.jobs.running('task') is None"), "no second one comes after it"


def test_row_14_the_cell_again_ends_the_old_job_and_frees_its_memory(kernel: Kernel, front: Front) -> None:
    cell = "kept = nw.CompressionLab(nw.load_example('digits/lenet300')); kept"
    kernel.run(cell, cell="again")
    first = kernel.newest()
    first.handled(first.update(epochs=50, sparsity=0.5))
    fine_tune(first)
    kernel.run(
        "job = kept.experiment.jobs.running('task'); copies = weakref.ref(kept.experiment.bench(None).quick.network); old = kept"
    )
    kernel.run(cell, cell="again")
    second = kernel.newest()
    assert first.closed and not second.closed and not front.closed
    assert kernel.value("[job.wait(10), job.status]") == [True, "cancelled"]
    kernel.run("assert old.wait(10); gc.collect()")
    assert kernel.value("copies() is None"), "freed although the notebook still names the first lab"
    second.update(sparsity=0.5)
    second.wait_idle(sparsity=0.5)
    kernel.run("kept.close(); kept.experiment.close(); del kept, old, job")


def test_row_14_running_a_cell_again_while_it_measures_keeps_no_copy(kernel: Kernel) -> None:
    kernel.run("made = []")
    for _ in range(6):
        kernel.run(
            "kept = nw.CompressionLab(nw.load_example('digits/lenet300')); made.append(weakref.ref(kept.experiment))", "many"
        )
    kernel.run("assert kept.wait(30); time.sleep(0.1); gc.collect()")
    assert kernel.value("[ref() is None for ref in made]") == [True] * 5 + [False]
    kernel.run("kept.close(); kept.experiment.close(); del kept")


def test_row_48_close_leaves_no_widget_thread_hook_or_memory(kernel: Kernel, front: Front) -> None:
    kernel.run("gc.collect(); threads = {t.ident for t in threading.enumerate()}", timeout=20)
    kernel.run("exp = nw.load_example('digits/lenet300'); doomed = nw.CompressionLab(exp); assert doomed.wait(60)", cell="close")
    doomed = kernel.newest()
    doomed.update(sparsity=0.5)
    doomed.wait_idle(sparsity=0.5)
    doomed.update(epochs=50)
    fine_tune(doomed)
    kernel.run("job, gone, copies = exp.jobs.running('task'), weakref.ref(doomed), weakref.ref(exp.bench(None).quick.network)")
    kernel.run("doomed.close(); exp.close(); del doomed")
    assert doomed.closed and kernel.value("job.status") == "cancelled"
    kernel.run(
        "job = None; hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in exp.model.modules()); gc.collect()"
    )
    assert kernel.value("[gone() is None, copies() is None, hooks]") == [True, True, 0]
    assert kernel.value("[t.name for t in threading.enumerate() if t.ident not in threads and 'subshell' not in t.name]") == []
    doomed.handled(doomed.update(sparsity=0.9))  # a front end that has not heard of it
    assert not [name for name in doomed.state if name == "sparsity" and doomed.state[name] == 0.9]
