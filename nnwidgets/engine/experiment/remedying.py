"""What makes up for rounding the present network, measured on S_val in the background. Nothing of the experiment changes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.scans import RemedyProgress, compare_remedies_steps
from nnwidgets.engine.values.recipe import Recipe

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["start_remedies", "why_no_remedies"]

_NAME, _LABEL = "remedies", "Making up for rounding"


def why_no_remedies(experiment: Experiment) -> str:
    """What the experiment lacks; "" where remedies can be compared."""
    if experiment.train is None or experiment.val is None:
        return "it looks at images of S_train and measures on S_val: give train="
    return ""


def start_remedies(
    experiment: Experiment,
    recipe: Recipe,
    seen: Callable[[RemedyProgress, State], None],
    done: Callable[[], None],
) -> Job:
    """Measure each remedy for a recipe on the present weights, by what is known of them. A second call while a task runs starts
    nothing.

    Args:
        seen: is told of each row, and of which state it is. done: that all are there.
    """

    def work() -> Generator[Task | tuple[RemedyProgress, State], None, None]:
        if why := why_no_remedies(experiment):
            raise DataError(f"remedies cannot be compared: {why}.")
        assert experiment.val is not None
        experiment.notice_changes()
        state = experiment.state
        plan = experiment.bench(state.weights_key).plan
        left = tasks.TimeLeft()
        for step in compare_remedies_steps(plan, recipe, experiment.val):
            if step.row is not None:
                yield step, state
            yield Task(_NAME, _LABEL, step.share, left.at(step.share), text=step.text)

    def item(step: Task | tuple[RemedyProgress, State]) -> Task | None:
        if isinstance(step, Task):
            return step
        seen(*step)
        return None

    def ended(_: None) -> str:
        done()
        return "measured on S_val; the network and its state are as they were"

    return tasks.start(experiment, _NAME, _LABEL, work, ended, item=item)
