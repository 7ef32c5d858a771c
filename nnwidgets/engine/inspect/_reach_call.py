"""An operation while it runs, as the rules of reach see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nnwidgets.engine.inspect._reach import Reach
from nnwidgets.engine.trace import tensors_in

__all__ = ["Call", "Rule", "dims_of"]


@dataclass(frozen=True)
class Call:
    """An operation while it runs.

    Attributes:
        op: the operation. name: without namespace, and without the underscore of in-place forms. given: arguments by name.
        shape: of its first result. reach: what is known of a tensor, None for a constant. image: rows and columns.
    """

    op: Any
    name: str
    given: dict[str, Any]
    shape: tuple[int, ...]
    reach: Callable[[Tensor], Reach | None]
    image: tuple[int, int]

    def known(self, *names: str) -> list[Reach]:
        """Of the tensors that depend on the image, among all arguments or those named."""
        values = [self.given.get(name) for name in names] if names else list(self.given.values())
        found = [self.reach(tensor) for tensor in tensors_in(values)]
        return [reach for reach in found if reach is not None]

    def one(self, name: str) -> Reach:
        """Of an argument that may be a constant."""
        tensor: Tensor = self.given[name]
        return self.reach(tensor) or Reach.nowhere(tensor.shape, self.image)

    def each(self, name: str, count: int, default: int) -> list[int]:
        """An argument with a number for each of ``count`` axes, or one for all."""
        value = self.given.get(name)
        numbers = [int(each) for each in value] if isinstance(value, Sequence) else [] if value is None else [int(value)]
        numbers = numbers or [default]
        return numbers * count if len(numbers) == 1 else numbers


Rule = Callable[[Call], Reach | list[Reach] | None]
"""Gives the reach of the result; a list for several results; None where it cannot tell."""


def dims_of(value: Any, count: int) -> list[int]:
    """Dimensions as a function takes them: one, several, negative ones, none for all."""
    if value is None or (isinstance(value, Sequence) and not value):
        return list(range(count))
    return [int(dim) % max(count, 1) for dim in (value if isinstance(value, Sequence) else [value])]
