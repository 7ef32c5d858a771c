"""Work in steps: generators that return what they have made."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

__all__ = ["result_of", "retold"]

S = TypeVar("S")
T = TypeVar("T")


def result_of(steps: Generator[Any, None, T]) -> T:
    """Do all steps at once and return what they made."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made


def retold(steps: Generator[Any, None, T], say: Callable[[], S]) -> Generator[S, None, T]:
    """The same steps, each of which yields what ``say`` gives."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made
        yield say()
