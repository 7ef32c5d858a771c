"""What is known of each tensor while a network is traced: who made it and which parameters it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from nnwidgets.engine.trace.records import INPUT

__all__ = ["Provenance", "TensorTable"]


@dataclass(frozen=True)
class Provenance:
    """Where a tensor comes from.

    Attributes:
        producer: index of the call that made it, None for parameters and constants.
        live: it depends on the input of the network.
        sources: ids of the parameters that it is made of, through views and arithmetic but not through a matrix product.
    """

    producer: int | None = None
    live: bool = False
    sources: frozenset[int] = frozenset()


_CONSTANT = Provenance()


class TensorTable:
    """Provenance by tensor. All tensors are kept alive meanwhile, so that an id never names two of them."""

    def __init__(self, parameters: Iterable[torch.Tensor], inputs: Iterable[torch.Tensor]) -> None:
        self._known: dict[int, Provenance] = {}
        self._writers: dict[int, list[tuple[int, bool]]] = {}
        self._kept: list[torch.Tensor] = []
        for tensor in parameters:
            self.note(tensor, Provenance(sources=frozenset({id(tensor)})))
        for tensor in inputs:
            self.note(tensor, Provenance(INPUT, live=True))

    def get(self, tensor: torch.Tensor) -> Provenance:
        """Return what is known of a tensor; nothing known means a constant."""
        return self._known.get(id(tensor), _CONSTANT)

    def note(self, tensor: torch.Tensor, provenance: Provenance) -> None:
        """Note where a tensor comes from."""
        if id(tensor) not in self._known:
            self._kept.append(tensor)
        self._known[id(tensor)] = provenance

    def wrote(self, tensor: torch.Tensor, call: int | None, live: bool) -> None:
        """Note an in-place write, which also changes every view of the same memory."""
        key = _memory(tensor)
        if key is not None and call is not None:
            self._writers.setdefault(key, []).append((call, live))

    def producers(self, tensor: torch.Tensor) -> set[int]:
        """Return the calls that made a tensor: the one that returned it, and later ones that wrote into its memory."""
        first = self.get(tensor).producer
        found = set() if first is None else {first}
        return found | {call for call, _ in self._later_writers(tensor, first)}

    def is_live(self, tensor: torch.Tensor) -> bool:
        """True where the tensor depends on the network's input."""
        known = self.get(tensor)
        return known.live or any(live for _, live in self._later_writers(tensor, known.producer))

    def _later_writers(self, tensor: torch.Tensor, first: int | None) -> list[tuple[int, bool]]:
        if not self._writers:
            return []
        key = _memory(tensor)
        if key is None:
            return []
        return [(call, live) for call, live in self._writers.get(key, []) if first is None or call >= first]


def _memory(tensor: torch.Tensor) -> int | None:
    """An id of the memory behind a tensor (views share it; meta tensors have one too), None for layouts without one."""
    if tensor.layout is not torch.strided:
        return None
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # wrapper subclasses
        return None
