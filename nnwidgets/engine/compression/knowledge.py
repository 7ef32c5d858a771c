"""What criteria have found for one set of weights, and what a scan has measured. Found once, kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.evaluation import check_model
from nnwidgets.engine.pruning.criteria import CRITERIA, Importance, Loss, importance_steps, moments_steps
from nnwidgets.engine.trace import Trace, trace
from nnwidgets.engine.values.recipe import Pruning, Recipe
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Drops",
    "Knowledge",
    "adapts",
    "drops_of",
    "knowledge_for",
    "needs_pass",
    "rounds_inputs",
]

Drops = Mapping[str, Sequence[tuple[float, float]]]
"""Layer -> (share removed of it alone, accuracy lost)."""

_Key = tuple[str, int]  # of a criterion: its name and seed

_KEPT = 3  # criteria: each holds a number for every weight
_SCAN: _Key = ("sensitivity", 0)
_MOMENTS = "moments"  # with the number of images


def drops_of(table: pd.DataFrame) -> Drops:
    """Read what ``sensitivity_scan`` of pruning returned.

    Raises:
        RecipeError: it is something else.
    """
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
    return CRITERIA[pruning.criterion].needs != "weights"


def adapts(recipe: Recipe) -> bool:
    """True where weights are rounded together, which needs moments of what each layer reads."""
    settings = recipe.quantization
    return settings is not None and settings.rounding == "adaptive" and settings.rounds_weights


def rounds_inputs(recipe: Recipe) -> bool:
    """True where activations are rounded, whose ranges have to be found on images."""
    return recipe.quantization is not None and recipe.quantization.activation_bits != 32


def knowledge_for(
    model: nn.Module, recipe: Recipe, calibration: Split | None, loss: Loss | None, sensitivity: pd.DataFrame | None
) -> Knowledge:
    """What `compress` and its like are told, checked where the recipe makes use of it.

    Raises:
        RecipeError, DataError, ModelError: a table of something else, images that do not fit the network.
    """
    knowledge = Knowledge(model, calibration, loss, drops=None if sensitivity is None else drops_of(sensitivity))
    if (
        calibration is not None
        and isinstance(recipe, Recipe)
        and (needs_pass(recipe.pruning) or rounds_inputs(recipe) or adapts(recipe))
    ):
        check_model(model, calibration)
    return knowledge


class Knowledge:
    """Args:
    model: the network; it must not change. split: images for criteria, checked to fit it, None for none.
    loss: by default cross entropy. traced: of the network, to save the time.
    scan: steps of a sensitivity scan, which yield the share that is done; drops: what one has measured already.
    """

    def __init__(
        self,
        model: nn.Module,
        split: Split | None = None,
        loss: Loss | None = None,
        traced: Trace | None = None,
        scan: Callable[[], Generator[float, None, Drops]] | None = None,
        drops: Drops | None = None,
    ) -> None:
        self._model, self._split, self._loss, self._traced = model, split, loss, traced
        self._scan, self._drops, self.scans = scan, drops, 0
        self._found: OrderedDict[_Key, Importance] = OrderedDict()
        self._running: tuple[_Key, Generator[float, None, Any]] | None = None
        self._lock = threading.RLock()

    def of(self, model: nn.Module) -> Knowledge:
        """Knowledge of another version of the network: criteria look again, what layers bear is as for this one."""
        return Knowledge(model, self._split, self._loss, scan=self._scan, drops=self._drops)

    @property
    def split(self) -> Split | None:
        """The images that criteria and ranges are from."""
        return self._split

    def traced(self, input_shape: Sequence[int]) -> Trace:
        """The trace of the network."""
        if self._traced is None:
            self._traced = trace(self._model, input_shape)
        return self._traced

    def importance(self, pruning: Pruning) -> Importance | None:
        """Return what the criterion found, looking now if it has not yet; None for criteria of the weights alone.

        Raises:
            as `importance` does.
        """
        if CRITERIA[pruning.criterion].needs == "weights":
            return None
        return self._known((pruning.criterion, pruning.seed))

    def moments(self, images: int) -> Mapping[str, Tensor]:
        """Return layer -> (G, K, K), the mean of x x' of what it reads, over so many images; looks now if it has not yet.

        Layers that are not there have none, or one that is too large.
        """
        return self._known((_MOMENTS, images)).hessians

    def _known(self, key: _Key) -> Importance:
        while True:
            with self._lock:
                if key in self._found:
                    self._found.move_to_end(key)
                    return self._found[key]
                self._advance(key)

    def losses(self) -> Drops:
        """Return what each layer bears, scanning now where that was not done yet.

        Raises:
            RecipeError: there is no scan and no way to make one.
        """
        while True:
            with self._lock:
                if self._drops is not None:
                    return self._drops
                if self._scan is None:
                    raise RecipeError(
                        "allocation='sensitivity' needs to know what each layer bears. Give "
                        "sensitivity=E.sensitivity_scan(model, val, [0.3, 0.5, 0.7, 0.9]); an Experiment scans by itself."
                    )
                self._advance(_SCAN)

    def note(self, drops: Drops) -> None:
        """Take what a scan has measured; ``scans`` counts them."""
        with self._lock:
            self._drops = drops
            self.scans += 1

    def missing(self, recipe: Recipe) -> bool:
        """True where a criterion of this recipe has to look at images first, or a scan has to be made."""
        return self._next(recipe) is not None

    def steps(self, recipe: Recipe) -> Generator[tuple[str, float], None, None]:
        """Find what is missing in steps of some 20 ms; yields the criterion's name (or "sensitivity", "moments") and its share.

        Closed early, what was seen so far is kept, and the next call goes on from there.
        """
        while True:
            with self._lock:
                key = self._next(recipe)
                if key is None:
                    return
                done = self._advance(key)
            yield key[0], done

    def _next(self, recipe: Recipe) -> _Key | None:
        pruning, settings = recipe.pruning, recipe.quantization
        if pruning is not None:
            if needs_pass(pruning) and (pruning.criterion, pruning.seed) not in self._found:
                return pruning.criterion, pruning.seed
            scans = pruning.allocation == "sensitivity" and pruning.masks is None and not pruning.removes_nothing
            if scans and self._drops is None and self._scan is not None:
                return _SCAN
        if settings is not None and adapts(recipe) and self._split is not None:
            key = (_MOMENTS, settings.calibration_images)
            return key if key not in self._found else None
        return None

    def _advance(self, key: _Key) -> float:
        """One step towards what is asked for."""
        if self._running is None or self._running[0] != key:
            self._running = key, self._begun(key)
        try:
            return float(next(self._running[1]))
        except StopIteration as end:
            self._running = None
            self._keep(key, end.value)
            return 1.0
        except BaseException:
            self._running = None
            raise

    def _begun(self, key: _Key) -> Generator[float, None, Any]:
        if key == _SCAN:
            assert self._scan is not None
            return self._scan()
        if key[0] == _MOMENTS:
            assert self._split is not None  # which was checked when it was decided
            return moments_steps(self._model, self._split, key[1], self._traced)
        return importance_steps(self._model, key[0], self._split, self._loss, key[1], self._traced)

    def _keep(self, key: _Key, made: Any) -> None:
        if key == _SCAN:
            self.note(made)
            return
        self._found[key] = made
        while len(self._found) > _KEPT:
            self._found.popitem(last=False)
