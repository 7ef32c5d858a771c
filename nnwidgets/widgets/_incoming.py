"""What a front end sends is cleaned here: one value at a time, against the trait it is meant for."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import traitlets

from nnwidgets.widgets._bits_trait import LayerBits
from nnwidgets.widgets._structure_trait import StructureTrait

__all__ = ["RefusedError", "clean", "sendable"]

_LONGEST_TEXT = 10_000
_LARGEST_DICT = 10_000


class RefusedError(Exception):
    """A value from the front end that cannot be taken; the trait keeps what it had."""


def clean(trait: traitlets.TraitType[Any, Any], value: Any) -> Any:
    """The value as the trait takes it: numbers clamped to its range, everything else exact or refused.

    Raises:
        RefusedError: NaN, infinity, a value of another type, a choice that does not exist, a text or mapping that is too long.
    """
    if isinstance(trait, traitlets.Union):
        return _first(trait.trait_types, value)
    if isinstance(trait, traitlets.Enum):
        for choice in trait.values or ():
            if isinstance(value, bool | int | float | str) and _same(value, choice):
                return choice  # not the value: 4.0 is no number of bits
        raise RefusedError(f"{_show(value)} is none of {list(trait.values or ())}")
    if isinstance(trait, traitlets.Bool):
        if not isinstance(value, bool):
            raise RefusedError(f"{_show(value)} is not true or false")
        return value
    if isinstance(trait, traitlets.Int | traitlets.Float):
        return _number(trait, value)
    if isinstance(trait, traitlets.Unicode):
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT or value != sendable(value):
            raise RefusedError(f"{_show(value)} is not a text of at most {_LONGEST_TEXT} characters")
        if isinstance(trait, StructureTrait) and not trait.allows(value):
            raise RefusedError(f"{_show(value)} is no structure")
        return value
    if isinstance(trait, LayerBits):
        if not trait.allows(value) or len(value) > _LARGEST_DICT or any(name != sendable(name) for name in value):
            raise RefusedError(f"{_show(value)} is not a mapping of layer names to bits")
        return value
    if isinstance(trait, traitlets.Dict):
        return _shares(value)
    raise RefusedError(f"a {type(trait).__name__} is not written by the front end")


def _first(traits: Any, value: Any) -> Any:
    reasons = []
    for trait in traits:
        try:
            return clean(trait, value)
        except RefusedError as error:
            reasons.append(str(error))
    raise RefusedError("; ".join(reasons))


def _number(trait: Any, value: Any) -> float | int:
    if not _finite(value):
        raise RefusedError(f"{_show(value)} is not a finite number")
    low = -math.inf if trait.min is None else trait.min
    high = math.inf if trait.max is None else trait.max
    clamped: float | int = min(max(value, low), high)
    if isinstance(trait, traitlets.Int):
        return round(clamped)
    try:
        return float(clamped)
    except OverflowError:
        raise RefusedError(f"{_show(value)} is too large") from None


def _shares(value: Any) -> dict[str, float]:
    """A mapping from layer names to shares in [0, 1)."""
    if not isinstance(value, dict) or len(value) > _LARGEST_DICT:
        raise RefusedError(f"{_show(value)} is not a mapping of layer names to shares")
    result = {}
    for key, share in value.items():
        if not isinstance(key, str) or key != sendable(key) or not _finite(share):
            raise RefusedError(f"{_show(key)}: {_show(share)} is not a layer name and a share")
        result[key] = float(min(max(share, 0.0), 0.99))
    return result


def _finite(value: Any) -> bool:
    """A number that is neither NaN nor infinite, an integer of any size included."""
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)))


def sendable(text: str) -> str:
    """The text as JSON in UTF-8 can hold it: a lone surrogate, which no message can carry, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _same(value: Any, choice: Any) -> bool:
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _show(value: Any) -> str:
    text = reprlib.repr(value)  # of a huge or deep value only the beginning
    return text if len(text) <= 60 else text[:57] + "..."
