"""The present state of an experiment, measured in the background: cost at once, accuracy as a stream that ends exact."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nnwidgets.engine.costs import energy_of
from nnwidgets.engine.evaluation import Strata, Tally, strata_of, stream
from nnwidgets.engine.experiment.events import Event
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.values.records import Cost, Estimate

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.experiment.bench import Bench

__all__ = ["Live", "Visit"]

_SLOT = "live"
_KEPT_VISITS = 500
_WORTH_KEEPING = 0.02  # half-width below which an unfinished estimate is kept as a visited point


@dataclass(frozen=True)
class Visit:
    """A state that was measured on a sample.

    Attributes:
        bytes_encoded: its size; bytes_on_disk: of a real file, None until one was written.
        macs_nonzero, energy_uj: multiply-accumulates, and the energy, of hardware that does not execute or read zeros.
        estimate: accuracy as far as known.
    """

    state: State
    sample: str
    bytes_encoded: int  # not the whole cost: hundreds of visits are kept
    bytes_on_disk: int | None
    macs_nonzero: int
    energy_uj: float
    estimate: Estimate


class Live:
    """Measures ``exp.state`` whenever it changes, as long as somebody is subscribed. Read its attributes in a subscriber.

    Attributes:
        state: the state that the figures are of, which may lag behind ``exp.state``.
        cost, estimate: of that state; None before they are known. dense_cost, dense: of the dense network.
        visits: states measured so far, oldest first.
        sample: "test" or "val", what accuracy is measured on. at_rest: nothing is left to measure.
        looks: how many different states were measured on S_test.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._exp = experiment
        self.state = State()
        self.cost: Cost | None = None
        self.dense_cost: Cost | None = None
        self.estimate: Estimate | None = None
        self.at_rest = False
        self.looks = 0
        self._asked = 0  # counts the measurements asked for: only the newest one ends at rest
        self._sample = "test" if experiment.test is not None else "val"
        self._visits: OrderedDict[tuple[object, ...], Visit] = OrderedDict()
        self._dense: dict[str, Estimate] = {}
        self._strata: dict[str, Strata] = {}  # by label and margin at the last position that tells

    @property
    def sample(self) -> str:
        """What accuracy is measured on: "test" or "val"."""
        return self._sample

    @property
    def dense(self) -> Estimate | None:
        """Accuracy of the dense network on the present sample."""
        return self._dense.get(self._sample)

    @property
    def visits(self) -> tuple[Visit, ...]:
        """States measured on the present sample, oldest first."""
        return tuple(visit for visit in list(self._visits.values()) if visit.sample == self._sample)

    def choose_sample(self, sample: str) -> None:
        """Measure on "test" or "val" from now on.

        Raises:
            InputError: another name, or a sample that the experiment does not have.
        """
        self._exp.split(sample)
        if sample != self._sample:
            self._sample, self.estimate = sample, None
            self.refresh()

    def refresh(self) -> None:
        """Measure the present state anew, in the background. Without a subscriber nothing is done."""
        if self._exp.has_subscribers:
            self.at_rest = False
            self._asked += 1
            run = self._asked
            self._exp.jobs.submit(
                _SLOT, lambda: self._run(run), on_error=lambda error: self._failed(run, error), interactive=True
            )

    def forget(self) -> None:
        """Drop all that was measured, as after the dense network was changed from outside."""
        self._visits.clear()
        self._dense.clear()
        self._strata.clear()
        self.cost = self.dense_cost = self.estimate = None

    def _failed(self, run: int, error: BaseException) -> None:
        self.at_rest = run == self._asked  # else a newer measurement is waiting
        self._exp.emit(Event("error", error=error, title="The present state could not be measured"))

    def _run(self, run: int) -> Iterator[None]:
        """One measurement: figures, then accuracy until it is exact, then the dense network if it is not known yet."""
        try:
            yield from self._prepared()
            self._exp.commit_requests()
            self._exp.notice_changes()
            yield from self._prepared()  # once more where the network was changed from outside
        except Exception as error:  # told even if a newer run is waiting: what was refused is taken out of the requests
            self._failed(run, error)
            return
        yield
        state, sample = self._exp.state, self._sample
        bench = self._exp.bench(state.weights_key)
        yield from bench.plan.fitting(state.recipe)
        cost = bench.plan.figures(state.recipe)
        if self.dense_cost is None:
            self.dense_cost = self._exp.bench(None).plan.figures(State().recipe)
        known = self._visits.get((state, sample))
        if known is not None and known.bytes_on_disk is not None:
            cost = replace(cost, bytes_on_disk=known.bytes_on_disk)
        self.state, self.cost, self.estimate = state, cost, known.estimate if known else None
        self._exp.emit(Event("figures"))
        yield
        if known is None or not known.estimate.final:
            yield from self._measure(bench, state, sample)
        if not self._dense_known(sample):
            yield from self._measure_dense(sample)
        if self.estimate is not None and self.estimate.difference is None:  # measured before the dense network was
            difference = self.estimate.accuracy - self._dense[sample].accuracy
            self.estimate = replace(self.estimate, difference=difference, difference_low=difference, difference_high=difference)
            self._visit(state, sample, self.estimate)
            self._exp.emit(Event("estimate"))
        if run == self._asked:
            self.at_rest = True
            self._exp.emit(Event("rest"))

    def _prepared(self) -> Iterator[None]:
        """Find what the criterion of the next recipe, or of the present one, has to know."""
        for scoring in self._exp.preparing():
            self._exp.emit(Event("scoring", scoring=scoring))
            yield

    def _measure(self, bench: Bench, state: State, sample: str) -> Iterator[None]:
        if sample == "test" and (state, sample) not in self._visits:
            self.looks += 1
        yield from bench.plan.making(state.recipe)
        for estimate in self._stream(bench, state, sample):
            self.estimate = estimate
            self._visit(state, sample, estimate)
            if estimate.final and state == State():
                self._dense[sample] = estimate
            self._exp.emit(Event("estimate"))
            yield

    def _measure_dense(self, sample: str) -> Iterator[None]:
        for estimate in self._stream(self._exp.bench(None), State(), sample):
            self._dense[sample] = estimate
            yield

    def _stream(self, bench: Bench, state: State, sample: str) -> Iterator[Estimate]:
        """Estimates of one state. The images that tell most come first, by the last useful state that was measured to its end."""
        split, dense = self._exp.split(sample), self._dense.get(sample)
        reference = dense.accuracy if dense is not None and dense.final else None
        tally = Tally(len(split), self._strata.get(sample), reference)
        with contextlib.closing(stream(bench.load(state.recipe), split, tally)) as estimates:
            for estimate in estimates:
                if estimate.final and split.labels is not None:
                    strata = strata_of(split.labels.cpu().numpy(), tally.margin)
                    if strata is not None:
                        self._strata[sample] = strata
                yield estimate

    def _dense_known(self, sample: str) -> bool:
        return sample in self._dense and self._dense[sample].final

    def _visit(self, state: State, sample: str, estimate: Estimate) -> None:
        worth = estimate.final or (estimate.high - estimate.low) / 2 <= _WORTH_KEEPING
        known = self._visits.get((state, sample))
        if not worth or self.cost is None or (known is not None and known.estimate.final and not estimate.final):
            return
        cost = self.cost
        joules = energy_of(cost, state.recipe).total_nonzero_uj
        self._visits[(state, sample)] = Visit(
            state, sample, cost.bytes_encoded, cost.bytes_on_disk, cost.macs_nonzero, joules, estimate
        )
        while len(self._visits) > _KEPT_VISITS:
            self._visits.popitem(last=False)

    def record_disk(self, state: State, size: int) -> None:
        """Note the size in bytes of a real file that was written for a state."""
        for key, visit in list(self._visits.items()):
            if visit.state == state:
                self._visits[key] = replace(visit, bytes_on_disk=size)
        if self.cost is not None and self.state == state:
            self.cost = replace(self.cost, bytes_on_disk=size)
            self._exp.emit(Event("figures"))
