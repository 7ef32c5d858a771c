"""Why a network is not good enough: the branch of the flowchart, and the causes ranked by evidence."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

from nnwidgets.engine.diagnosis._findings import Findings
from nnwidgets.engine.diagnosis.evidence import ALL, EvidenceTest
from nnwidgets.engine.diagnosis.records import Diagnosis, DiagnosisStep
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.values.steps import result_of

__all__ = ["check_budget", "diagnose", "diagnose_steps"]


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
    check_budget(budget_s)
    return (yield from Findings(experiment, tests).run_all(float(budget_s)))


def check_budget(budget_s: object) -> None:
    """Check that a budget is a time.

    Raises:
        InputError: it is no positive number.
    """
    if isinstance(budget_s, bool) or not isinstance(budget_s, int | float) or not math.isfinite(budget_s) or budget_s <= 0:
        raise InputError(f"budget_s: got {budget_s!r}, expected seconds, such as 60.")
