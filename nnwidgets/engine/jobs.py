"""Background work that keeps a kernel usable: named slots, latest wins, cancel, no framework.

One worker thread steps generators in turn, so that two jobs never fight for the cores. A job is a generator that yields after at
most about 20 ms of work: between two steps it can be cancelled, replaced or put aside for an interactive one.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nnwidgets.engine.errors import InputError

__all__ = ["Job", "Jobs"]

_IDLE_SECONDS = 2.0  # the worker ends itself after so long without work, so that an idle kernel holds no thread


class Job:
    """One run of a generator in a slot.

    Attributes:
        slot: name of its slot; generation: number within the slot, counted up.
        status: queued, running, done, failed, cancelled or superseded.
        error: the exception that ended it, else None.
        started: ``time.monotonic()`` of its first step, else None.
    """

    def __init__(
        self, slot: str, generation: int, work: Callable[[], Iterator[Any]], hooks: dict[str, Any], interactive: bool
    ) -> None:
        self.slot, self.generation, self.interactive = slot, generation, interactive
        self.status = "queued"
        self.error: BaseException | None = None
        self.started: float | None = None
        self._work, self._hooks = work, hooks
        self._steps: Iterator[Any] | None = None
        self._stop: str | None = None
        self._ended = threading.Event()

    @property
    def active(self) -> bool:
        """True until the job has ended in any way."""
        return not self._ended.is_set()

    @property
    def stopping(self) -> bool:
        """True once it was cancelled or replaced, even if its last step has not come back yet."""
        return self._stop is not None

    def cancel(self) -> None:
        """Ask for its end; what it did so far is dropped. Returns at once."""
        self._stop = self._stop or "cancelled"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended. Returns False if ``timeout`` seconds passed first. Not to be called from a job."""
        return self._ended.wait(timeout)

    def _step(self) -> None:
        """Do one step in the worker thread and call the hooks that follow from it."""
        try:
            if self._stop is None:
                if self._steps is None:
                    self.started, self.status = time.monotonic(), "running"
                    self._steps = iter(self._work())
                item = next(self._steps)
                if self._stop is None:
                    self._call("on_item", item)
            if self._stop is not None:
                self._end(self._stop)
        except StopIteration:
            self._end(self._stop or "done")
        except BaseException as error:  # whatever a job raises is the job's own failure, never the worker's
            self.error = error
            self._end("failed")

    def _call(self, name: str, *arguments: Any) -> None:
        hook = self._hooks.get(name)
        if hook is not None:
            hook(*arguments)

    def _end(self, status: str) -> None:
        try:
            close = getattr(self._steps, "close", None)
            if close is not None:
                close()
            if status == "done":
                self._call("on_done")
            elif status == "cancelled":
                self._call("on_cancel")
        except BaseException as error:
            self.error, status = error, "failed"
        if status == "failed":
            try:
                self._call("on_error", self.error)
            except BaseException as error:  # the hook that reports errors failed itself: keep both for whoever asks the job
                error.__context__ = self.error
                self.error = error
        self.status = status
        self._hooks, self._steps = {}, None  # free what the job held
        self._ended.set()


class Jobs:
    """Named slots for background work.

    Within a slot the latest job wins. Interactive jobs run before long ones, which are put aside meanwhile and go on afterwards.
    """

    def __init__(self, name: str = "nnwidgets") -> None:
        self._name = name
        self._changed = threading.Condition()
        self._queue: list[Job] = []
        self._generations: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(
        self,
        slot: str,
        work: Callable[[], Iterator[Any]],
        *,
        on_item: Callable[[Any], None] | None = None,
        on_done: Callable[[], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        on_cancel: Callable[[], None] | None = None,
        interactive: bool = False,
        keep: bool = False,
    ) -> Job:
        """Put work into a slot and return at once.

        Args:
            slot: name; a job already in it is superseded, or, with ``keep``, kept and returned (a double click starts one job).
            work: called in the worker thread; returns an iterator that yields at least every 20 ms of work.
            on_item, on_done, on_error, on_cancel: called in the worker thread. After a job is cancelled or replaced no further
                item of it is delivered.
            interactive: run before jobs that are not.

        Raises:
            InputError: after ``close``.
        """
        with self._changed:
            if self._closed:
                raise InputError(f"these jobs are closed; got new work for slot {slot!r}. Make a new Experiment to go on.")
            for job in self._queue:
                if job.slot == slot and not job.stopping:
                    if keep:
                        return job
                    job._stop = "superseded"
            generation = self._generations[slot] = self._generations.get(slot, 0) + 1
            hooks = {"on_item": on_item, "on_done": on_done, "on_error": on_error, "on_cancel": on_cancel}
            job = Job(slot, generation, work, hooks, interactive)
            self._queue.append(job)
            self._wake()
            return job

    def cancel(self, slot: str | None = None) -> None:
        """Cancel the job in ``slot``, or all jobs. Returns at once."""
        with self._changed:
            for job in self._queue:
                if slot is None or job.slot == slot:
                    job.cancel()
            self._changed.notify_all()

    def running(self, slot: str) -> Job | None:
        """The job in ``slot`` that is queued or running and not about to end, else None."""
        with self._changed:
            return next((job for job in self._queue if job.slot == slot and not job.stopping), None)

    def wait(self, timeout: float | None = None, slot: str | None = None) -> bool:
        """Wait until nothing is queued or running (in ``slot``). Returns False if ``timeout`` seconds passed first."""

        def at_rest() -> bool:
            return not any(slot is None or job.slot == slot for job in self._queue)

        with self._changed:
            return self._changed.wait_for(at_rest, timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Cancel everything and end the worker thread."""
        with self._changed:
            self._closed = True
            for job in self._queue:
                job.cancel()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"{self._name}-jobs", daemon=True)
            self._thread.start()
            atexit.register(self.close)  # a thread that is killed inside torch takes the interpreter down with it
        self._changed.notify_all()

    def _next(self) -> Job | None:
        """The job to step now: one that has to end, else the newest interactive one, else the longest waiting."""
        ending = next((job for job in self._queue if job.stopping), None)
        return ending or next((job for job in reversed(self._queue) if job.interactive), None) or next(iter(self._queue), None)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._changed.wait_for(lambda: bool(self._queue) or self._closed, _IDLE_SECONDS)
                job = self._next()
                if job is None:
                    self._thread = None
                    atexit.unregister(self.close)
                    return
            job._step()
            with self._changed:
                if not job.active:
                    self._queue.remove(job)
                    self._changed.notify_all()
                elif not job.interactive:  # long jobs take turns
                    self._queue.remove(job)
                    self._queue.append(job)
            del job  # an idle worker keeps no job, and so no model, alive
