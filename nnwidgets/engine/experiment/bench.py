"""A workbench for one set of weights: a frozen copy, its compression plan, and a quick copy that recipes are written into."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from nnwidgets.engine.compression.plan import CompressionPlan
from nnwidgets.engine.evaluation import Prepared
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.values.recipe import Recipe

__all__ = ["Bench", "Benches"]

_KEPT = 2  # benches of trained weights kept besides the dense one


@dataclass(frozen=True)
class Bench:
    """``base`` is never written; ``quick`` holds one recipe at a time and belongs to the worker thread of the jobs."""

    base: nn.Module
    plan: CompressionPlan
    quick: Prepared

    def load(self, recipe: Recipe) -> Prepared:
        """Write a recipe into the quick copy and return it."""
        self.quick.write(lambda network: self.plan.load(recipe, network))
        return self.quick


def make_bench(model: nn.Module, input_shape: tuple[int, ...], weights: Mapping[str, Tensor] | None, probe: Tensor) -> Bench:
    """Copy the network (the user's is never touched), put trained weights in where there are any, and plan.

    ``probe`` is a few inputs, on which the quick copy is checked.
    """
    base = unvisited_copy(model).eval()  # the user's own code may just be looking into it, in another thread
    if weights is not None:
        base.load_state_dict({name: value.to(base.state_dict()[name].device) for name, value in weights.items()})
    plan = CompressionPlan(base, input_shape)
    return Bench(base, plan, Prepared(base, input_shape, probe, plan.trace))


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
