"""Practice: a planted fault to find, a guess, a score, and a result that a teacher can check."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnwidgets.engine.diagnosis.flowchart import CAUSES
from nnwidgets.engine.diagnosis.plants import list_faults, planted
from nnwidgets.engine.diagnosis.plants._faults import FAULTS
from nnwidgets.engine.errors import InputError
from nnwidgets.engine.experiment import Experiment

__all__ = ["Exercise", "PracticeResult", "check_practice", "draw_exercise", "score_of"]

_FORMAT = "nnwidgets.practice.1"
_FULL, _FAMILY, _FREE_TESTS = 10, 4, 3
_TRIES = 20


@dataclass(frozen=True)
class Exercise:
    """A planted fault: the experiment to look at, and what is hidden until the guess.

    Attributes:
        seed: of the student or of chance. fault, plant_seed: what was planted; answers: causes that are right.
    """

    seed: int
    fault: str
    plant_seed: int
    answers: frozenset[str]
    experiment: Experiment


@dataclass(frozen=True)
class PracticeResult:
    """How it ended: the guess, what was planted, tests used, points of 10."""

    seed: int
    fault: str
    guess: str
    right: bool
    tests: int
    score: int

    def to_text(self) -> str:
        """A small file; it holds a mark of its own contents, so that a slip of the pen is noticed."""
        data = {"format": _FORMAT, **{name: getattr(self, name) for name in _FIELDS}}
        return json.dumps({**data, "mark": _mark(data)}, indent=1)


_FIELDS = ("seed", "fault", "guess", "right", "tests", "score")


def draw_exercise(seed: int) -> Exercise:
    """The fault of a seed: the same for everybody who draws it. Plants that do not hurt are passed over.

    Raises:
        InputError: a seed that is no integer of at least 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed: got {seed!r}, expected an integer of at least 0, such as the number of a student.")
    draw = np.random.default_rng([seed, 41])
    names = list_faults()
    for _ in range(_TRIES):
        name, plant_seed = names[int(draw.integers(len(names)))], int(draw.integers(1000))
        found = planted(name, plant_seed)
        if found.hurts or name == "healthy":
            return Exercise(seed, name, plant_seed, found.answers, found.experiment)
    raise AssertionError("of so many plants one hurts")


def score_of(guess: str, answers: frozenset[str], tests: int) -> int:
    """Points: 10 for a right cause, 4 for another of its family; one less for each two tests beyond the first three, at least 1.

    Raises:
        InputError: no such cause.
    """
    if guess not in CAUSES:
        raise InputError(f"guess: got {guess!r:.60}, expected one of {', '.join(CAUSES)}.")
    families = {CAUSES[answer].family for answer in answers}
    points = _FULL if guess in answers else _FAMILY if CAUSES[guess].family in families else 0
    return max(1, points - max(0, tests - _FREE_TESTS) // 2) if points else 0


def result_of_guess(exercise: Exercise, guess: str, tests: int) -> PracticeResult:
    """What a guess is worth."""
    score = score_of(guess, exercise.answers, tests)
    return PracticeResult(exercise.seed, exercise.fault, guess, guess in exercise.answers, tests, score)


def check_practice(text: str) -> PracticeResult:
    """Read a result that was handed in, and work its fault and its score out again from its seed.

    It tells a slip from a result that fits; whoever has the package can also work out the answer of a seed beforehand.

    Raises:
        InputError: no such file, changed contents, or a fault and a score that do not follow from the seed and the guess.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        mark = data.pop("mark")
        found = PracticeResult(**{name: data[name] for name in _FIELDS})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"this is no result of a practice: {type(error).__name__}: {error}.") from error
    if data.get("format") != _FORMAT or mark != _mark(data):
        raise InputError("this result was changed after it was saved; ask for the file as it was.")
    exercise = draw_exercise(found.seed)
    if exercise.fault != found.fault or found != result_of_guess(exercise, found.guess, found.tests):
        raise InputError(f"seed {found.seed} plants {exercise.fault!r}; this result does not follow from it.")
    return found


def _mark(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


FAULT_NAMES = {name: fault.description for name, fault in FAULTS.items()}
"""What was planted, in words."""
