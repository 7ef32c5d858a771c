"""Practice in the error analysis: which fault is to be found, what was guessed, and what of that is shown."""

from __future__ import annotations

from typing import Any

from nnwidgets.engine.diagnosis._findings import Findings
from nnwidgets.engine.diagnosis.flowchart import CAUSES
from nnwidgets.engine.diagnosis.practice import FAULT_NAMES, Exercise, PracticeResult, result_of_guess
from nnwidgets.engine.errors import InputError

__all__ = ["NO_PRACTICE", "PracticeState"]

NO_PRACTICE: dict[str, Any] = {
    "state": "off", "seed": 0, "text": "", "options": [], "guess": "", "truth": "", "score": "", "used": 0,
}  # fmt: skip


class PracticeState:
    """One exercise from its beginning to its end.

    Attributes:
        exercise: None while no practice is on. result: once a guess was committed. used: names of the tests that were run.
    """

    def __init__(self) -> None:
        self.exercise: Exercise | None = None
        self.result: PracticeResult | None = None
        self.used: set[str] = set()

    @property
    def secret(self) -> bool:
        """Whether there is something to be found still: no ranking may be shown."""
        return self.exercise is not None and self.result is None

    def begin(self, exercise: Exercise) -> None:
        """A new fault to find."""
        self.exercise, self.result, self.used = exercise, None, set()

    def count(self, findings: Findings) -> None:
        """Note which tests were run before the guess."""
        if self.secret:
            self.used |= {each.test for each in findings.evidence.values() if each.state == "done"}

    def guess(self, cause: str) -> None:
        """Commit a guess; the first one stands.

        Raises:
            InputError: no practice is on, or no such cause.
        """
        if self.exercise is None:
            raise InputError("guess: no practice is on; start one first.")
        if self.result is None:
            self.result = result_of_guess(self.exercise, cause, len(self.used))

    def end(self) -> None:
        """No practice any more."""
        self.exercise = self.result = None

    def record(self) -> dict[str, Any]:
        """What the front end shows of it."""
        exercise, result = self.exercise, self.result
        if exercise is None:
            return NO_PRACTICE
        options = [{"value": name, "label": CAUSES[name].title} for name in CAUSES]
        shown = {**NO_PRACTICE, "seed": exercise.seed, "options": options, "used": len(self.used)}
        if result is None:
            words = "A fault may be planted in this network, its data or its code. Run few tests, then commit your guess."
            return {**shown, "state": "guessing", "text": words}
        right = " or ".join(CAUSES[name].title for name in sorted(exercise.answers))
        return {
            **shown,
            "state": "revealed",
            "text": "Right." if result.right else f"Expected: {right}.",
            "guess": result.guess,
            "truth": f"{exercise.fault}: {FAULT_NAMES[exercise.fault]}",
            "score": f"{result.score} of 10",
        }
