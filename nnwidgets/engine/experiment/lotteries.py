"""Winning tickets on an experiment's own network and data, in the background. Nothing of the experiment changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, MutableMapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.anew import drawn_anew
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.sparse import LotteryProgress, LotteryResult, LotteryRun, lottery_steps
from nnwidgets.engine.training import steps_an_epoch
from nnwidgets.engine.values.setup import TrainingSetup

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["Lottery", "lottery_setup", "start_lottery", "steps_of", "why_no_lottery"]

_NAME, _LABEL = "lottery", "Looking for winning tickets"
_LOOKS = 20  # at S_val in a run, about
Kept = MutableMapping[tuple[int, int], dict[str, Any]]


@dataclass(frozen=True)
class Lottery:
    """What is asked for: see `lottery_ticket`."""

    setup: TrainingSetup
    rounds: int = 3
    seeds: int = 2
    rewind_step: int = 0


def lottery_setup(experiment: Experiment, epochs: int) -> TrainingSetup:
    """As the network was trained, else as `TrainingSetup` has it, for some epochs."""
    return replace(experiment.training or TrainingSetup(), epochs=epochs)


def steps_of(experiment: Experiment, setup: TrainingSetup) -> int:
    """Training steps of a run."""
    assert experiment.train is not None
    return steps_an_epoch(len(experiment.train), setup.batch_size) * setup.epochs


def why_no_lottery(experiment: Experiment) -> str:
    """What the experiment lacks; "" where there can be a lottery."""
    if experiment.train is None or experiment.val is None or experiment.test is None:
        return "tickets are trained on S_train, stopped by S_val and reported on S_test: give train= and test="
    if experiment.loss is not None or experiment.train_step is not None or experiment.fit is not None:
        return "tickets are trained with cross entropy here; this experiment has a loss or a training of its own"
    return ""


def start_lottery(
    experiment: Experiment, asked: Lottery, kept: Kept, seen: Callable[[LotteryRun], None], done: Callable[[LotteryResult], None]
) -> Job:
    """Run a lottery. A second call while a task runs starts nothing. Cancelled, the rounds that are done stay in ``kept``.

    Args:
        kept: of the same setup and rewinding, as ``resume`` of `lottery_ticket`. seen: is told of each run that has ended.
        done: of the whole.
    """

    def work() -> Generator[Task | LotteryRun, None, LotteryResult]:
        if why := why_no_lottery(experiment):
            raise DataError(f"there can be no lottery: {why}.")
        train, val, test = experiment.train, experiment.val, experiment.test
        assert train is not None and val is not None and test is not None
        network = experiment.bench(None).base
        steps = lottery_steps(
            lambda: drawn_anew(experiment, network),
            train,
            val,
            test,
            asked.setup,
            asked.rounds,
            rewind_step=asked.rewind_step,
            seeds=range(asked.seeds),
            resume=kept,
            every_steps=max(1, steps_of(experiment, asked.setup) // _LOOKS),
        )
        left = tasks.TimeLeft(0.01)
        while True:
            try:
                step: LotteryProgress = next(steps)
            except StopIteration as end:
                found: LotteryResult = end.value
                return found
            if step.run is not None:
                yield step.run
            yield Task(_NAME, _LABEL, step.share, left.at(step.share), text=step.text)

    def item(step: Task | LotteryRun) -> Task | None:
        if isinstance(step, Task):
            return step
        seen(step)
        return None

    def ended(found: LotteryResult) -> str:
        done(found)
        return f"{len(found.runs)} runs; the network and its state are as they were"

    return tasks.start(
        experiment,
        _NAME,
        _LABEL,
        work,
        ended,
        item=item,
        cancelled=lambda: "cancelled: rounds that were done are kept, and not run again",
    )
