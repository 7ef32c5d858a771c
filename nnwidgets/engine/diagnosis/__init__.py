"""Why a network is not good enough: the lecture's flowchart, measured; and faults with a known cause to try that on."""

from __future__ import annotations

from nnwidgets.engine.diagnosis._analysis import Analysis, TrialStep, list_remedies, try_remedy
from nnwidgets.engine.diagnosis._diagnose import diagnose, diagnose_steps
from nnwidgets.engine.diagnosis.evidence import ALL, EvidenceTest
from nnwidgets.engine.diagnosis.records import Cause, Diagnosis, DiagnosisStep, Evidence
from nnwidgets.engine.diagnosis.remedies import REMEDIES, Remedy
from nnwidgets.engine.diagnosis.trials import Trial

__all__ = [
    "ALL",
    "REMEDIES",
    "Analysis",
    "Cause",
    "Diagnosis",
    "DiagnosisStep",
    "Evidence",
    "EvidenceTest",
    "Remedy",
    "Trial",
    "TrialStep",
    "diagnose",
    "diagnose_steps",
    "list_remedies",
    "try_remedy",
]
