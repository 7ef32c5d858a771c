"""The states an experiment went through, as an undo list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnwidgets.engine.errors import InputError
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.schedule import Schedule
from nnwidgets.engine.values.setup import TrainingSetup

__all__ = ["Attempt", "History", "State"]

_LONGEST = 1000  # states kept; the oldest fall out


@dataclass(frozen=True)
class Attempt:
    """What led to the weights of a state (training, batch-norm measured again, or chance), from which state, how and how long.

    Attributes:
        kind: "fine_tune", "prune", "recalibrate" or "untrained". recipe: what was trained, or the aim.
        weights_key: the weights it started from, None for the dense ones.
        setup: how it was trained, None for "recalibrate"; its seed drew "untrained" weights. seconds: that it took.
        loss_first, loss_last: of training: mean loss of the first and last tenth of the steps.
        schedule, round: of "prune": by which schedule, and after which of its rounds.
        left: the recipe that it led to, where that is another: amounts of a round, steps that were learned, remedies of rounding
            that are in the weights by then.
        images: of "recalibrate": how many were looked at.
    """

    kind: str
    recipe: Recipe
    weights_key: str | None
    setup: TrainingSetup | None
    seconds: float
    loss_first: float = 0.0
    loss_last: float = 0.0
    schedule: Schedule | None = None
    round: int = 0
    left: Recipe | None = None
    images: int = 0

    @property
    def result(self) -> Recipe:
        """What it led to; a state with these weights and another recipe was moved on since."""
        return self.recipe if self.left is None else self.left

    def to_data(self) -> dict[str, Any]:
        """As JSON data."""
        from dataclasses import asdict

        return {
            "kind": self.kind,
            "recipe": self.recipe.to_json(),
            "weights_key": self.weights_key,
            "setup": None if self.setup is None else asdict(self.setup),
            "seconds": self.seconds,
            "loss_first": self.loss_first,
            "loss_last": self.loss_last,
            "schedule": None if self.schedule is None else self.schedule.to_json(),
            "round": self.round,
            "left": None if self.left is None else self.left.to_json(),
            "images": self.images,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Attempt:
        """From what ``to_data`` gave."""
        rest = {name: data[name] for name in ("kind", "weights_key", "seconds", "loss_first", "loss_last")}
        schedule, left, setup = data.get("schedule"), data.get("left"), data["setup"]
        return cls(
            recipe=Recipe.from_json(data["recipe"]),
            setup=None if setup is None else TrainingSetup(**setup),
            schedule=None if schedule is None else Schedule.from_json(schedule),
            round=data.get("round", 0),
            left=None if left is None else Recipe.from_json(left),
            images=data.get("images", 0),
            **rest,
        )


@dataclass(frozen=True)
class State:
    """A position: a recipe on top of a set of weights.

    Attributes:
        recipe: what is removed and rounded; weights_key: hash of trained weights, None for the network as it was given.
        attempt: what made the weights, None where they are as they were given.
    """

    recipe: Recipe = field(default_factory=Recipe)
    weights_key: str | None = None
    attempt: Attempt | None = None


class History:
    """An undo list. Changes that share a ``merge`` key (one drag of a slider) are one step."""

    def __init__(self, states: tuple[State, ...] = (State(),), position: int = 0) -> None:
        if not states or not 0 <= position < len(states):
            raise InputError(f"a history needs a position inside it; got position {position} of {len(states)} states")
        self._states = list(states)
        self._position = position
        self._merge: object = None

    @property
    def states(self) -> tuple[State, ...]:
        """All states, oldest first."""
        return tuple(self._states)

    @property
    def position(self) -> int:
        """Index of the present state."""
        return self._position

    @property
    def now(self) -> State:
        """The present state."""
        return self._states[self._position]

    def push(self, state: State, merge: object = None) -> bool:
        """Make ``state`` the present one; what was undone before is dropped. Returns False if it is the present one already."""
        if state == self.now:
            return False
        if merge is not None and merge == self._merge and self._position == len(self._states) - 1 and self._position > 0:
            self._states[self._position] = state
            if state == self._states[self._position - 1]:  # dragged back to where it began: no step at all
                del self._states[self._position]
                self._position -= 1
                merge = None
        else:
            self._states[self._position + 1 :] = [state]
            del self._states[:-_LONGEST]
            self._position = len(self._states) - 1
        self._merge = merge
        return True

    def move(self, steps: int) -> bool:
        """Undo (-1) or redo (+1). Returns False at the end of the list."""
        target = self._position + steps
        if not 0 <= target < len(self._states):
            return False
        self._position, self._merge = target, None
        return True
