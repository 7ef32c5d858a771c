"""The experiment's network with new random weights as a state: to prune first, and train then."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from nnwidgets.engine.errors import ModelError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.anew import built_anew
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import Attempt, State
from nnwidgets.engine.experiment.weights import unlike
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.setup import TrainingSetup

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["start_untrained", "untrained"]

_NAME, _LABEL = "untrained", "Drawing new weights"


def untrained(experiment: Experiment, seed: int) -> State:
    """The present recipe on new random weights; see `Experiment.start_untrained`."""
    experiment.notice_changes()
    began, recipe = time.perf_counter(), _not_learned(experiment.state.recipe)
    base, setup = experiment.bench(None).base, TrainingSetup(seed=seed)
    weights = built_anew(experiment, base, seed=seed).state_dict()
    if other := unlike(weights, base.state_dict()):
        raise ModelError(f"build(1.0) makes another network than the one of this experiment: {other}.")
    return State(recipe, experiment.weights.put(weights), Attempt(_NAME, recipe, None, setup, time.perf_counter() - began))


def _not_learned(recipe: Recipe) -> Recipe:
    """Without the steps that were found for other weights."""
    settings = recipe.quantization
    return recipe if settings is None else replace(recipe, quantization=replace(settings, scales=None))


def start_untrained(experiment: Experiment, seed: int = 0) -> Job:
    """Do it in the background and make it the present state."""

    def work() -> Generator[Task, None, State]:
        yield Task(_NAME, _LABEL)
        return untrained(experiment, seed)

    def ended(state: State) -> str:
        experiment.adopt(state)
        return f"new random weights, seed {seed}: choose what goes, then fine-tune; Undo brings the trained ones back"

    return tasks.start(experiment, _NAME, _LABEL, work, ended)
