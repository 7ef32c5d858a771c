"""What a file of the present state takes in every encoding, and whether sparse products pay here: in the background."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnwidgets.engine.costs import sparse_crossover_steps
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import State

if TYPE_CHECKING:
    import pandas as pd

    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["Encoded", "start_crossover", "start_encodings"]

_ENCODING, _TIMING = "Encoding the weights", "Timing dense and CSR products"


@dataclass(frozen=True)
class Encoded:
    """Attributes:
    table: as `encodings` returns it. state: what it is of.
    """

    table: pd.DataFrame
    state: State


def start_encodings(experiment: Experiment, done: Callable[[Encoded], None]) -> Job:
    """Encode the weights of the present state in every way; ``done`` gets the sizes.

    A second call while it runs starts nothing.
    """

    def work() -> Generator[Task, None, Encoded]:
        experiment.notice_changes()
        state = experiment.state
        plan = experiment.bench(state.weights_key).plan
        for _, share in plan.preparing(state.recipe):
            yield Task("encodings", _ENCODING, 0.1 * share, text="the criterion looks at images")
        for _ in plan.making(state.recipe):
            yield Task("encodings", _ENCODING, 0.1)
        steps = plan.encodings(state.recipe)
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                return Encoded(end.value, state)
            yield Task("encodings", _ENCODING, 0.1 + 0.9 * share)

    def ended(found: Encoded) -> str:
        done(found)
        return "every size is of bytes that decode"

    return tasks.start(experiment, "encodings", _ENCODING, work, ended)


def start_crossover(experiment: Experiment, done: Callable[[pd.DataFrame], None]) -> Job:
    """Time the network's linear layers, dense against CSR; ``done`` gets the table.

    A second call while it runs starts nothing.
    """

    def work() -> Generator[Task, None, pd.DataFrame]:
        experiment.notice_changes()
        steps = sparse_crossover_steps(experiment.bench(experiment.state.weights_key).base)
        left = tasks.TimeLeft()
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                table: pd.DataFrame = end.value
                return table
            yield Task("crossover", _TIMING, share, left.at(share))

    def ended(table: pd.DataFrame) -> str:
        done(table)
        pairs, threads = int(table["pairs"].sum()), int(table.attrs["threads"])
        return f"{pairs:,} pairs of timings, {threads} thread" + ("" if threads == 1 else "s")

    return tasks.start(experiment, "crossover", _TIMING, work, ended)
