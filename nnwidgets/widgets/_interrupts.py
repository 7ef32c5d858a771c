"""An interrupt (the Stop button) waits for a few lines that must not be left in the middle, and strikes right after them.

Python raises KeyboardInterrupt between any two operations of the main thread: also after a lock was taken and before anything
watches over giving it back, or between a request that was noted and the job that shall see to it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["interrupts_allowed", "uninterrupted"]


class _Held:
    """What is held back in the main thread, the only one that interrupts strike."""

    handler: Any = None  # the one that is put aside
    waiting = False


def _note(number: int, frame: FrameType | None) -> None:
    _Held.waiting = True


def _holding() -> bool:
    return signal.getsignal(signal.SIGINT) is _note


class uninterrupted:  # noqa: N801  used like a function
    """Hold interrupts back for the block, which must be short. Blocks may lie in each other; other threads pass through."""

    _outermost = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if handler is None or handler is _note or handler is signal.SIG_IGN:
            return
        _Held.handler = handler
        self._outermost = True  # before the next line: from there on nothing strikes until the end of the block
        signal.signal(signal.SIGINT, _note)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._outermost:
            signal.signal(signal.SIGINT, _Held.handler)
            _strike()


class interrupts_allowed:  # noqa: N801
    """Let interrupts strike in the block though it lies in one that holds them back: for code that is not ours."""

    _holding = False

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and _holding():
            self._holding = True
            signal.signal(signal.SIGINT, _Held.handler)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._holding:
            signal.signal(signal.SIGINT, _note)


def _strike() -> None:
    if _Held.waiting:
        _Held.waiting = False
        signal.raise_signal(signal.SIGINT)
