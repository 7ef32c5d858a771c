"""What an evidence test is. Users add their own: see `EvidenceTest`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import ClassVar

from nnwidgets.engine.diagnosis._context import Context
from nnwidgets.engine.diagnosis.records import Evidence

__all__ = ["EvidenceTest", "Finding", "Steps"]

Steps = Generator[None, None, "Finding"]

Finding = tuple[Mapping[str, float], str, Mapping[str, float]]
"""(weights by cause, what was found in words, the same as numbers)."""


class EvidenceTest(ABC):
    """One question that is put to an experiment.

    Attributes:
        name: unique. title: what is looked at. causes: that it can speak for (see `flowchart.CAUSES`).
        method: how, with its formula. source: where that is from. seconds: what it
            usually takes; cheap tests come first, and what does not fit into the budget stays "not tested".
    """

    name: ClassVar[str]
    title: ClassVar[str]
    causes: ClassVar[tuple[str, ...]] = ()
    method: ClassVar[str]
    source: ClassVar[str] = ""
    seconds: ClassVar[float] = 0.1

    def why_not(self, ctx: Context) -> str:
        """Why it does not apply here; "" where it does."""
        return ""

    def worth(self, branch: str, found: Mapping[str, Evidence]) -> float:
        """How much its answer would tell now; per second it decides what is looked at next. 0: nothing.

        Args:
            branch: as `branch_of` says. found: by name, what other tests have found.
        """
        return 1.0

    @abstractmethod
    def steps(self, ctx: Context) -> Steps:
        """Look: yields at least every 20 ms of work and returns what was found."""

    def evidence(self, finding: Finding, seconds: float) -> Evidence:
        """What was found, with this test's words."""
        weights, text, numbers = finding
        return Evidence(self.name, self.title, weights, text, numbers, seconds, "done", self.method, self.source)

    def without(self, state: str, text: str) -> Evidence:
        """Nothing was found: "not tested", "does not apply" or "failed", and why."""
        return Evidence(self.name, self.title, {}, text, {}, 0.0, state, self.method, self.source)
