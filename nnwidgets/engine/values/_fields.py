"""Checks of single values of a recipe. Each returns the value in its one stored form, or raises RecipeError."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch

from nnwidgets.engine.errors import RecipeError

__all__ = ["choice", "flag", "layer_map", "names_of", "nearest", "real", "share", "steps", "whole"]

_TINY, _HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def nearest(word: object, words: Iterable[str]) -> str:
    """Return the end of a message: the words that look like this one, or some of those that there are."""
    known = list(words)
    close = difflib.get_close_matches(str(word), known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}."


def choice(name: str, value: object, choices: type[Enum]) -> str:
    """Return the public spelling of one of the choices, given as a member or a string."""
    word = value.value if isinstance(value, Enum) else value
    words = [str(member.value) for member in choices]
    if not isinstance(word, str) or word not in words:
        raise RecipeError(f"{name} is {value!r}; expected one of {', '.join(words)}; {nearest(word, words)}")
    return word


def share(name: str, value: object) -> float:
    """Return a share in [0, 1)."""
    number = real(name, value)
    if not 0.0 <= number < 1.0:
        raise RecipeError(f"{name} is {number!r}; expected a share from 0 (nothing is removed) to below 1, e.g. 0.5 for half.")
    return number


def real(name: str, value: object) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise RecipeError(f"{name} is {value!r}; expected a finite number.")
    return float(value)


def steps(name: str, value: object) -> tuple[float, ...]:
    """Return steps between levels, one or more, above zero: each as float32 holds it."""
    try:
        found = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except (ValueError, TypeError):  # a ragged list
        found = np.zeros((0, 0))
    if found.dtype.kind not in "iuf" or found.ndim > 1 or not found.size:
        raise RecipeError(f"{name} is {value!r:.80}; expected a number, or one a channel, e.g. [0.02, 0.05].")
    wide = found.astype(np.float64).reshape(-1)
    if not ((wide >= _TINY) & (wide <= _HUGE)).all():
        bad = wide[~((wide >= _TINY) & (wide <= _HUGE))][0]
        raise RecipeError(f"{name} holds {bad:g}; expected steps between levels: finite numbers above zero, as float32.")
    return tuple(wide.astype(np.float32).tolist())


def whole(name: str, value: object, allowed: Iterable[int] | None = None) -> int:
    """Return a whole number, one of ``allowed`` where given."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise RecipeError(f"{name} is {value!r}; expected a whole number.")
    number = int(value)
    if allowed is not None and number not in (numbers_allowed := tuple(allowed)):
        raise RecipeError(f"{name} is {number}; expected one of {', '.join(map(str, numbers_allowed))}.")
    return number


def flag(name: str, value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise RecipeError(f"{name} is {value!r}; expected True or False.")
    return value


def names_of(name: str, value: object) -> tuple[str, ...]:
    """Return layer names, sorted, each once."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise RecipeError(f"{name} is {value!r}; expected layer names in a tuple, e.g. ('fc3',).")
    names = list(value)
    if any(not isinstance(item, str) for item in names):
        raise RecipeError(f"{name} holds {next(item for item in names if not isinstance(item, str))!r}; expected layer names.")
    return tuple(sorted(set(names)))


def layer_map(name: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a mapping whose keys are layer names, sorted."""
    for key in value:
        if not isinstance(key, str):
            raise RecipeError(f"{name} has the key {key!r}; expected layer names.")
    return {str(key): value[key] for key in sorted(value, key=str)}
