"""The table of rules: what an aten operation does to labels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from nnwidgets.engine.pruning.channels._labels import Factors
from nnwidgets.engine.pruning.channels._ties import Ties

__all__ = ["RULES", "Rule", "Watch", "bound", "rule"]


class Watch(Protocol):
    """What a rule sees of the forward pass."""

    ties: Ties

    def of(self, value: Any) -> Factors:
        """The labels of a tensor, [] where it has none."""

    def channelwise(self, weight: Tensor) -> bool | None:
        """Whether a weight has one input channel a group in the whole network; None where it is computed."""

    def where(self) -> str:
        """The module and operation at work."""


Rule = Callable[[Watch, dict[str, Any], list[Tensor]], "list[Factors]"]
"""``rule(watch, arguments by name, results)`` gives the labels of each result."""

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operations, by their names in aten without a trailing underscore."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


@functools.lru_cache(maxsize=4096)
def _arguments(op: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((argument.name, argument.default_value) for argument in op._schema.arguments)


def bound(op: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of an operation by name, defaults filled in."""
    names = _arguments(op)
    found = dict(names)
    found.update(zip((name for name, _ in names), args, strict=False))
    found.update(kwargs)
    return found
