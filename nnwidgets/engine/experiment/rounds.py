"""The standard algorithm on an experiment: score, remove, train, repeat. Each round becomes a state that can be undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import nn

from nnwidgets.engine.errors import DataError, InputError, RecipeError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import Attempt, State
from nnwidgets.engine.sparse import RoundRecord, TuneStep, prune_steps
from nnwidgets.engine.sparse._prune import check_schedule
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.training import steps_an_epoch
from nnwidgets.engine.values.recipe import Recipe
from nnwidgets.engine.values.records import StepRecord
from nnwidgets.engine.values.schedule import Schedule
from nnwidgets.engine.values.setup import TrainingSetup

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["Begun", "begun", "pruning", "schedule_for", "start_rounds"]

_NAME, _LABEL = "prune", "Pruning and training"
_NO_TRAIN = "pruning with training needs training data; make the experiment with train=Split(images, labels) or a torch data set."
_Step = TuneStep | RoundRecord | None


@dataclass(frozen=True)
class Begun:
    """Where a run by a schedule stands.

    Attributes:
        recipe: the aim. weights_key: the weights it began from. done: rounds that are done, 0 for a run that begins.
    """

    recipe: Recipe
    weights_key: str | None
    done: int


def begun(state: State, schedule: Schedule, setup: TrainingSetup) -> Begun:
    """A run goes on where the present state is a round of it that is not the last; else one begins towards the present recipe.

    Raises:
        RecipeError, UnsupportedError: nothing is removed by the recipe, or the schedule does not go with it.
    """
    made = state.attempt
    same = made is not None and (made.schedule, made.setup, made.left) == (schedule, _setup(schedule, setup), state.recipe)
    if made is not None and same and made.round < schedule.phases and schedule.kind != "cubic":
        return Begun(made.recipe, made.weights_key, made.round)
    if state.recipe.pruning is None or state.recipe.pruning.removes_nothing:
        raise RecipeError("nothing is to be removed yet: choose a share first; rounds of removing and training then lead to it.")
    check_schedule(state.recipe, schedule)
    return Begun(state.recipe, state.weights_key, 0)


def _setup(schedule: Schedule, setup: TrainingSetup) -> TrainingSetup:
    """The setup of a round."""
    return replace(setup, epochs=schedule.epochs_per_round)


def schedule_for(
    experiment: Experiment, kind: str, rounds: int, epochs: int, regrowth: str | None, setup: TrainingSetup
) -> Schedule:
    """A schedule whose masks, where they change while training, change about ten times in a run.

    Args:
        rounds: of iterative and cubic. epochs: of each round.

    Raises:
        RecipeError: they do not go together. DataError: there is no training data.
    """
    if experiment.train is None:
        raise DataError(_NO_TRAIN)
    plain = Schedule(kind, 1 if kind == "one_shot" else rounds, epochs, regrowth)
    if not plain.moves:
        return plain
    steps = steps_an_epoch(len(experiment.train), setup.batch_size) * epochs * (rounds if kind == "cubic" else 1)
    return replace(plain, every_steps=max(1, int(plain.until * steps) // 10))


def pruning(
    experiment: Experiment, schedule: Schedule | None = None, setup: TrainingSetup | None = None, rounds: int | None = None
) -> Generator[_Step, None, None]:
    """Steps of `Experiment.prune`: yields as `prune_steps` does; after each `RoundRecord` its state is the present one."""
    schedule, setup = schedule or Schedule(), setup or tasks.default_setup(experiment)
    steps = _steps(experiment, schedule, setup, rounds)
    for step in steps:
        if isinstance(step, _Made):
            _commit(experiment, step)
            yield step.record
        else:
            yield step


@dataclass(frozen=True, eq=False)
class _Made:
    """A round that is done, and how it came about."""

    attempt: Attempt
    record: RoundRecord


def _steps(
    experiment: Experiment, schedule: Schedule, setup: TrainingSetup, rounds: int | None
) -> Generator[TuneStep | _Made | None, None, None]:
    if experiment.train is None:
        raise DataError(_NO_TRAIN)
    if rounds is not None and (isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1):
        raise InputError(f"rounds: got {rounds!r:.40}, expected None for all that are left, or at least 1.")
    experiment.notice_changes()
    state = experiment.state
    run = begun(state, schedule, setup)
    network = yield from _network(experiment, state, run)
    losses: list[float] = []
    spent, made = 0.0, 0
    for step in prune_steps(
        network, experiment.train, run.recipe, schedule, setup, experiment.val, loss=experiment.loss, done=run.done
    ):
        if isinstance(step, TuneStep):
            losses.append(step.step.loss)
        if not isinstance(step, RoundRecord):
            yield step
            continue
        spent, made = spent + step.seconds, made + 1
        tenth = max(1, len(losses) // 10)
        first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
        attempt = Attempt(
            "prune",
            run.recipe,
            run.weights_key,
            _setup(schedule, setup),
            spent,
            first,
            last,
            schedule=schedule,
            round=step.round,
            left=step.recipe,
        )
        yield _Made(attempt, step)
        if made == rounds:
            return


def _network(experiment: Experiment, state: State, run: Begun) -> Generator[None, None, nn.Module]:
    """A copy to begin with, or to go on with: then it has the masks of the rounds before."""
    bench = experiment.bench(state.weights_key)
    if not run.done:
        yield None
        return unvisited_copy(bench.base)
    for _ in bench.plan.preparing(state.recipe):
        yield None
    return bench.plan.compressed(state.recipe)


def _commit(experiment: Experiment, made: _Made) -> None:
    key = experiment.weights.put(made.record.state, own=True)
    experiment.adopt(State(made.record.recipe, key, made.attempt))


def start_rounds(
    experiment: Experiment,
    schedule: Schedule,
    setup: TrainingSetup,
    rounds: int | None,
    seen: Callable[[TuneStep | RoundRecord], None],
) -> Job:
    """`Experiment.prune` in the background; ``seen`` is told of each step and round. A second call while it runs starts nothing.

    Cancelled, the rounds that are done are kept, and the one at work is not.
    """
    records: list[StepRecord] = []
    began = time.monotonic()
    done: list[RoundRecord] = []

    def work() -> Generator[Task | _Made | None, None, None]:
        for step in _steps(experiment, schedule, setup, rounds):
            if not isinstance(step, TuneStep):
                yield step
                continue
            seen(step)
            records.append(replace(step.step, step=len(records) + 1))
            yield _task(step, records, began, rounds, schedule)

    def item(step: Task | _Made) -> Task | None:
        if isinstance(step, Task):
            return step
        _commit(experiment, step)
        done.append(step.record)
        seen(step.record)
        return None

    def ended(*_: object) -> str:
        words = _rounds(len(done))
        of = f" of {schedule.phases}" if done[-1].round < schedule.phases else ""
        words = f"round {done[-1].round}{of}" if rounds == 1 and schedule.phases > 1 else words
        return f"{words} in {time.monotonic() - began:.0f} s; Undo takes back one round"

    def cancelled() -> str:
        return f"cancelled: {_rounds(len(done))} kept" if done else "cancelled: nothing was changed"

    return tasks.start(experiment, _NAME, _LABEL, work, ended, item=item, cancelled=cancelled)


def _rounds(count: int) -> str:
    return f"{count} round" + ("" if count == 1 else "s")


def _task(step: TuneStep, records: list[StepRecord], began: float, rounds: int | None, schedule: Schedule) -> Task:
    each = step.step.steps // (schedule.phases if schedule.kind == "cubic" else 1)
    here = (step.step.step - 1) % each + 1
    already = len(records) - here  # steps of the rounds that this run has done
    ahead = step.rounds - step.round if rounds is None else rounds - 1 - already // each
    share = len(records) / (len(records) + each - here + each * ahead)
    spent = time.monotonic() - began
    text = f"round {step.round} of {step.rounds}: {100 * step.sparsity:.0f} % removed"
    return Task(_NAME, _LABEL, share, spent / share * (1 - share), text=text, records=tuple(records))
