"""Pruning and training in rounds, in the lab: drawn before it runs, followed while it runs, a round at a time or all of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnwidgets.engine.errors import NnwError
from nnwidgets.engine.experiment import Experiment
from nnwidgets.engine.experiment.rounds import Begun, begun, schedule_for, start_rounds
from nnwidgets.engine.experiment.tasks import default_setup
from nnwidgets.engine.sparse import RoundRecord, TuneStep
from nnwidgets.engine.training import steps_an_epoch
from nnwidgets.engine.values.schedule import Schedule
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.figures import text
from nnwidgets.figures.records import Chart
from nnwidgets.figures.schedule_chart import Round, schedule_chart

if TYPE_CHECKING:
    from nnwidgets.widgets.compression_lab import CompressionLab

__all__ = ["NO_REGROWTH", "LabSchedule"]

NO_REGROWTH = "none"
_BETWEEN = 0.2  # seconds between two drawings while it runs
_MANY_BYTES = 200_000_000  # of weights that the rounds keep: said before


class LabSchedule:
    """The schedule that one lab's controls stand for, and the run that follows it."""

    def __init__(self, widget: CompressionLab, experiment: Experiment) -> None:
        self._widget, self._exp = widget, experiment
        self._run: tuple[Schedule, TrainingSetup, Begun] | None = None  # whose rounds are drawn
        self._rounds: dict[int, Round] = {}
        self._now: float | None = None
        self._last = 0.0
        self._asked: int | None = None

    def _wanted(self) -> tuple[Schedule, TrainingSetup]:
        widget = self._widget
        setup = replace(default_setup(self._exp), epochs=widget.epochs, lr=widget.learning_rate)
        regrowth = None if widget.regrowth == NO_REGROWTH else widget.regrowth
        return schedule_for(self._exp, widget.schedule, widget.rounds, widget.epochs, regrowth, setup), setup

    def traits(self) -> dict[str, Any]:
        """What the controls stand for, in words; or why it cannot be run."""
        try:
            schedule, setup = self._wanted()
            run = begun(self._exp.state, schedule, setup)
        except NnwError as error:
            return {"schedule_plan": {"text": "", "refused": f"{error}", "can_step": False, "begins": ""}}
        assert run.recipe.pruning is not None
        shares = schedule.amounts(run.recipe.pruning.amount)
        each = "1 epoch" if schedule.epochs_per_round == 1 else f"{schedule.epochs_per_round} epochs"
        rounds = "once" if schedule.phases == 1 else f"{schedule.phases} rounds"
        words = f"{rounds}, {each}{'' if schedule.phases == 1 else ' each'}: "
        words += ", ".join(text.percent(share, 0) for share in shares) + " % removed"
        kept = schedule.phases * sum(value.nbytes for value in self._exp.model.state_dict().values())
        if kept > _MANY_BYTES:
            words += f"; keeps {' '.join(text.size(kept))} of weights, so that each round can be undone"
        begins = f"goes on after round {run.done} of {schedule.phases}" if run.done else self._from(run)
        steps = schedule.phases > 1 and schedule.kind != "cubic"
        return {"schedule_plan": {"text": words, "refused": "", "can_step": steps, "begins": begins}}

    def _from(self, run: Begun) -> str:
        return "begins with the weights as trained" if run.weights_key is None else "begins with the present, retrained weights"

    def charts(self) -> dict[str, Chart]:
        """The schedule, with the rounds that led to the present state; nothing where it cannot be run."""
        try:
            schedule, setup = self._wanted()
            run = begun(self._exp.state, schedule, setup)
        except NnwError:
            return {}
        made = self._exp.state.attempt
        ended = made is not None and made.schedule == schedule and made.left == self._exp.recipe  # its last round, to look at
        if ended and made is not None and self._run is not None:
            run = Begun(made.recipe, made.weights_key, made.round)
        return {"schedule": self._drawn(schedule, setup, run)}

    def _drawn(self, schedule: Schedule, setup: TrainingSetup, run: Begun) -> Chart:
        assert run.recipe.pruning is not None and self._exp.train is not None
        an_epoch = steps_an_epoch(len(self._exp.train), setup.batch_size)
        epochs = schedule.epochs_per_round * schedule.phases
        curve = schedule.curve(run.recipe.pruning.amount, epochs * an_epoch)
        own = self._run is not None and self._run[0] == schedule and self._run[2].recipe == run.recipe
        done = [each for number, each in sorted(self._rounds.items()) if own and number <= run.done]
        return schedule_chart(
            [(step / an_epoch, share) for step, share in curve],
            done,
            schedule.epochs_per_round,
            self._now if own else None,
            1 - self._exp.goal,
        )

    def start(self, rounds: int | None) -> None:
        """Begin a run, or go on with it, for some rounds or for all that are left.

        Raises:
            RecipeError, DataError, UnsupportedError: it cannot be run as it is; nothing was changed.
        """
        if self._exp.jobs.running("task") is not None:
            return
        schedule, setup = self._wanted()
        run = begun(self._exp.state, schedule, setup)
        if not run.done or self._run is None:
            self._rounds = {}
        self._run, self._asked = (schedule, setup, run), rounds
        start_rounds(self._exp, schedule, setup, rounds, self._seen)

    def again(self) -> None:
        """Begin once more what failed."""
        self.start(self._asked)

    def _seen(self, step: TuneStep | RoundRecord) -> None:
        """Called by the worker, in order."""
        assert self._run is not None and self._exp.train is not None
        schedule, setup, run = self._run
        each = schedule.epochs_per_round
        if isinstance(step, RoundRecord):
            self._rounds[step.round] = Round(each * step.round, step.before, step.accuracy)
            self._run = schedule, setup, replace(run, done=step.round)
        else:
            of_part = step.step.step / steps_an_epoch(len(self._exp.train), setup.batch_size)
            self._now = of_part if schedule.kind == "cubic" else of_part + each * (step.round - 1)
            now = time.monotonic()
            if now - self._last < _BETWEEN:
                return
            self._last = now
        self._widget.show_records(charts={"schedule": self._drawn(*self._run)})

    def ended(self) -> None:
        """The run is over, in whatever way."""
        self._now = None
        self.show()

    def show(self) -> None:
        """Publish the plan and its drawing."""
        self._widget.show_records(charts=self.charts(), **self.traits())
