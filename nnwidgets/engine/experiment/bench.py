"""A workbench for one set of weights: a frozen copy, its compression plan, and a copy that recipes are written into."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from nnwidgets.engine.compression.plan import CompressionPlan

__all__ = ["Bench", "Benches"]

_KEPT = 2  # benches of trained weights kept besides the dense one


@dataclass(frozen=True)
class Bench:
    """``base`` is never written; ``work`` holds one recipe at a time and belongs to the worker thread of the jobs."""

    base: nn.Module
    plan: CompressionPlan
    work: nn.Module


def make_bench(model: nn.Module, input_shape: tuple[int, ...], weights: Mapping[str, Tensor] | None) -> Bench:
    """Copy the network (the user's is never touched), put trained weights in where there are any, and plan."""
    base = copy.deepcopy(model).eval()
    if weights is not None:
        base.load_state_dict({name: value.to(base.state_dict()[name].device) for name, value in weights.items()})
    return Bench(base, CompressionPlan(base, input_shape), copy.deepcopy(base))


class Benches:
    """Benches by weights key: the dense one and the last few others."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str | None, Bench] = OrderedDict()

    def find(self, key: str | None) -> Bench | None:
        """The bench of a key, if it is kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: str | None, bench: Bench) -> None:
        """Keep a bench; the trained one that was not used for longest goes."""
        self._kept[key] = bench
        trained = [name for name in self._kept if name is not None]
        for name in trained[:-_KEPT]:
            del self._kept[name]

    def clear(self) -> None:
        """Free all of them."""
        self._kept.clear()
