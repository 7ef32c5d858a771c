"""One candidate against the goal: images are looked at until the answer is clear."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.evaluation import Prepared, Strata, Tally, answers, passes, strata_of
from nnwidgets.engine.values.intervals import exact_finite
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import Estimate
from nnwidgets.engine.values.split import Split

__all__ = ["Candidate", "Course"]

Verdict = Literal["meets", "misses", "undecided"]

_FIRST, _LARGEST = 64, 1024  # images between two decisions: they double
_ROUNDING = 1e-9


class Candidate:
    """A recipe and what is known of its accuracy.

    Images are handed out in portions of fixed sizes, and decided upon only at the end of one: how fast the machine is, which sets
    the size of batches, changes neither which images are seen nor when it ends.
    """

    def __init__(self, recipe: Recipe, tally: Tally, goal: float) -> None:
        self.recipe = recipe
        self.estimate: Estimate | None = None
        self._tally, self._least = tally, 1 - goal - _ROUNDING
        self._waiting, self._portion = np.zeros(0, np.int64), _FIRST
        self._handed, self._decided = 0, False

    @property
    def verdict(self) -> Verdict:
        """What is known at the end of a portion."""
        if self.estimate is None or not self._decided:
            return "undecided"
        return "misses" if self.estimate.high < self._least else "meets"

    @property
    def final(self) -> bool:
        """All images were seen."""
        return self.estimate is not None and self.estimate.final

    @property
    def margin(self) -> npt.NDArray[np.float32]:
        """(N,) logit of the label minus the best other one, NaN where not seen."""
        return self._tally.margin

    def draw(self, size: int) -> npt.NDArray[np.int64]:
        """The next positions, at most ``size`` and at most what is left of the portion."""
        if not len(self._waiting):
            self._waiting = self._tally.draw(self._portion)
            self._handed += len(self._waiting)
            self._portion = min(2 * self._portion, _LARGEST)
        given, self._waiting = self._waiting[:size], self._waiting[size:]
        return given

    def add(self, index: npt.NDArray[np.int64], right: npt.NDArray[np.bool_], margin: npt.NDArray[np.float32]) -> Estimate:
        """Count answers."""
        self.estimate = told = self._tally.add(index, right, margin)
        if told.n_seen == self._handed == min(_FIRST, told.n_total) and not told.final:
            # The first portion is drawn from the whole sample: of it alone an exact interval holds.
            found = int(self._tally.right.sum())
            interval = exact_finite(found, told.n_seen, told.n_total)
            self.estimate = told = Estimate(found / told.n_seen, *interval, told.n_seen, told.n_total)
            self._decided = self._clear(told)
        else:
            self._decided = told.final or (told.n_seen == self._handed and self._tally.settled and self._clear(told))
        return told

    def _clear(self, told: Estimate) -> bool:
        return told.low >= self._least or told.high < self._least


class Course:
    """Where candidates run: a quick copy that recipes are written into, for one thread at a time.

    Args:
        model: what the plan is for; copied. val: S_val with labels. goal: error allowed. seed: of the order of images.
    """

    def __init__(self, model: nn.Module, plan: CompressionPlan, val: Split, goal: float, seed: int) -> None:
        self._plan, self._val, self._goal, self._seed = plan, val, goal, seed
        self._quick = Prepared(model, plan.trace.input_shape, val.inputs(slice(0, 8)), plan.trace)
        self._strata: Strata | None = None

    def candidate(self, recipe: Recipe) -> Candidate:
        """A recipe that was not looked at yet. The images that tell most come first, by the last one that was seen to its end."""
        return Candidate(recipe, Tally(len(self._val), self._strata, seed=self._seed), self._goal)

    def run(self, candidate: Candidate, exact: bool = False) -> Generator[None, None, None]:
        """Look at images until the verdict is clear, or with ``exact`` until all were seen; it goes on where it was left."""
        if candidate.final:
            return
        yield from self._plan.making(candidate.recipe)
        self._quick.write(lambda network: self._plan.load(candidate.recipe, network))
        yield
        assert self._val.labels is not None
        labels = self._val.labels.cpu()
        with contextlib.closing(passes(self._quick, self._val, candidate.draw)) as seen:
            for index, logits in seen:
                candidate.add(index.numpy(), *answers(logits, labels[index]))
                yield
                if candidate.verdict != "undecided" and not exact:
                    break
        if candidate.estimate is not None and candidate.estimate.n_seen == len(self._val):
            self._strata = strata_of(labels.numpy(), candidate.margin) or self._strata
