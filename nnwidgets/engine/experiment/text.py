"""An experiment as text to paste: goal, history, position, snapshots. Weights are named by their hash, not contained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from torch import nn

from nnwidgets.engine.errors import InputError, NnwError
from nnwidgets.engine.experiment.events import Notice
from nnwidgets.engine.experiment.state import Attempt, History, State
from nnwidgets.engine.values.recipe import Recipe

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment

__all__ = ["from_json", "to_json"]

_FORMAT, _VERSION = "nnwidgets.experiment", 1


def to_json(experiment: Experiment) -> str:
    """See ``Experiment.to_json``."""
    data = {
        "format": _FORMAT,
        "version": _VERSION,
        "example": experiment.example,
        "goal": experiment.goal,
        "position": experiment.position,
        "history": [_state_data(state) for state in experiment.history],
        "snapshots": {name: _state_data(state) for name, state in experiment.snapshots.items()},
    }
    return json.dumps(data, ensure_ascii=False)


def from_json(kind: type[Experiment], text: str, model: nn.Module, arguments: dict[str, Any]) -> Experiment:
    """See ``Experiment.from_json``."""
    try:
        data = json.loads(text)
        if data["format"] != _FORMAT:
            raise KeyError("format")
        if data["version"] > _VERSION:
            raise InputError(f"this text is of version {data['version']}, this package reads up to {_VERSION}; update nnwidgets.")
        states = [_state(item) for item in data["history"]]
        snapshots = {str(name): _state(item) for name, item in data["snapshots"].items()}
        history = History(tuple(states), int(data["position"]))
        goal = data["goal"]
    except NnwError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"this is no text of Experiment.to_json(): {type(error).__name__}: {error}") from error
    experiment = kind(model, **{"goal": goal, **arguments})
    lacking = {state.weights_key for state in (*states, *snapshots.values()) if state.weights_key is not None}
    for state in (*states, *snapshots.values()):
        if state.weights_key is None:
            experiment.bench(None).plan.check(state.recipe)  # raises RecipeError if it was written for another network
    experiment.restore(history, snapshots)
    if lacking:
        words = (
            f"{len(lacking)} set(s) of trained weights are not in this text; "
            "load them with exp.load_weights(path) to use those states."
        )
        experiment.notify(Notice("weights_lacking", words))
    return experiment


def _state_data(state: State) -> dict[str, Any]:
    attempt = None if state.attempt is None else state.attempt.to_data()
    return {"recipe": state.recipe.to_json(), "weights_key": state.weights_key, "attempt": attempt}


def _state(data: dict[str, Any]) -> State:
    attempt = None if data["attempt"] is None else Attempt.from_data(data["attempt"])
    return State(Recipe.from_json(data["recipe"]), data["weights_key"], attempt)
