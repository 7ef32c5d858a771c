"""Why a network is not good enough: the branch of the flowchart, and the causes ranked by evidence."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.evidence import ALL, EvidenceTest
from nnwidgets.engine.diagnosis.flowchart import CAUSES, Share, branch_of
from nnwidgets.engine.diagnosis.records import Cause, Diagnosis, Evidence, described
from nnwidgets.engine.errors import DataError, InputError, NnwError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.values.steps import result_of, retold

__all__ = ["DiagnosisStep", "diagnose", "diagnose_steps"]

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


@dataclass(frozen=True)
class DiagnosisStep:
    """How far a diagnosis is.

    Attributes:
        share: of the budget. text: what is being looked at. evidence: what was found so far.
    """

    share: float
    text: str
    evidence: tuple[Evidence, ...]


def diagnose(experiment: Experiment, budget_s: float = 60, tests: Sequence[EvidenceTest] = ALL) -> Diagnosis:
    """Measure why an experiment misses its goal: one branch of the lecture's flowchart, and ranked causes with their evidence.

    Args:
        experiment: with S_test, S_train or both. budget_s: seconds; cheap tests come first, what does not fit stays "not tested".
        tests: which evidence is looked at; add your own (`EvidenceTest`).

    Raises:
        InputError: not an experiment, or a budget that is no positive number. DataError: no labels at all.
    """
    return result_of(diagnose_steps(experiment, budget_s, tests))


def diagnose_steps(
    experiment: Experiment, budget_s: float = 60, tests: Sequence[EvidenceTest] = ALL
) -> Generator[DiagnosisStep, None, Diagnosis]:
    """As `diagnose`, for a job: yields at least every batch or training step, and returns the record."""
    if not isinstance(experiment, Experiment):
        raise InputError(f"experiment: got {type(experiment).__name__}, expected an Experiment.")
    if isinstance(budget_s, bool) or not isinstance(budget_s, int | float) or not math.isfinite(budget_s) or budget_s <= 0:
        raise InputError(f"budget_s: got {budget_s!r}, expected seconds, such as 60.")
    began = time.monotonic()
    ctx = Context(experiment, float(budget_s))
    if not ctx.splits:
        raise DataError("got images without labels; a diagnosis needs Split(images, labels).")
    found: list[Evidence] = []

    def step(text: str) -> DiagnosisStep:
        return DiagnosisStep(min(1.0, (time.monotonic() - began) / budget_s), text, tuple(found))

    errors: dict[str, Share] = {}
    for name in ("train", "val", "test"):
        if name in ctx.splits:
            work = ctx.error(name)
            errors[name] = yield from retold(work, partial(step, "Measuring the errors"))
    of_test = errors.get("test") or errors.get("val") or errors["train"]
    branch, decided = branch_of(errors.get("train"), of_test, experiment.goal)
    waiting = list(tests)
    while waiting:
        known = {each.test: each for each in found}
        worth, test = max(((each.worth(branch, known), each) for each in waiting), key=lambda pair: pair[0] / pair[1].seconds)
        waiting.remove(test)
        at = time.monotonic()
        try:
            why = test.why_not(ctx)
            if why:
                found.append(test.without("does not apply", why))
            elif worth <= 0:
                found.append(test.without("not tested", "it would tell nothing here"))
            elif ctx.left < 0.5 * test.seconds:
                found.append(test.without("not tested", f"it takes about {test.seconds:.1f} s, the budget was over"))
            else:
                finding = yield from retold(test.steps(ctx), partial(step, test.title))
                found.append(test.evidence(finding, time.monotonic() - at))
        except NnwError as error:
            found.append(test.without("does not apply", str(error)))
        except Exception as error:  # one's own step, loss or test of evidence: the others go on
            found.append(test.without("failed", f"{type(error).__name__}: {error}"))
    causes = _ranked(branch, found)
    notes = () if "train" in ctx.splits else ("Without S_train only S_test could be looked at.",)
    return Diagnosis(branch, decided, causes, errors, experiment.goal, tuple(found), time.monotonic() - began, notes)


def _ranked(branch: str, found: Sequence[Evidence]) -> tuple[Cause, ...]:
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
