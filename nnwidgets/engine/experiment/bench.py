"""A workbench for one set of weights: a frozen copy, its compression plan, and a quick copy that recipes are written into."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from nnwidgets.engine.compression.knowledge import Drops
from nnwidgets.engine.compression.plan import CompressionPlan
from nnwidgets.engine.errors import OutOfMemoryError
from nnwidgets.engine.evaluation import Frozen, Prepared
from nnwidgets.engine.evaluation._memory import out_of_memory
from nnwidgets.engine.pruning.criteria import Loss
from nnwidgets.engine.trace import Trace, trace, unvisited_copy
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.split import Split

__all__ = ["Bench", "Benches", "make_bench", "with_memory"]

T = TypeVar("T")

_KEPT = 2  # benches of trained weights kept besides the dense one
_LARGE = 256 * 2**20  # bytes; the numbers of a network beyond that are not copied
_PROBE_NUMBERS = 400_000  # in the images that are kept for the quick copy


class Bench:
    """``base`` is never written; ``quick`` holds one recipe at a time and belongs to the worker thread of the jobs.

    Plan and quick copy are made when they are first asked for: who only looks into a network needs neither, and they take twice
    its memory.

    Args:
        base: a frozen copy in eval mode. input_shape: without the batch. probe: a few inputs, on which the quick copy is checked.

    Attributes:
        trace: of the network.
    """

    def __init__(self, base: nn.Module, input_shape: tuple[int, ...], probe: Tensor) -> None:
        self.base, self._input_shape = base, input_shape
        self._probe = probe[: max(1, _PROBE_NUMBERS // max(1, math.prod(input_shape)))]
        self.trace: Trace = trace(base, input_shape)
        self._looks: dict[str, Any] = {}
        self._plan: CompressionPlan | None = None
        self._quick: Prepared | None = None
        self._lock = threading.RLock()

    @property
    def plan(self) -> CompressionPlan:
        """What prices recipes and writes their weights.

        Raises:
            ModelError: the network has masks or grids on it. OutOfMemoryError: there is no room for it.
        """
        with self._lock:
            if self._plan is None:
                self._plan = with_memory(self.base, self._made)
            return self._plan

    def look_at(self, split: Split | None, loss: Loss | None, scan: Callable[[], Generator[float, None, Drops]]) -> None:
        """What criteria look at, and how layers are scanned; see `Knowledge`. Called before the plan is asked for."""
        self._looks = {"split": split, "loss": loss, "scan": scan}

    def _made(self) -> CompressionPlan:
        return CompressionPlan(self.base, self._input_shape, self.trace, **self._looks)

    @property
    def quick(self) -> Prepared:
        """The copy that recipes are written into.

        Raises:
            ModelError: the network cannot be copied. OutOfMemoryError: there is no room for it.
        """
        with self._lock:
            if self._quick is None:
                self._quick = with_memory(self.base, lambda: Prepared(self.base, self._input_shape, self._probe, self.trace))
            return self._quick

    def load(self, recipe: Recipe) -> Prepared:
        """Write a recipe into the quick copy and return it."""
        plan = self.plan
        self.quick.write(lambda network: plan.load(recipe, network))
        return self.quick

    @property
    def dense(self) -> Frozen:
        """What answers as the network does, for passes that need no recipe: without plan and quick copy."""
        return Frozen(self.base)


def make_bench(model: nn.Module, input_shape: tuple[int, ...], weights: Mapping[str, Tensor] | None, probe: Tensor) -> Bench:
    """Copy the network (the user's is never touched), and put trained weights in where there are any.

    Of a network above 256 MB only the modules are copied, unless it gets other weights: they share the user's numbers. Whoever
    changes those is noticed before the next job (``Experiment.notice_changes``), which makes everything anew.

    ``probe`` is a few inputs, on which the quick copy is checked.
    """
    # The user's own code may just be looking into it, in another thread.
    base = unvisited_copy(model, _shared(model) if weights is None else None).eval()
    if weights is not None:
        base.load_state_dict({name: value.to(base.state_dict()[name].device) for name, value in weights.items()})
    return Bench(base, input_shape, probe)


def _shared(model: nn.Module) -> dict[int, nn.Parameter]:
    """What stands for each parameter in a copy that shares its numbers: flags and gradients are the copy's own. None if small."""
    parameters = [each for each in model.parameters() if type(each) is nn.Parameter]
    if sum(each.nbytes for each in parameters) <= _LARGE:
        return {}
    return {id(each): nn.Parameter(each.detach(), each.requires_grad) for each in parameters}


def with_memory(model: nn.Module, make: Callable[[], T]) -> T:
    """What ``make`` makes of a network.

    Raises:
        OutOfMemoryError: the copies do not fit. And whatever else ``make`` raises.
    """
    try:
        return make()
    except Exception as error:
        if not out_of_memory(error):
            raise
        size = sum(value.nbytes for value in model.parameters()) / 1e6
        raise OutOfMemoryError(
            f"there is not enough memory for the copies that an experiment works on: three times the network's {size:,.0f} MB. "
            "Free memory (other widgets or notebooks, large variables), or use a smaller network."
        ) from error


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
