"""Checks of what long experiments are given."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

__all__ = ["check_labelled", "check_setup", "several", "whole", "whole_seeds"]

H = TypeVar("H", bound=Hashable)


def check_labelled(**splits: object) -> None:
    """Raise DataError for what is no sample with labels."""
    for name, split in splits.items():
        if not isinstance(split, Split) or split.labels is None:
            raise DataError(f"{name}: got {split!r:.60}, expected Split(images, labels) with labels.")


def check_setup(setup: object) -> None:
    """Raise InputError for what is no setup."""
    if not isinstance(setup, TrainingSetup):
        raise InputError(f"setup: got {type(setup).__name__}, expected TrainingSetup(...).")


def whole(name: str, value: object, least: int) -> int:
    """Return a whole number, or raise InputError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name}: got {value!r}, expected a whole number of at least {least}.")
    return value


def several(name: str, values: Iterable[H], example: str) -> tuple[H, ...]:
    """Return different values, at least one, or raise InputError."""
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else ()
    if not found:
        raise InputError(f"{name}: got {values!r:.60}, expected at least one, e.g. {example}.")
    if len(set(found)) != len(found):
        raise InputError(f"{name}: got {found}, expected each once; equal ones are no new evidence.")
    return found


def whole_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Return different whole numbers from 0, or raise InputError."""
    return tuple(whole("seeds", seed, 0) for seed in several("seeds", seeds, "range(10)"))
