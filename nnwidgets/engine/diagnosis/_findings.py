"""What is known about one experiment: its errors, what each test found, and what follows from that."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from functools import partial

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence import ALL, EvidenceTest
from nnwidgets.engine.diagnosis.flowchart import CAUSES, Share, branch_of
from nnwidgets.engine.diagnosis.records import Cause, Diagnosis, DiagnosisStep, Evidence, described
from nnwidgets.engine.errors import DataError, InputError, NnwError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.values._fields import nearest
from nnwidgets.engine.values.steps import retold

__all__ = ["Findings", "ranked"]

# Before any test: how likely a cause is on a branch, as logarithms of odds. Without evidence the lecture's first advice stands.
_PRIORS = {
    "goal_met": {"goal_met": 5.0},
    "train_high": {"enlarge_network": 0.5, "goal_met": -9.0},
    "test_high": {"more_data": 0.5, "regularize": 0.2, "shrink_network": -0.3, "enlarge_network": -3.0, "goal_met": -9.0},
    "unknown": {"goal_met": -9.0},
}
_RARE = dict.fromkeys(("implementation", "dead_units", "preprocessing", "leakage", "mismatch"), -1.0)
_ONLY_WITH_E_TRAIN_HIGH = (
    "learning_rate_high",
    "learning_rate_low",
    "regularization_too_strong",
    "training_algorithm",
    "dead_units",
)
_SHARPNESS = 0.8  # of the confidence; set on planted faults
_TELLS_S, _FARTHEST = 0.5, 10.0  # usual seconds of tests that ran which tell the pace of this machine; the farthest pace
_ALONE_S = 30.0  # seconds that one test may take which was asked for by name


class Findings:
    """Grows as tests are run; every method that runs something is a generator for a job.

    Args:
        experiment: what is looked at. tests: which evidence there is.

    Raises:
        DataError: no labels at all.

    Attributes:
        errors: by sample, as far as known. measured: samples whose errors are final. evidence: by test. seconds: spent so
            far. context: what tests share.
    """

    def __init__(self, experiment: Experiment, tests: Sequence[EvidenceTest] = ALL) -> None:
        self.experiment, self.tests = experiment, tuple(tests)
        self.context = Context(experiment, _ALONE_S)
        if not self.context.splits:
            raise DataError("got images without labels; a diagnosis needs Split(images, labels).")
        self.errors: dict[str, Share] = {}
        self.measured: set[str] = set()
        self.evidence: dict[str, Evidence] = {}
        self.seconds = 0.0

    # --- running ------------------------------------------------------------------------------------------------------

    def measure(self) -> Generator[str, None, None]:
        """Measure the errors of all samples; yields what is being done."""
        there = [name for name in ("train", "val", "test") if name in self.context.splits and name not in self.measured]
        for measure in (self.context.error, self.context.whole_error):  # the first 2,000 images can be shown at once
            for name in there:
                self.errors[name] = yield from retold(measure(name), lambda: "Measuring the errors")
        self.measured |= set(there)

    def run(self, name: str, budget_s: float = _ALONE_S) -> Generator[str, None, Evidence]:
        """Run one test by name, again if it was run before.

        Raises:
            InputError: no such test.
        """
        test = self._find(name)
        yield from self.measure()
        self.context.ends = time.monotonic() + budget_s
        began = time.monotonic()
        found = yield from self._run(test, self.branch, asked=True)
        self.seconds += time.monotonic() - began
        return found

    def run_all(self, budget_s: float) -> Generator[DiagnosisStep, None, Diagnosis]:
        """Run what tells most a second until the budget is over; the rest stays "not tested"."""
        began = time.monotonic()
        self.context.ends = began + budget_s

        def step(text: str) -> DiagnosisStep:
            return DiagnosisStep(min(1.0, (time.monotonic() - began) / budget_s), text, tuple(self.evidence.values()))

        measuring = self.measure()
        yield from retold(measuring, partial(step, "Measuring the errors"))
        branch = self.branch
        waiting = [
            test for test in self.tests if test.name not in self.evidence or self.evidence[test.name].state == "not tested"
        ]
        while waiting:
            worths = [(test.worth(branch, self.evidence), test) for test in waiting]
            _, test = max(worths, key=lambda pair: pair[0] / pair[1].seconds)
            waiting.remove(test)
            yield step(test.title)
            yield from retold(self._run(test, branch), partial(step, test.title))
        self.seconds += time.monotonic() - began
        return self.diagnosis()

    def _run(self, test: EvidenceTest, branch: str, asked: bool = False) -> Generator[str, None, Evidence]:
        ctx, at = self.context, time.monotonic()
        try:
            why = test.why_not(ctx)
            if why:
                found = test.without("does not apply", why)
            elif not asked and test.worth(branch, self.evidence) <= 0:
                found = test.without("not tested", "it would tell nothing here")
            elif not asked and ctx.left < 0.5 * test.seconds:
                found = test.without("not tested", f"it takes about {test.seconds:.1f} s, the budget was over")
            else:
                finding = yield from retold(test.steps(ctx), lambda: test.title)
                found = test.evidence(finding, time.monotonic() - at)
        except NnwError as error:
            found = test.without("does not apply", str(error))
        except Exception as error:  # one's own step, loss or test of evidence: the others go on
            found = test.without("failed", f"{type(error).__name__}: {error}")
        self.evidence[test.name] = found
        return found

    def seconds_of(self, test: EvidenceTest) -> float:
        """What a test took here; before it was run, what it usually takes, times how far those that ran were from that."""
        found = self.evidence.get(test.name)
        if found is not None and found.state == "done":
            return found.seconds
        ran = [each for each in self.tests if each.name in self.evidence and self.evidence[each.name].state == "done"]
        usual = sum(each.seconds for each in ran)
        if usual < _TELLS_S:
            return test.seconds
        pace = sum(self.evidence[each.name].seconds for each in ran) / usual
        return test.seconds * min(_FARTHEST, max(1 / _FARTHEST, pace))

    @property
    def seconds_left(self) -> float:
        """What the tests that would tell something now, and have not been run, are likely to take."""
        open_tests = [
            each for each in self.tests if each.name not in self.evidence or self.evidence[each.name].state == "not tested"
        ]
        return sum(self.seconds_of(each) for each in open_tests if not self.errors or each.worth(self.branch, self.evidence) > 0)

    def _find(self, name: str) -> EvidenceTest:
        for test in self.tests:
            if test.name == name:
                return test
        raise InputError(f"there is no test {name!r:.60}; {nearest(name, {test.name for test in self.tests})}")

    # --- what follows -------------------------------------------------------------------------------------------------

    @property
    def _way(self) -> tuple[str, bool]:
        errors = self.errors
        of_test = errors.get("test") or errors.get("val") or errors.get("train")
        return ("unknown", False) if of_test is None else branch_of(errors.get("train"), of_test, self.experiment.goal)

    @property
    def branch(self) -> str:
        """ "goal_met", "train_high", "test_high" or "unknown", against the present goal."""
        return self._way[0]

    @property
    def decided(self) -> bool:
        """Whether the branch is beyond noise."""
        return self._way[1]

    @property
    def causes(self) -> tuple[Cause, ...]:
        """All causes, the likeliest first."""
        return ranked(self.branch, tuple(self.evidence.values()))

    def diagnosis(self) -> Diagnosis:
        """All of it as a record."""
        notes = () if "train" in self.context.splits else ("Without S_train only S_test could be looked at.",)
        found = tuple(self.evidence.values())
        return Diagnosis(
            self.branch, self.decided, self.causes, dict(self.errors), self.experiment.goal, found, self.seconds, notes
        )


def ranked(branch: str, found: Sequence[Evidence]) -> tuple[Cause, ...]:
    """Causes by the sum of what speaks for each, the likeliest first; confidences add up to 1."""
    scores = {name: _PRIORS[branch].get(name, _RARE.get(name, 0.0)) for name in CAUSES}
    for evidence in found:
        for name, weight in evidence.weights.items():
            scores[name] += weight
    if branch == "test_high":
        for name in _ONLY_WITH_E_TRAIN_HIGH:
            scores[name] -= 2.0
    top = max(scores.values())
    odds = {name: math.exp(_SHARPNESS * (score - top)) for name, score in scores.items()}
    whole = sum(odds.values())
    order = sorted(scores, key=lambda name: -scores[name])
    return tuple(
        described(
            name,
            odds[name] / whole,
            tuple(sorted((e for e in found if e.weights.get(name)), key=lambda e, n=name: -abs(e.weights[n]))),  # type: ignore[misc]
        )
        for name in order
    )
