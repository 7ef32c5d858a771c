"""What criteria have found for one set of weights, and what a scan has measured. Found once, kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.pruning.criteria import CRITERIA, Importance, Loss, importance_steps
from nnwidgets.engine.trace import Trace
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Drops", "Knowledge", "drops_of", "needs_pass"]

Drops = Mapping[str, Sequence[tuple[float, float]]]
"""Layer -> (share removed of it alone, accuracy lost)."""

_KEPT = 3  # criteria: each holds a number for every weight


def drops_of(table: pd.DataFrame | None) -> Drops | None:
    """Read what ``sensitivity_scan`` of pruning returned.

    Raises:
        RecipeError: it is something else.
    """
    if table is None:
        return None
    lacking = [name for name in ("layer", "amount", "drop") if name not in getattr(table, "columns", ())]
    if lacking:
        raise RecipeError(
            f"sensitivity: got {type(table).__name__} without the columns {', '.join(lacking)}; expected what "
            "E.sensitivity_scan(model, split, amounts) returned."
        )
    found: dict[str, list[tuple[float, float]]] = {}
    for row in zip(table["layer"], table["amount"], table["drop"], strict=True):
        found.setdefault(str(row[0]), []).append((float(row[1]), float(row[2])))
    return found


def needs_pass(pruning: Pruning | None) -> bool:
    """True where a criterion has to look at images before anything can be chosen."""
    if pruning is None or pruning.masks is not None or pruning.removes_nothing:
        return False
    return CRITERIA[pruning.criterion].needs != "weights" if pruning.criterion in CRITERIA else False


class Knowledge:
    """Args:
    model: the network; it must not change. split: images for criteria, None for none. loss: by default cross entropy.
    traced: of the network, to save the time. drops: what a sensitivity scan has measured.
    """

    def __init__(
        self,
        model: nn.Module,
        split: Split | None = None,
        loss: Loss | None = None,
        traced: Trace | None = None,
        drops: Drops | None = None,
    ) -> None:
        self._model, self._split, self._loss, self._traced = model, split, loss, traced
        self.drops = drops
        self._found: OrderedDict[tuple[str, int], Importance] = OrderedDict()
        self._running: tuple[tuple[str, int], Generator[float, None, Importance]] | None = None
        self._lock = threading.RLock()

    def importance(self, pruning: Pruning) -> Importance | None:
        """Return what the criterion found, looking now if it has not yet; None for criteria of the weights alone.

        Raises:
            as `importance` does.
        """
        if CRITERIA[pruning.criterion].needs == "weights":
            return None
        while True:
            with self._lock:
                known = self._found.get(self._key(pruning))
                if known is not None:
                    self._found.move_to_end(self._key(pruning))
                    return known
                self._advance(self._key(pruning))

    def missing(self, recipe: Recipe) -> bool:
        """True where a criterion of this recipe has to look at images first."""
        pruning = recipe.pruning
        return pruning is not None and needs_pass(pruning) and self._key(pruning) not in self._found

    def steps(self, recipe: Recipe) -> Generator[float, None, None]:
        """Find what is missing in steps of some 20 ms; yields the share that is done.

        Closed early, what was seen so far is kept, and the next call goes on from there.
        """
        pruning = recipe.pruning
        while pruning is not None and self.missing(recipe):
            with self._lock:
                done = self._advance(self._key(pruning))
            yield done

    def losses(self) -> Drops:
        """Return what the scan has measured.

        Raises:
            RecipeError: there was none.
        """
        if self.drops is None:
            raise RecipeError(
                "allocation='sensitivity' needs to know what each layer bears. Run a sensitivity scan first: in the lab "
                "'Sensitivity scan', in code compress(..., sensitivity=E.sensitivity_scan(model, val, [0.3, 0.5, 0.7, 0.9]))."
            )
        return self.drops

    def _key(self, pruning: Pruning) -> tuple[str, int]:
        return pruning.criterion, pruning.seed

    def _advance(self, key: tuple[str, int]) -> float:
        """One step towards what is asked for."""
        if key in self._found:
            return 1.0
        if self._running is None or self._running[0] != key:
            criterion, seed = key
            steps = importance_steps(self._model, criterion, self._split, self._loss, seed, self._traced)
            self._running = key, steps
        try:
            return next(self._running[1])
        except StopIteration as end:
            self._running = None
            self._found[key] = end.value
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
            return 1.0
        except BaseException:
            self._running = None
            raise
