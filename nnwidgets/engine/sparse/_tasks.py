"""Tasks for an executor: checked before they are sent, one at a time in a process, and none is begun after one has failed."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from typing import TypeVar

from nnwidgets.engine.errors import InputError

__all__ = ["ONE_AT_A_TIME", "check_executor", "finish"]

R = TypeVar("R")
ONE_AT_A_TIME = threading.Lock()
"""Held by a task that trains: threads share torch's random state, and seeds would not decide any more."""


def check_executor(executor: object, sent: object, name: str) -> Executor:
    """Return the executor.

    Args:
        sent: what goes to other processes with each task; name: it is called in a message.

    Raises:
        InputError: it is none, or ``sent`` cannot go to another process.
    """
    if not callable(getattr(executor, "submit", None)):
        raise InputError(f"executor: got {type(executor).__name__}, expected a concurrent.futures.Executor, or None.")
    if isinstance(executor, ProcessPoolExecutor):
        try:
            pickle.dumps(sent)
        except Exception as error:  # pickle raises whatever the parts raise
            raise InputError(
                f"executor: {name} cannot be sent to another process ({type(error).__name__}: {error}); define it in a module."
            ) from error
    return executor  # type: ignore[return-value]


def finish(begun: Iterable[Future[R]], then: Callable[[Future[R]], Iterable[Future[R]]]) -> None:
    """Wait for tasks in the order in which they end; if one fails, or the wait is interrupted, those that wait are not begun.

    Args:
        begun: tasks, submitted as they are asked for. then: takes one that has ended, and returns those that come after it.
    """
    waiting: set[Future[R]] = set()
    try:
        for future in begun:
            waiting.add(future)
        while waiting:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ended:
                waiting |= set(then(future))
    except BaseException:
        for future in waiting:
            future.cancel()
        raise
