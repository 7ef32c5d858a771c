"""Why a network is not good enough: the lecture's flowchart, measured; and faults with a known cause to try that on."""

from __future__ import annotations

from nnwidgets.engine.diagnosis._diagnose import DiagnosisStep, diagnose, diagnose_steps
from nnwidgets.engine.diagnosis.evidence import ALL, EvidenceTest
from nnwidgets.engine.diagnosis.records import Cause, Diagnosis, Evidence

__all__ = ["ALL", "Cause", "Diagnosis", "DiagnosisStep", "Evidence", "EvidenceTest", "diagnose", "diagnose_steps"]
