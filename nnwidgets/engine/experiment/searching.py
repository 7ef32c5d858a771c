"""The smallest network that meets the goal, searched for on an experiment in the background."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import torch

from nnwidgets.engine.compression import CompressionPlan
from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.search import SearchPoint, SearchResult, search_steps
from nnwidgets.engine.trace import unvisited_copy

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["start_search"]

_NAME, _LABEL = "search", "Looking for the smallest network"


def start_search(
    experiment: Experiment, merit: str, budget_s: float, seen: Callable[[SearchPoint], None], done: Callable[[SearchResult], None]
) -> Job:
    """`find_smallest` on the present weights, in the background. A second call while it runs starts nothing.

    The present recipe has to be beaten, where it meets the goal. What is found becomes the present state, as a step that can be
    undone, unless nothing smaller was. Cancelled, nothing changes.

    Args:
        seen: is told of each point when it is finished, and once more when it is verified. done: of the result.
    """

    def work() -> Generator[Task | SearchPoint | None, None, tuple[State, SearchResult]]:
        if experiment.val is None:
            raise DataError(
                "the search chooses by accuracy, and this experiment has no S_val; nothing is chosen on S_test. Make it with "
                "train=... or val=...."
            )
        experiment.notice_changes()
        state = experiment.state
        with torch.inference_mode(False), torch.no_grad():
            network = unvisited_copy(experiment.bench(state.weights_key).base).eval()
        yield Task(_NAME, _LABEL)
        split = experiment.train if experiment.train is not None else experiment.val
        plan = CompressionPlan(network, experiment.input_shape, split=split, loss=experiment.loss)
        yield Task(_NAME, _LABEL)
        steps = search_steps(
            network, experiment.val, experiment.goal, merit=merit, budget_s=budget_s, start=state.recipe, plan=plan
        )
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                found: SearchResult = end.value
                break
            if step.point is not None:
                yield step.point
            yield Task(_NAME, _LABEL, step.share, step.seconds_left, text=step.text)
        own = experiment.bench(state.weights_key).plan
        for _ in own.preparing(found.best.recipe):  # so that it is shown at once
            yield Task(_NAME, _LABEL, 1.0, text="the criterion looks at images")
        yield from own.making(found.best.recipe)
        return state, found

    def item(step: Task | SearchPoint) -> Task | None:
        if isinstance(step, Task):
            return step
        seen(step)
        return None

    def ended(found: tuple[State, SearchResult]) -> str:
        state, result = found
        done(result)
        if result.best is not result.dense and result.best.recipe != state.recipe:
            experiment.adopt(State(result.best.recipe, state.weights_key, state.attempt))
        return result.text

    return tasks.start(experiment, _NAME, _LABEL, work, ended, item=item)
