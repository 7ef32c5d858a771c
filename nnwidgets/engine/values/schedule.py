"""When weights are removed and come back, as a record that can be drawn before anything runs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

from nnwidgets.engine.errors import RecipeError
from nnwidgets.engine.values._fields import choice, nearest, share, whole

__all__ = ["Regrowth", "Schedule", "ScheduleKind"]

_FORMAT, _VERSION = "nnwidgets.schedule", 1


class ScheduleKind(str, Enum):
    """How the share that is removed grows."""

    ONE_SHOT = "one_shot"
    ITERATIVE = "iterative"
    CUBIC = "cubic"


class Regrowth(str, Enum):
    """How removed weights come back."""

    RIGL = "rigl"
    SET = "set"
    DENSE_SPARSE_DENSE = "dense_sparse_dense"


_MOVING = (Regrowth.RIGL.value, Regrowth.SET.value)


@dataclass(frozen=True)
class Schedule:
    """How removing and training take turns.

    Attributes:
        kind: "one_shot": all at once, then training. "iterative": in ``rounds`` rounds, each followed by training; each removes
            the same share of what is left (Han et al. 2015). "cubic": gradually while training, s_f + (s_i - s_f) (1 - t/T)^3
            (Zhu & Gupta 2017).
        rounds: 1 for one_shot; for cubic the parts in which progress is told.
        epochs_per_round: of training, at least 1.
        regrowth: None; "rigl" and "set": while training, the smallest kept weights are dropped and as many others grow, those of
            largest gradient (Evci et al. 2020) or random ones (Mocanu et al. 2018), each from zero; "dense_sparse_dense"
            (Han et al. 2017): train, remove and train, give back (from zero) and train at a tenth of the rate.
        drop_share: of the kept weights that "rigl" (at the start; it falls as a cosine) and "set" (always) move at a time.
        every_steps: training steps between two changes of the masks while training: cubic, rigl, set.
        initial: share that is removed at the start of iterative and cubic.
        until: share of the training after which masks stay as they are, so that the last ones are trained: cubic, rigl, set.

    Raises:
        RecipeError: a value of the wrong type or out of range, or settings that do not go together.
    """

    kind: str = "one_shot"
    rounds: int = 1
    epochs_per_round: int = 1
    regrowth: str | None = None
    drop_share: float = 0.3
    every_steps: int = 100
    initial: float = 0.0
    until: float = 0.75

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "kind", choice("kind", self.kind, ScheduleKind))
        if self.regrowth is not None:
            put(self, "regrowth", choice("regrowth", self.regrowth, Regrowth))
        for name in ("rounds", "epochs_per_round", "every_steps"):
            value = whole(name, getattr(self, name))
            if value < 1:
                raise RecipeError(f"{name} is {value}; expected a whole number of at least 1.")
            put(self, name, value)
        put(self, "initial", share("initial", self.initial))
        for name in ("drop_share", "until"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                raise RecipeError(f"{name} is {value!r}; expected a share above 0 and up to 1.")
            put(self, name, float(value))
        self._together()

    def _together(self) -> None:
        if self.kind == "one_shot" and self.rounds != 1:
            raise RecipeError(
                f"rounds is {self.rounds} for one_shot; expected 1. Use kind='iterative', or more epochs_per_round."
            )
        if self.kind == "one_shot" and self.initial:
            raise RecipeError(f"initial is {self.initial} for one_shot, which removes all at once; expected 0.")
        if self.regrowth in _MOVING and self.kind == "cubic":
            raise RecipeError(f"regrowth={self.regrowth!r} needs a fixed number of weights; expected kind one_shot or iterative.")
        if self.regrowth == "dense_sparse_dense" and self.kind != "one_shot":
            raise RecipeError(
                f"regrowth='dense_sparse_dense' has its own three phases; expected kind one_shot, got {self.kind!r}."
            )

    @property
    def phases(self) -> int:
        """Parts of training, each told with its result: the rounds, or three of dense_sparse_dense."""
        return 3 if self.regrowth == "dense_sparse_dense" else self.rounds

    @property
    def moves(self) -> bool:
        """True where masks change while a part is trained."""
        return self.kind == "cubic" or self.regrowth in _MOVING

    def amounts(self, final: float) -> tuple[float, ...]:
        """Share that is removed in each round, at its end: (phases,); for cubic what the formula gives there.

        Raises:
            RecipeError: ``final`` is no share in [0, 1), or smaller than ``initial``.
        """
        final = self._final(final)
        if self.regrowth == "dense_sparse_dense":
            return 0.0, final, 0.0
        if self.kind == "one_shot":
            return (final,)
        done = [number / self.rounds for number in range(1, self.rounds + 1)]
        if self.kind == "cubic":
            return tuple(self._cubic(final, t / self.until) for t in done)
        left = (1 - final) / (1 - self.initial)
        return (*(1 - (1 - self.initial) * left**t for t in done[:-1]), final)

    def curve(self, final: float, steps: int) -> list[tuple[int, float]]:
        """The share that is removed from each of some training steps on, over ``steps`` in all: a staircase to be drawn.

        Step 0 is before training; the last entry is (steps, share at the end). Of "dense_sparse_dense" and of rounds the parts
        are of equal length. Regrowth by "rigl" and "set" leaves the share as it is.

        Raises:
            RecipeError: ``steps`` are too few for this schedule.
        """
        amounts = self.amounts(final)
        self.check(steps if self.kind == "cubic" else steps // self.phases)
        if self.kind == "cubic":
            last = self.until * steps
            moves = [*range(0, math.ceil(last), self.every_steps), math.ceil(last)]
            points = [(t, self._cubic(self._final(final), t / last)) for t in moves]
        else:
            points = [(round(number * steps / self.phases), amount) for number, amount in enumerate(amounts)]
        return points if points[-1][0] == steps else [*points, (steps, points[-1][1])]

    def share_dropped(self, step: int, steps: int) -> float:
        """Share of the kept weights that rigl or set moves at a step, 0 after ``until``: (a/2)(1 + cos(pi t/T)), or a."""
        last = self.until * steps
        if self.regrowth not in _MOVING or step >= last:
            return 0.0
        return self.drop_share if self.regrowth == "set" else self.drop_share / 2 * (1 + math.cos(math.pi * step / last))

    def check(self, steps: int) -> None:
        """Say whether the schedule fits into ``steps`` steps of training (of a round; for cubic, of all).

        Raises:
            RecipeError: it is shorter than one step, or masks would never change while training.
        """
        if steps < 1:
            raise RecipeError(f"the schedule has {steps} steps of training a round; expected at least 1: train longer.")
        if self.moves and self.every_steps >= self.until * steps:
            raise RecipeError(
                f"every_steps is {self.every_steps}, but masks may change in the first {self.until * steps:g} of {steps} steps "
                f"only; expected less, e.g. every_steps={max(1, int(self.until * steps) // 10)}, or more epochs."
            )

    def _final(self, final: float) -> float:
        final = share("final", final)
        if final < self.initial:
            raise RecipeError(f"final is {final}, smaller than initial={self.initial}; expected at least that.")
        return final

    def _cubic(self, final: float, done: float) -> float:
        """s_f + (s_i - s_f) (1 - t/T)^3, with ``done`` = t/T, and s_f afterwards."""
        return final + (self.initial - final) * (1 - min(done, 1.0)) ** 3

    def to_json(self) -> str:
        """A text that `from_json` reads, with every setting written out."""
        return json.dumps({"format": _FORMAT, "version": _VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """Read a schedule.

        Raises:
            RecipeError: the text is malformed, of a newer version, or has keys that are unknown.
        """
        try:
            data: Any = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise RecipeError(f"This is not a schedule: no JSON ({error!s:.120}). Give the text of schedule.to_json().") from None
        if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
            raise RecipeError(f'This is not a schedule: "format" is not "{_FORMAT}". Give the text of schedule.to_json().')
        if (version := data.pop("version", None)) != _VERSION:
            raise RecipeError(f"The schedule has version {version!r:.40}, this nnwidgets reads {_VERSION}.")
        known = [field.name for field in fields(cls)]
        for key in data:
            if key not in known:
                raise RecipeError(f"a schedule has the unknown key {key!r:.60}; {nearest(key, known)}")
        return cls(**data)
