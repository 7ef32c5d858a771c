"""The backward pass of Deconvnet and of guided backpropagation: autograd's, with another rule at each ReLU."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from nnwidgets.engine.inspect._way import Way, name_of
from nnwidgets.engine.trace import operations

__all__ = ["RULES", "RuledBackward"]

RULES = ("deconvnet", "guided", "gradient")

_RULED = "ruled"
_MOVING = "new_empty_strided copy_ as_strided clone detach alias view fill_ zero_ zeros_like new_zeros"
_MOVES = frozenset(f"aten::{name}" for name in _MOVING.split())


class RuledBackward:
    """Counts, and applies a rule, while a backward pass runs in its block.

    Args:
        rule: one of RULES. way: what the pass will meet.

    Attributes:
        followed: how many activations of each name the rule was applied to. activations: how many of each name there are;
            complete once the pass has run.
    """

    def __init__(self, rule: str, way: Way) -> None:
        self.followed: Counter[str] = Counter()
        self.activations = Counter(way.activations)
        self._rule, self._way = rule, way
        self._exempt = False
        self._inside: list[str] | None = None  # operations of the opaque node that runs now

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the backward pass in this block. The hooks on its nodes are gone afterwards."""
        with contextlib.ExitStack() as stack:
            for node in self._way.thresholds:
                stack.callback(node.register_prehook(self._set_exempt(True)).remove)
                stack.callback(node.register_hook(self._set_exempt(False)).remove)
            for node in self._way.opaque:
                stack.callback(node.register_prehook(self._enter).remove)
                stack.callback(node.register_hook(self._leaving(node)).remove)
            stack.enter_context(operations(self._answer))
            yield

    def _answer(self, op: Any, args: Any, kwargs: Any) -> Any:
        name = str(op._schema.name)
        if self._inside is not None:
            self._inside.append(name)
        result = op(*args, **kwargs)
        if name == "aten::threshold_backward" and args[2] == 0 and not self._exempt:
            return self._ruled("relu", args[0], result)
        if name == "aten::hardtanh_backward" and args[2] == 0:
            return self._ruled("hardtanh", args[0], result)
        return result

    def _ruled(self, name: str, signal: Tensor, gradient: Tensor) -> Tensor:
        """Zeiler & Fergus: the signal that comes from above, where positive. Guided: the gradient, where positive."""
        if self._inside is not None:
            self._inside.append(_RULED)
            self.activations[name] += 1
        if self._rule == "gradient":
            return gradient
        self.followed[name] += 1
        return (signal if self._rule == "deconvnet" else gradient).clamp(min=0)

    def _set_exempt(self, exempt: bool) -> Any:
        def hook(*_: Any) -> None:
            self._exempt = exempt

        return hook

    def _enter(self, _: Sequence[Tensor]) -> None:
        self._inside = []

    def _leaving(self, node: Node) -> Any:
        def leave(*_: Any) -> None:
            seen, self._inside = self._inside or [], None
            if _RULED not in seen and set(seen) - _MOVES:
                self.activations[name_of(node)] += 1  # such as sigmoid_ on a part of a tensor

        return leave
