"""What a search tells: the points it has been to, where it is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from nnwidgets.engine.search._merits import in_words
from nnwidgets.engine.values.front import pareto_front
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import Estimate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AS_GIVEN", "SearchPoint", "SearchResult", "SearchStep"]


AS_GIVEN = "as given"


@dataclass(frozen=True, eq=False)
class SearchPoint:
    """A recipe that was looked at.

    Attributes:
        recipe: what was done to the network. family: the same in words, without the amount; "dense" of the network as it is,
            "as given" of the recipe to begin with.
        merit: bytes, MACs, milliseconds or microjoules, by what the search is for; the smaller the better.
        estimate: accuracy on S_val, as far as it was looked at: share of right answers with a 95 % interval and the images seen.
        verdict: "meets" or "misses" the goal, "undecided" where the time was over. Of an estimate that is not final it holds
            with the interval's 95 %.
        bytes_encoded, macs_nonzero: of the recipe, as `cost` gives them, whatever the search is for.
        seconds: since the search began.
    """

    recipe: Recipe
    family: str
    merit: float
    estimate: Estimate
    verdict: Literal["meets", "misses", "undecided"]
    bytes_encoded: int
    macs_nonzero: int
    seconds: float


@dataclass(frozen=True)
class SearchStep:
    """Where a search is.

    Attributes:
        share: of the time that is spent, in [0, 1]. seconds_left: of the budget. tried: points looked at.
        best: the smallest that is known to meet the goal on all of S_val, None before the dense network was measured.
        text: the same in words. point: the point that was just finished, None in between.
    """

    share: float
    seconds_left: float
    tried: int
    best: SearchPoint | None
    text: str
    point: SearchPoint | None = None


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        best: the smallest point that meets the goal on all of S_val (its estimate is final), or the dense one.
        dense: the network as it is. path: all points, in the order in which they were looked at; the first is the dense one.
        refused: family in words -> why it was not searched, or not to its end.
        merit: "size", "macs", "latency" or "energy". goal: error allowed, a share.
        stopped: "done" where nothing was left to try, "budget" where the time was over. seconds: all of it.
    """

    best: SearchPoint
    dense: SearchPoint
    path: tuple[SearchPoint, ...] = field(repr=False)
    refused: Mapping[str, str] = field(repr=False)
    merit: str
    goal: float
    stopped: Literal["done", "budget"]
    seconds: float

    @property
    def text(self) -> str:
        """The result in words."""
        error, goal = 100 * (1 - self.dense.estimate.accuracy), 100 * self.goal
        if self.dense.verdict == "undecided":
            return "The time was over before the network as it is was measured; nothing was searched. Give more seconds."
        if self.dense.verdict == "misses":
            return (
                f"The network as it is misses the goal: {error:.1f} % wrong on S_val, at most {goal:.1f} % wanted. Nothing "
                "smaller was searched; train it further, or allow more errors."
            )
        tried = f"{len(self.path)} tried in {self.seconds:.0f} s"
        if self.best is self.dense:
            return f"Nothing smaller than the network as it is was found to meet the goal; {tried}."
        if self.best.family == AS_GIVEN:
            return f"Nothing smaller than the recipe to begin with was found to meet the goal; {tried}."
        return (
            f"{in_words(self.merit, self.best.merit)} instead of {in_words(self.merit, self.dense.merit)} "
            f"(1/{self.dense.merit / self.best.merit:.3g}): {self.best.family}, "
            f"{100 * (1 - self.best.estimate.accuracy):.1f} % wrong on S_val; {tried}."
        )

    def front(self) -> tuple[SearchPoint, ...]:
        """The points that no other one beats in both merit and accuracy as estimated, the smallest first. See `pareto_front`."""
        values = np.array([(point.merit, point.estimate.accuracy) for point in self.path])
        return tuple(self.path[position] for position in pareto_front(values))

    def to_frame(self) -> pd.DataFrame:
        """A row for each point of the path: family, amount, merit, accuracy, low, high, n_seen, final, verdict, bytes_encoded,
        macs_nonzero, seconds, is_best, recipe (JSON).
        """
        import pandas as pd  # 30 MB that a lab at work does not need

        rows = []
        for point in self.path:
            pruning, estimate = point.recipe.pruning, point.estimate
            rows.append(
                {
                    "family": point.family,
                    "amount": 0.0 if pruning is None else pruning.amount,
                    "merit": point.merit,
                    "accuracy": estimate.accuracy,
                    "low": estimate.low,
                    "high": estimate.high,
                    "n_seen": estimate.n_seen,
                    "final": estimate.final,
                    "verdict": point.verdict,
                    "bytes_encoded": point.bytes_encoded,
                    "macs_nonzero": point.macs_nonzero,
                    "seconds": point.seconds,
                    "is_best": point is self.best,
                    "recipe": point.recipe.to_json(),
                }
            )
        return pd.DataFrame(rows)
