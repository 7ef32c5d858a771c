"""Background work that keeps a kernel usable: named slots, latest wins, cancel, no framework.

One worker thread steps generators in turn, so that two jobs never fight for the cores. A job is a generator that yields after at
most about 20 ms of work: between two steps it can be cancelled, replaced or put aside for an interactive one.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nnwidgets.engine.errors import InputError

__all__ = ["Job", "Jobs", "give_back"]

_TIDY_SECONDS = 0.5  # between two times that memory is given back while long jobs run
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
        self._deciding = threading.Lock()
        self._fate: str | None = None  # how it ends: whoever decides first, the worker or somebody who stops it
        self._delivering = False
        self._ended = threading.Event()

    @property
    def active(self) -> bool:
        """True until the job has ended in any way."""
        return not self._ended.is_set()

    @property
    def stopping(self) -> bool:
        """True once it was cancelled or replaced, even if its last step has not come back yet."""
        return self._fate in ("cancelled", "superseded")

    def cancel(self) -> None:
        """Say that it is cancelled, and ask for its end. Returns at once; what its last step still does is dropped.

        A job that was done, or stopped, before stays so.
        """
        hooks = self._hooks  # the worker may end the job, and forget them, meanwhile
        if self._decide("cancelled"):
            self._tell_cancelled(hooks)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended. Returns False if ``timeout`` seconds passed first. Not to be called from a job."""
        return self._ended.wait(timeout)

    def _decide(self, fate: str) -> bool:
        """Fix how it ends, if nobody has yet. Returns True if that has to be told now, False if it is told elsewhere."""
        with self._deciding:
            if self._fate is not None:
                return False
            self._fate = fate
            return not self._delivering  # else the worker tells it, after the item: the news of the end comes last

    @property
    def _cancelled(self) -> bool:
        return self._fate == "cancelled"

    def _step(self) -> None:
        """Do one step in the worker thread and call the hooks that follow from it."""
        try:
            if self._fate is None:
                if self._steps is None:
                    self.started, self.status = time.monotonic(), "running"
                    self._steps = iter(self._work())
                self._deliver(next(self._steps))
        except StopIteration:
            self._decide("done")
        except BaseException as error:  # whatever a job raises is the job's own failure, never the worker's
            self.error = error
            self._decide("failed")
        if self._fate is not None:
            self._end(self._fate)

    def _deliver(self, item: Any) -> None:
        with self._deciding:
            if self._fate is not None:
                return
            self._delivering = True
        try:
            _call(self._hooks["on_item"], item)
        finally:
            with self._deciding:
                self._delivering = False
            if self._cancelled:
                self._tell_cancelled(self._hooks)

    def _tell_cancelled(self, hooks: dict[str, Any]) -> None:
        try:
            _call(hooks["on_cancel"])
        except BaseException as error:
            self.error = error
            self._tell_error(hooks)

    def _tell_error(self, hooks: dict[str, Any]) -> None:
        try:
            _call(hooks["on_error"], self.error)
        except BaseException as error:  # the hook that reports errors failed itself: keep both for whoever asks the job
            error.__context__ = self.error
            self.error = error

    def _end(self, status: str) -> None:
        try:
            close = getattr(self._steps, "close", None)
            if close is not None:
                close()
            if status == "done":
                _call(self._hooks["on_done"])
        except BaseException as error:
            self.error, status = error, "failed"
        if status == "failed":
            self._tell_error(self._hooks)
        self.status = status
        self._hooks, self._steps = {}, None  # free what the job held
        self._ended.set()


def give_back() -> None:
    """Return freed memory to the system: the C library of Linux (glibc) keeps it, for each thread apart. Elsewhere does nothing.

    A tenth of a millisecond where there is nothing to return, ten for 100 MB. Of an explorer of EfficientNet-Lite0 it is 130 MB
    after some images, 170 MB after a pass over a sample.
    """
    trim = _trimmer()
    if trim is not None:
        trim(0)


@functools.cache
def _trimmer() -> Callable[[int], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[[int], object] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except OSError:
        return None
    return found


def _call(hook: Callable[..., Any] | None, *arguments: Any) -> None:
    if hook is not None:
        hook(*arguments)


class Jobs:
    """Named slots for background work.

    Within a slot the latest job wins. Interactive jobs run before long ones, which are put aside meanwhile and go on afterwards.
    """

    def __init__(self, name: str = "nnwidgets") -> None:
        self._name = name
        # Held through the lock itself: an interrupt that strikes inside Condition.__enter__ would leave it taken for ever.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
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
            on_item, on_done, on_error: called in the worker thread; at most one of the latter two, and then last. After a job is
                cancelled or replaced no further item of it is delivered.
            on_cancel: called at once by whoever cancels, before ``cancel`` returns; while an item is being delivered, by the
                worker right after it. The slot is free for another job then, even if the last step has not come back yet.
            interactive: run before jobs that are not.

        Raises:
            InputError: after ``close``.
        """
        with self._lock:
            if self._closed:
                raise InputError(f"these jobs are closed; got new work for slot {slot!r}. Make a new Experiment to go on.")
            for job in self._queue:
                if job.slot == slot and not job.stopping:
                    if keep:
                        return job
                    job._decide("superseded")
            generation = self._generations[slot] = self._generations.get(slot, 0) + 1
            hooks = {"on_item": on_item, "on_done": on_done, "on_error": on_error, "on_cancel": on_cancel}
            job = Job(slot, generation, work, hooks, interactive)
            self._queue.append(job)
            self._wake()
            return job

    def cancel(self, slot: str | None = None) -> None:
        """Cancel the job in ``slot``, or all jobs. Returns at once."""
        with self._lock:
            chosen = [job for job in self._queue if slot is None or job.slot == slot]
            self._changed.notify_all()
        for job in chosen:  # not under the lock: their hooks are called here
            job.cancel()

    def running(self, slot: str) -> Job | None:
        """The job in ``slot`` that is queued or running and not about to end, else None."""
        with self._lock:
            return next((job for job in self._queue if job.slot == slot and not job.stopping), None)

    def wait(self, timeout: float | None = None, slot: str | None = None) -> bool:
        """Wait until nothing is queued or running (in ``slot``). Returns False if ``timeout`` seconds passed first."""

        def at_rest() -> bool:
            return not any(slot is None or job.slot == slot for job in self._queue)

        with self._lock:
            return self._changed.wait_for(at_rest, timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Cancel everything and end the worker thread."""
        with self._lock:
            self._closed = True
            left = list(self._queue)
            self._changed.notify_all()
            thread = self._thread
        for job in left:
            job.cancel()
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
        tidied = time.monotonic()
        while True:
            with self._lock:
                if not self._queue:
                    self._changed.wait_for(lambda: bool(self._queue) or self._closed, _IDLE_SECONDS)
                job = self._next()
                if job is None:
                    self._thread = None
                    atexit.unregister(self.close)
                    return
            job._step()
            with self._lock:
                if not job.active:
                    self._queue.remove(job)
                    self._changed.notify_all()
                elif not job.interactive:  # long jobs take turns
                    self._queue.remove(job)
                    self._queue.append(job)
                at_rest = not self._queue
            del job  # an idle worker keeps no job, and so no model, alive
            if at_rest or time.monotonic() - tidied > _TIDY_SECONDS:
                give_back()
                tidied = time.monotonic()
