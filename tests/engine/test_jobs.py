"""Background jobs: latest wins, interactive first, cancel between steps, errors stay in the job."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.jobs import Job, Jobs


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs("test")
    yield made
    made.close()


def endless(gate: threading.Event | None = None) -> Callable[[], Iterator[int]]:
    """A job that yields 0, 1, 2, ... until it is stopped."""

    def work() -> Iterator[int]:
        number = 0
        while True:
            if gate is not None:
                gate.wait(5)
            yield number
            number += 1

    return work


def test_items_arrive_in_order_and_then_done(jobs: Jobs) -> None:
    seen: list[object] = []
    job = jobs.submit("a", lambda: iter(range(4)), on_item=seen.append, on_done=lambda: seen.append("done"))
    assert job.wait(5)
    assert seen == [0, 1, 2, 3, "done"]
    assert job.status == "done"


def test_latest_wins_within_a_slot_and_the_old_one_delivers_nothing_more(jobs: Jobs) -> None:
    first_item = threading.Event()
    old: list[int] = []
    cancelled: list[bool] = []

    def note(item: int) -> None:
        old.append(item)
        first_item.set()

    first = jobs.submit("live", endless(), on_item=note, on_cancel=lambda: cancelled.append(True))
    assert first_item.wait(5)
    second = jobs.submit("live", lambda: iter([1]))
    count = len(old)
    assert second.wait(5) and first.wait(5)
    assert first.status == "superseded" and second.status == "done"
    assert len(old) <= count + 1  # at most the item that was being delivered while the new one came
    assert not cancelled
    assert second.generation == first.generation + 1


def test_a_job_in_another_slot_is_not_touched(jobs: Jobs) -> None:
    training = jobs.submit("task", endless())
    for _ in range(20):
        assert jobs.submit("live", lambda: iter([1, 2])).wait(5)
    assert jobs.running("task") is training
    assert training.active


def test_an_interactive_job_runs_before_a_long_one_and_the_long_one_goes_on(jobs: Jobs) -> None:
    order: list[str] = []
    started = threading.Event()

    def long() -> Iterator[str]:
        for _ in range(3):
            started.set()
            yield "long"

    gate = threading.Event()
    blocker = jobs.submit("block", lambda: (gate.wait(5) or i for i in range(1)))
    job = jobs.submit("task", long, on_item=order.append)
    quick = jobs.submit("live", lambda: iter(["quick"] * 3), on_item=order.append, interactive=True)
    gate.set()
    assert blocker.wait(5) and quick.wait(5) and job.wait(5)
    assert order == ["quick"] * 3 + ["long"] * 3


def test_cancel_drops_the_job_closes_its_generator_and_says_so(jobs: Jobs) -> None:
    released = threading.Event()
    said = threading.Event()
    running = threading.Event()

    def work() -> Iterator[None]:
        try:
            while True:
                running.set()
                yield None
        finally:
            released.set()

    job = jobs.submit("task", work, on_cancel=said.set)
    assert running.wait(5)
    job.cancel()
    assert job.wait(5) and released.is_set() and said.is_set()
    assert job.status == "cancelled"


def test_a_cancel_is_told_at_once_and_once_while_the_last_step_still_runs(jobs: Jobs) -> None:
    inside, gate = threading.Event(), threading.Event()
    told: list[str] = []

    def work() -> Iterator[str]:
        inside.set()
        assert gate.wait(10)
        yield "late"

    def submit() -> Job:
        return jobs.submit(
            "task",
            work,
            on_item=told.append,
            on_done=lambda: told.append("done"),
            on_cancel=lambda: told.append(f"cancelled in {threading.current_thread().name}"),
            keep=True,
        )

    job = submit()
    assert inside.wait(5)
    jobs.cancel("task")
    job.cancel()
    assert told == [f"cancelled in {threading.current_thread().name}"]
    assert job.active and job.stopping and jobs.running("task") is None
    again = submit()
    assert again is not job, "the slot is free before the old step has come back"
    gate.set()
    assert job.wait(5) and again.wait(5)
    assert (job.status, again.status) == ("cancelled", "done")
    assert told[1:] == ["late", "done"], "of the cancelled job nothing is delivered"


def test_a_cancel_while_an_item_is_delivered_is_told_after_it(jobs: Jobs) -> None:
    inside, gate = threading.Event(), threading.Event()
    told: list[object] = []

    def note(item: int) -> None:
        inside.set()
        assert gate.wait(10)
        told.append(item)

    job = jobs.submit("task", endless(), on_item=note, on_cancel=lambda: told.append("cancelled"))
    assert inside.wait(5)
    job.cancel()
    assert told == []
    gate.set()
    assert job.wait(5)
    assert told == [0, "cancelled"]


def test_what_is_done_is_not_cancelled_any_more(jobs: Jobs) -> None:
    told: list[str] = []
    job: list[Job] = []
    ready = threading.Event()

    def done() -> None:
        assert ready.wait(5)
        job[0].cancel()
        told.append("done")

    job.append(jobs.submit("task", lambda: iter([1]), on_done=done, on_cancel=lambda: told.append("cancelled")))
    ready.set()
    assert job[0].wait(5)
    job[0].cancel()
    assert told == ["done"] and job[0].status == "done"


def test_an_error_of_a_step_that_was_cancelled_is_not_told_but_kept(jobs: Jobs) -> None:
    inside, gate = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def work() -> Iterator[None]:
        inside.set()
        assert gate.wait(10)
        raise RuntimeError("too late")
        yield

    job = jobs.submit("task", work, on_error=errors.append)
    assert inside.wait(5)
    job.cancel()
    gate.set()
    assert job.wait(5)
    assert (job.status, str(job.error), errors) == ("cancelled", "too late", [])


def test_an_exception_ends_its_own_job_only(jobs: Jobs) -> None:
    errors: list[BaseException] = []

    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("boom")

    job = jobs.submit("task", broken, on_error=errors.append)
    assert job.wait(5)
    assert job.status == "failed" and str(errors[0]) == "boom"
    assert jobs.submit("task", lambda: iter([1])).wait(5)


def test_a_failing_hook_fails_the_job_and_leaves_the_worker_alive(jobs: Jobs) -> None:
    def bad(_: object) -> None:
        raise ValueError("hook")

    job = jobs.submit("a", lambda: iter([1, 2]), on_item=bad, on_error=bad)
    assert job.wait(5)
    assert job.status == "failed"
    assert jobs.submit("a", lambda: iter([1])).wait(5)


def test_keep_makes_a_double_click_one_job(jobs: Jobs) -> None:
    gate = threading.Event()
    first = jobs.submit("task", endless(gate), keep=True)
    assert jobs.submit("task", endless(gate), keep=True) is first
    gate.set()


def test_a_thousand_rapid_requests_end_with_the_last(jobs: Jobs) -> None:
    shown: list[int] = []
    last = None
    for number in range(1000):
        last = jobs.submit("live", lambda n=number: iter([n] * 3), on_item=shown.append, interactive=True)
    assert last is not None and last.wait(10)
    assert jobs.wait(5)
    assert shown[-3:] == [999] * 3
    assert shown == sorted(shown), "an older result was shown after a newer one"


def test_close_ends_the_thread_and_refuses_new_work() -> None:
    jobs = Jobs("closing")
    job = jobs.submit("task", endless())
    jobs.close()
    assert job.status == "cancelled"
    assert not [thread for thread in threading.enumerate() if thread.name == "closing-jobs"]
    with pytest.raises(InputError, match="closed"):
        jobs.submit("task", endless())


def test_an_ended_job_keeps_nothing_alive(jobs: Jobs) -> None:
    class Big:
        pass

    big = Big()
    seen = weakref.ref(big)

    def work(held: Big = big) -> Iterator[int]:
        yield id(held)

    job = jobs.submit("a", work, on_item=lambda _, held=big: None)
    assert job.wait(5) and jobs.wait(5)
    del big, work, job
    assert seen() is None


@pytest.mark.slow
def test_an_interpreter_that_ends_while_a_job_runs_ends_cleanly() -> None:
    """A daemon thread that is killed inside torch aborts the process; the worker is stopped before."""
    code = """
import torch
from nnwidgets.engine.jobs import Jobs
def work():
    net, x = torch.nn.Conv2d(8, 8, 3), torch.randn(16, 8, 64, 64)
    while True:
        net(x).sum().backward()
        yield
jobs = Jobs()
job = jobs.submit("task", work)
while job.status != "running":
    pass
print("bye")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "bye\n", "")


HOARD = """
import time
from pathlib import Path
from nnwidgets.engine import jobs as engine_jobs
from nnwidgets.engine.jobs import Jobs
RETURNS
def used():
    return int(next(line for line in Path("/proc/self/status").open() if line.startswith("VmRSS")).split()[1]) * 1024
kept = []
def work():
    blocks = [bytearray(60_000) for _ in range(2000)]
    kept.append(bytearray(60_000))  # stands above them in the heap of this thread
    yield
    del blocks
    yield
jobs, before = Jobs(), used()
for _ in range(2):  # the worker tidies up after the first before it begins the second
    jobs.submit("a", work)
    assert jobs.wait(30)
    jobs.submit("b", lambda: iter([1]))
    assert jobs.wait(30)
jobs.close()
print(used() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="malloc_trim is glibc's")
def test_memory_that_jobs_have_freed_goes_back_to_the_system() -> None:
    """120 MB of blocks below the one that is kept: the C library would hold on to them."""
    left = {}
    for name, code in (("given back", ""), ("kept", "engine_jobs.give_back = lambda: None")):
        ran = subprocess.run([sys.executable, "-c", HOARD.replace("RETURNS", code)], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        left[name] = int(ran.stdout)
    assert left["given back"] < 20e6 < left["kept"], left


def test_where_the_c_library_cannot_give_back_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    import nnwidgets.engine.jobs as module

    called: list[int] = []
    monkeypatch.setattr(module, "_trimmer", lambda: called.append)
    module.give_back()
    assert called == [0]
    monkeypatch.setattr(module, "_trimmer", lambda: None)
    module.give_back()
    assert called == [0]
