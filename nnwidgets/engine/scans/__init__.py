"""What happens if only one thing is changed, for all of them in turn."""

from __future__ import annotations

from nnwidgets.engine.scans._remedies import RemedyProgress, RemedyRow, compare_remedies, compare_remedies_steps
from nnwidgets.engine.scans._sensitivity import sensitivity_scan, sensitivity_steps
from nnwidgets.engine.scans._spread import spread_bits
from nnwidgets.engine.scans.records import Progress

__all__ = [
    "Progress",
    "RemedyProgress",
    "RemedyRow",
    "compare_remedies",
    "compare_remedies_steps",
    "sensitivity_scan",
    "sensitivity_steps",
    "spread_bits",
]
