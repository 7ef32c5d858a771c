"""The present network in four kinds of arithmetic, in the background. Nothing of the experiment changes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.integers import Arithmetics, arithmetics_steps, chosen_engine
from nnwidgets.engine.values.recipe import Quantization, Recipe

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["in_bytes", "start_arithmetic", "why_no_arithmetic"]

_NAME, _LABEL, _BITS = "arithmetic", "Timing kinds of arithmetic", 8


def in_bytes(recipe: Recipe) -> Recipe:
    """A recipe with 8 bits for weights and for activations where it does not round them."""
    settings = recipe.quantization or Quantization()
    if not settings.rounds_weights:
        settings = settings.moved(weight_bits=_BITS, method="affine", symmetric=True)
    if settings.activation_bits == 32:
        settings = replace(settings, activation_bits=_BITS)
    return Recipe(recipe.pruning, settings)


def why_no_arithmetic(experiment: Experiment) -> str:
    """What the experiment lacks; "" where arithmetic can be compared."""
    return (
        "ranges of activations are found on S_train: give train=" if experiment.train is None and experiment.val is None else ""
    )


def start_arithmetic(experiment: Experiment, done: Callable[[Arithmetics, Recipe, State], None]) -> Job:
    """Time the present network in float32, bfloat16, with weights alone in few bits, and in integers; ``done`` gets the result.

    Where weights or activations are not rounded now, they are with 8 bits. A second call while a task runs starts nothing.
    """

    def work() -> Generator[Task, None, tuple[Arithmetics, Recipe, State]]:
        if why := why_no_arithmetic(experiment):
            raise DataError(f"integer arithmetic cannot be tried: {why}.")
        experiment.notice_changes()
        state = experiment.state
        bench, recipe = experiment.bench(state.weights_key), in_bytes(state.recipe)
        for _ in bench.plan.preparing(recipe):
            yield Task(_NAME, _LABEL, text="the criterion looks at images")
        for _ in bench.plan.making(recipe):
            yield Task(_NAME, _LABEL, text="ranges are found")
        split = experiment.split(experiment.live.sample)
        steps = arithmetics_steps(bench.plan.decision(recipe), bench.trace, split, chosen_engine(None))
        left = tasks.TimeLeft(0.2)
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                return end.value, recipe, state
            yield Task(_NAME, _LABEL, share, left.at(share))

    def ended(found: tuple[Arithmetics, Recipe, State]) -> str:
        done(*found)
        return "measured on this machine; the network and its state are as they were"

    return tasks.start(experiment, _NAME, _LABEL, work, ended)
