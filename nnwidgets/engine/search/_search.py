"""The search itself: within a family by bisection, among families by what they promise for the work they take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.compression.choose import UNITS
from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.pruning.criteria import CRITERIA
from nnwidgets.engine.search._asked import Asked
from nnwidgets.engine.search._families import STEP, Family, families_for, left_out
from nnwidgets.engine.search._merits import Pricing, in_words
from nnwidgets.engine.search._race import Candidate, Course
from nnwidgets.engine.search.records import AS_GIVEN, SearchPoint, SearchResult, SearchStep
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import Cost
from nnwidgets.engine.values.split import Split

__all__ = ["Search"]

# What a family promises shrinks with each setting in which it differs from the best one so far, and once more with each that was
# tried in place of the best one's and lost.
_DIFFERS, _LOST = 0.5, 0.2
_MIDDLE = round(0.5 / STEP)

Steps = Generator[SearchPoint | None, None, None]


@dataclass(eq=False)
class _Visit:
    """A recipe with its price, on its way to become a point."""

    candidate: Candidate
    family: Family | None
    merit: float
    cost: Cost
    place: int | None = None  # in the path

    @property
    def words(self) -> str:
        """Where it comes from."""
        if self.family is not None:
            return self.family.label
        return "dense" if self.candidate.recipe == Recipe() else AS_GIVEN


class Search:
    """A search that was checked.

    Args:
        model: what the plan is for; neither changes meanwhile.
    """

    def __init__(self, model: nn.Module, plan: CompressionPlan, val: Split, asked: Asked) -> None:
        self._plan, self._asked = plan, asked
        self._course = Course(model, plan, val, asked.goal, asked.seed)
        with torch.inference_mode(False), torch.no_grad():
            dense = unvisited_copy(model).eval() if asked.merit == "latency" else model
        self._pricing = Pricing(asked.merit, plan, dense)
        self._began = 0.0
        self._path: list[SearchPoint] = []
        self._refused: dict[str, str] = dict(left_out(asked.merit))
        self._best: SearchPoint | None = None
        self._best_family: Family | None = None
        self._waiting = list(families_for(asked.merit))
        self._visits: dict[int, _Visit] = {}  # of the family at hand, by steps of the amount
        self._running: _Visit | None = None
        self._lost: set[str | int] = set()  # settings
        self._lately: dict[tuple[str, int], int] = {}  # where a family with this structure and bits began to be smaller

    # --- time and news ------------------------------------------------------------------------------------------------

    def steps(self) -> Generator[SearchStep, None, SearchResult]:
        """All of it."""
        self._began = time.monotonic()
        stopped: Literal["done", "budget"] = "done"
        work = self._work()
        for point in work:
            yield self._told(point)
            if self._over:
                stopped = "budget"
                break
        work.close()
        for point in self._rescued():
            yield self._told(point)
        assert self._best is not None
        path, refused, asked = tuple(self._path), dict(self._refused), self._asked
        return SearchResult(self._best, path[0], path, refused, asked.merit, asked.goal, stopped, self._seconds)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def _over(self) -> bool:
        """The time is spent, and something of the dense network is known."""
        seen = bool(self._path) or (self._running is not None and self._running.candidate.estimate is not None)
        return seen and self._seconds >= self._asked.budget_s

    def _told(self, point: SearchPoint | None) -> SearchStep:
        left = max(0.0, self._asked.budget_s - self._seconds)
        text = f"{len(self._path)} tried"
        if self._best is not None:
            text += f"; smallest so far {in_words(self._asked.merit, self._best.merit)}"
        return SearchStep(1 - left / self._asked.budget_s, left, len(self._path), self._best, text, point)

    # --- the order of work --------------------------------------------------------------------------------------------

    def _work(self) -> Steps:
        dense = yield from self._visit(Recipe(), None)
        yield from self._look(dense, exact=True)
        self._accept(dense)
        if dense.candidate.verdict != "meets":
            return
        if self._asked.start is not None and self._asked.start != Recipe():
            yield from self._begin_with(self._asked.start)
        while self._waiting:
            family = max(self._waiting, key=self._promise)  # the first of equals
            self._waiting.remove(family)
            self._visits = {}
            if (yield from self._scored(family)):
                before = self._best_family
                try:
                    yield from self._explore(family)
                    if before is not None and len(other := set(family.settings) - set(before.settings)) == 1:
                        self._lost |= other if self._best_family is before else set(before.settings) - set(family.settings)
                except NnwError as error:
                    self._refuse(family.pruning_label, error, _same_pruning(family))

    def _begin_with(self, recipe: Recipe) -> Steps:
        """What has to be beaten, if it meets the goal."""
        pruning = recipe.pruning
        really = recipe.quantization is None and pruning is not None and pruning.masks is None and pruning.structure in UNITS
        if self._asked.merit in ("macs", "latency") and not really:
            self._refused[AS_GIVEN] = "; ".join(left_out(self._asked.merit).values())
            return
        try:
            for _ in self._plan.preparing(recipe):
                yield None
            visit = yield from self._visit(recipe, None)
            yield from self._look(visit, exact=True)
        except NnwError as error:
            self._refused[AS_GIVEN] = str(error)
            return
        if _meets(visit) and visit.merit < self._bound:
            self._accept(visit)

    def _promise(self, family: Family) -> float:
        """What it may gain for the work: families near to the best one are taken to be about as good."""
        differs = set() if self._best_family is None else set(family.settings) - set(self._best_family.settings)
        again = family.compensates or self._plan.missing(family.recipe(_MIDDLE))
        promise: float = _DIFFERS ** len(differs) * _LOST ** len(differs & self._lost)
        return promise / (1 + family.passes * again)

    def _scored(self, family: Family) -> Generator[None, None, bool]:
        """Let the criterion look at images where it has not yet. False where it cannot, or there is nothing to remove."""
        if not self._plan.layers_with(family.structure):
            what, reasons = UNITS[family.structure], self._plan.groups.refused
            why = "; ".join(f"{name!r}: {reason}" for name, reason in list(reasons.items())[:3])
            self._refuse(
                what, f"this network has none that can be removed{f' ({why})' if why else ''}", _same("structure", family)
            )
            return False
        try:
            for _ in self._plan.preparing(family.recipe(_MIDDLE)):
                yield
        except NnwError as error:
            self._refuse(f"anything by {CRITERIA[family.criterion].label}", error, _same("criterion", family))
            return False
        return True

    def _refuse(self, what: str, why: object, drops: Callable[[Family], bool]) -> None:
        self._refused[what] = str(why)
        self._waiting = [family for family in self._waiting if not drops(family)]

    # --- within a family ----------------------------------------------------------------------------------------------

    def _explore(self, family: Family) -> Steps:
        """Bisect the amount: from the smallest one that is smaller than the best recipe so far."""
        top = min(round(1 / STEP) - 1, math.floor(self._plan.largest_amount(family.pruning(0)) / STEP + 1e-9))
        first = yield from self._first_smaller(family, top)
        low, high, at = first - 1, top + 1, first
        while True:
            while low + 1 < high:
                visit = yield from self._at(family, at)
                if visit.merit < self._bound:  # else it was measured as smaller once, and is not now
                    yield from self._look(visit)
                low, high = (at, high) if _meets(visit) else (low, at)
                at = (low + high) // 2
            if low < first:
                return
            winner = yield from self._at(family, low)
            yield from self._look(winner, exact=True)
            if _meets(winner):
                self._accept(winner)
                return
            high, low = low, max((i for i, each in self._visits.items() if i < low and _meets(each)), default=first - 1)
            at = (low + high) // 2

    def _first_smaller(self, family: Family, top: int) -> Generator[None, None, int]:
        """The smallest number of steps with a merit below the best one's, ``top`` + 1 where there is none.

        Looked for from where families like this one began to be smaller, in growing strides, then by halves. Where each price
        takes long, as weights have to make up first, the first one that is smaller will do.
        """
        low, high = family.fewest, top + 1
        key, stride = (family.structure, family.bits), 1
        at = self._lately.get(key, (low + high) // 2)
        gallops = key in self._lately
        while low < high:
            at = min(max(at, low), high - 1)
            is_smaller = (yield from self._at(family, at)).merit < self._bound
            low, high = (low, at) if is_smaller else (at + 1, high)
            if is_smaller and family.compensates and gallops:
                return at
            at = (at - stride if is_smaller else at + stride) if gallops else (low + high) // 2
            gallops &= low < at < high - 1
            stride *= 2
        self._lately[key] = low
        return low

    @property
    def _bound(self) -> float:
        """What a merit has to be below."""
        assert self._best is not None
        return self._best.merit * (1 - self._pricing.least_gain)

    def _at(self, family: Family, steps: int) -> Generator[None, None, _Visit]:
        if steps not in self._visits:
            self._visits[steps] = yield from self._visit(family.recipe(steps), family)
        return self._visits[steps]

    # --- points -------------------------------------------------------------------------------------------------------

    def _visit(self, recipe: Recipe, family: Family | None) -> Generator[None, None, _Visit]:
        merit, cost = yield from self._pricing.price(recipe)
        return _Visit(self._course.candidate(recipe), family, merit, cost)

    def _look(self, visit: _Visit, exact: bool = False) -> Steps:
        """Measure accuracy as far as the goal asks for, or on all images; the point is told."""
        if visit.candidate.final or (visit.place is not None and not exact):
            return
        self._running = visit
        for _ in self._course.run(visit.candidate, exact):
            yield None
        self._running = None
        yield self._note(visit)

    def _note(self, visit: _Visit) -> SearchPoint:
        """Make a point of a visit, or tell more of it."""
        assert visit.candidate.estimate is not None
        point = SearchPoint(
            visit.candidate.recipe,
            visit.words,
            visit.merit,
            visit.candidate.estimate,
            visit.candidate.verdict,
            visit.cost.bytes_encoded,
            visit.cost.macs_nonzero,
            self._seconds,
        )
        if visit.place is None:
            visit.place = len(self._path)
            self._path.append(point)
        else:
            self._path[visit.place] = point
        return point

    def _accept(self, visit: _Visit) -> None:
        assert visit.place is not None
        self._best, self._best_family = self._path[visit.place], visit.family

    def _rescued(self) -> Steps:
        """After the time was over: tell what was begun, and verify what was promising."""
        cut, self._running = self._running, None
        if cut is not None and cut.candidate.estimate is not None and cut.place is None:
            yield self._note(cut)
        if self._best is None:
            self._best = self._path[0]
        promising = [each for each in self._visits.values() if _meets(each) and each.merit < self._bound]
        for visit in sorted(promising, key=lambda each: each.merit):
            yield from self._look(visit, exact=True)
            if _meets(visit):
                self._accept(visit)
                return


def _meets(visit: _Visit) -> bool:
    return visit.candidate.verdict == "meets"


def _same_pruning(family: Family) -> Callable[[Family], bool]:
    """Whether another family differs in its bits only."""
    return lambda other: other.pruning(1) == family.pruning(1)


def _same(setting: str, family: Family) -> Callable[[Family], bool]:
    """Whether another family has the same setting."""
    return lambda other: bool(getattr(other, setting) == getattr(family, setting))
