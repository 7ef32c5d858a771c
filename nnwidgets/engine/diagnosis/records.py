"""What a diagnosis says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from nnwidgets.engine.diagnosis.flowchart import CAUSES, Share

__all__ = ["WEAK", "Cause", "Diagnosis", "DiagnosisStep", "Evidence", "badge_for"]

WEAK = 0.8  # a weight from which on evidence speaks for a cause at all
_STRONG = 2.5


def badge_for(weight: float) -> str:
    """What a weight, or a sum of weights, says for a cause: "strong", "weak" or "none"."""
    return "strong" if weight >= _STRONG else "weak" if weight >= WEAK else "none"


@dataclass(frozen=True)
class Evidence:
    """What one test found.

    Attributes:
        test: its name. title: in words. weights: by cause, how much it speaks for it (natural logarithm of the odds; below 0:
            against it). text: what was found, with its numbers. numbers: the same as data. seconds: that it took.
        state: "done", "not tested" (the budget was over, or it would tell nothing), "does not apply" or "failed" (one's own code
            raised); ``text`` says why.
        method, source: how it works, and where that is from.
    """

    test: str
    title: str
    weights: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    state: str = "done"
    method: str = ""
    source: str = ""

    def badge(self, cause: str) -> str:
        """What it says for a cause: "strong", "weak", "none" or "not tested"."""
        if self.state != "done":
            return "not tested"
        return badge_for(self.weights.get(cause, 0.0))


@dataclass(frozen=True)
class Cause:
    """A cause that was considered.

    Attributes:
        name, family, leaf, title, action: see `flowchart.CAUSES`. confidence: share in [0, 1]; those of all causes add up to 1.
        evidence: the tests that speak for it or against it, the strongest first.
    """

    name: str
    family: str
    leaf: str
    title: str
    action: str
    confidence: float
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Diagnosis:
    """Why the error is above the goal, as far as it can be told.

    Attributes:
        branch: "goal_met", "train_high", "test_high" or "unknown"; decided: whether that is beyond noise.
        causes: ranked, the likeliest first. errors: by sample. goal: the error that is needed. evidence: of all tests, in the
            order in which they ran. seconds: in all. notes: what could not be looked at.
    """

    branch: str
    decided: bool
    causes: tuple[Cause, ...]
    errors: Mapping[str, Share]
    goal: float
    evidence: tuple[Evidence, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row a cause: name, family, confidence, what speaks for it, action."""
        rows = [
            {
                "cause": cause.name,
                "family": cause.family,
                "confidence": cause.confidence,
                "evidence": "; ".join(e.text for e in cause.evidence if e.text and e.weights.get(cause.name, 0) > 0),
                "action": cause.action,
            }
            for cause in self.causes
        ]
        return pd.DataFrame(rows, columns=["cause", "family", "confidence", "evidence", "action"])

    def __str__(self) -> str:
        lines = [
            ", ".join(
                f"E_{name} {100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"
                for name, share in self.errors.items()
            )
            + f", E_goal {100 * self.goal:.1f} %: "
            + {"goal_met": "the goal is met", "train_high": "E_train is too high", "test_high": "E_test alone is too high"}.get(
                self.branch, "without S_train the branch cannot be told"
            )
            + ("" if self.decided else " (cannot be told beyond noise)")
        ]
        for place, cause in enumerate(self.causes[:3], 1):
            lines.append(f"{place}. {cause.title} ({100 * cause.confidence:.0f} %). {cause.action}")
            lines += [f"   {each.text}" for each in cause.evidence if each.text and each.weights.get(cause.name, 0) > 0]
        return "\n".join(lines + list(self.notes))


@dataclass(frozen=True)
class DiagnosisStep:
    """How far a diagnosis is.

    Attributes:
        share: of the budget. text: what is being looked at. evidence: what was found so far.
    """

    share: float
    text: str
    evidence: tuple[Evidence, ...]


def described(name: str, confidence: float, evidence: tuple[Evidence, ...]) -> Cause:
    """A cause with its words."""
    text = CAUSES[name]
    return Cause(name, text.family, text.leaf, text.title, text.action, confidence, evidence)
