"""Long work on an experiment: fine-tuning, measuring latency, writing a file. One at a time, with progress and cancel."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from torch import nn

from nnwidgets.engine.compression import latent_state, load_packed, trained_recipe
from nnwidgets.engine.costs import latency_of, latency_runs
from nnwidgets.engine.errors import DataError, FileError
from nnwidgets.engine.experiment.events import Event, Task
from nnwidgets.engine.experiment.state import Attempt, State
from nnwidgets.engine.trace import unvisited_copy
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.records import Latency, StepRecord
from nnwidgets.engine.values.setup import TrainingSetup

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["TimeLeft", "default_setup", "fine_tuning", "start", "start_disk", "start_fine_tuning", "start_latency"]

_SLOT = "task"
_LATENCY_RUNS = 50
_Trained = tuple[Attempt, nn.Module]
_Result = TypeVar("_Result")


def default_setup(experiment: Experiment) -> TrainingSetup:
    """Two epochs of Adam at a small rate, with the batch size and augmentation the network was trained with."""
    base = experiment.training or TrainingSetup()
    return replace(base, optimizer="adam", lr=5e-4, epochs=2, weight_decay=0.0, momentum=0.0, schedule="cosine")


def fine_tuning(experiment: Experiment, setup: TrainingSetup | None = None) -> Iterator[StepRecord | None]:
    """Train the present state on S_train: masks and fake quantization hold in every step.

    Yields a record after each step, and None between the parts of a step. At the end the result becomes the present state.
    Closing the iterator early changes nothing.

    Raises:
        DataError: the experiment has no training data.
    """
    trained = yield from _trained(experiment, setup)
    _commit(experiment, trained)


def _trained(experiment: Experiment, setup: TrainingSetup | None) -> Generator[StepRecord | None, None, _Trained]:
    """Train a copy of the present state."""
    if experiment.train is None:
        raise DataError(
            "fine-tuning needs training data; make the experiment with train=Split(images, labels) or a torch data set."
        )
    setup = default_setup(experiment) if setup is None else setup
    experiment.notice_changes()
    state = experiment.state
    plan = experiment.bench(state.weights_key).plan
    for steps in (plan.preparing(state.recipe), plan.making(state.recipe)):
        for _ in steps:
            yield None
    network, asked = plan.trainable(state.recipe)
    yield None
    losses: list[float] = []
    seconds = 0.0
    for record in fit(network, experiment.train, setup=setup, loss=experiment.loss).in_parts():
        if record is not None:
            losses.append(record.loss)
            seconds = record.seconds
        yield record
    tenth = max(1, len(losses) // 10)
    first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    trained = trained_recipe(network, asked)
    left = None if trained == state.recipe else trained
    return Attempt("fine_tune", state.recipe, state.weights_key, setup, seconds, first, last, left=left), network


def _commit(experiment: Experiment, trained: _Trained) -> None:
    attempt, network = trained
    experiment.adopt(State(attempt.result, experiment.weights.put(latent_state(network)), attempt))


def start_fine_tuning(experiment: Experiment, setup: TrainingSetup | None = None) -> Job:
    """Fine-tune in the background; a second call while it runs starts nothing."""
    records: list[StepRecord] = []
    started = time.monotonic()

    def work() -> Generator[Task | None, None, _Trained]:
        steps = _trained(experiment, setup)
        while True:
            try:
                record = next(steps)
            except StopIteration as end:
                return cast(_Trained, end.value)
            if record is None:
                yield None
                continue
            records.append(record)
            left = record.seconds / record.step * (record.steps - record.step)
            text = f"epoch {record.epoch} of {record.epochs}"
            yield Task("fine_tune", "Fine-tuning", record.step / record.steps, left, text=text, records=tuple(records))

    def ended(trained: _Trained) -> str:
        _commit(experiment, trained)
        epochs = f"{records[-1].epochs} epoch" + ("s" if records[-1].epochs > 1 else "")
        return f"fine-tuned {epochs} in {time.monotonic() - started:.0f} s; Undo brings the weights back"

    return start(experiment, "fine_tune", "Fine-tuning", work, ended)


class TimeLeft:
    """Seconds that a task still takes, by how long it took for the share that it has done itself.

    Args:
        least: share of the work before which nothing can be told.
    """

    def __init__(self, least: float = 0.05) -> None:
        self._least, self._began = least, time.monotonic()
        self._first: float | None = None

    def at(self, share: float) -> float | None:
        """Seconds left where this share is done; the first share that is told was done before."""
        self._first = share if self._first is None else self._first
        own = share - self._first
        return (time.monotonic() - self._began) / own * (1 - share) if own > self._least else None


@dataclass(frozen=True)
class Timing:
    """Attributes:
    dense: latency of the dense network. small: of what is left of it in ``state``, with really smaller tensors, measured in
        turns with the dense one; None where the state has no smaller tensors.
    """

    dense: Latency
    small: Latency | None
    state: State


def start_latency(experiment: Experiment, done: Callable[[Timing], None]) -> Job:
    """Measure the dense network and what is left of it, batch 1, in the background; ``done`` gets the result."""

    def work() -> Generator[Task, None, Timing]:
        experiment.notice_changes()
        state = experiment.state
        small = experiment.bench(state.weights_key).plan.materialized(state.recipe)
        networks = [experiment.bench(None).base] + ([] if small is None else [small])
        times: list[list[float]] = [[] for _ in networks]
        runs = [latency_runs(network, experiment.input_shape, runs=_LATENCY_RUNS) for network in networks]
        yield Task("latency", "Measuring latency")
        for together in zip(*runs, strict=True):
            for own, milliseconds in zip(times, together, strict=True):
                own.append(milliseconds)
            yield Task("latency", "Measuring latency", len(times[0]) / _LATENCY_RUNS)
        return Timing(latency_of(times[0]), latency_of(times[1]) if small is not None else None, state)

    def ended(timing: Timing) -> str:
        done(timing)
        return "latency measured"

    return start(experiment, "latency", "Measuring latency", work, ended)


def start_disk(experiment: Experiment) -> Job:
    """Write the present state to a real file, load it back, and note its size. A full disk is an error event."""

    def work() -> Generator[Task, None, tuple[State, int]]:
        experiment.notice_changes()
        state: State = experiment.state
        bench = experiment.bench(state.weights_key)
        with _scratch_folder() as folder:
            path = Path(folder) / "network.safetensors"
            size = bench.plan.save(state.recipe, path)
            yield Task("disk", "Writing a file", 0.5)
            load_packed(path, unvisited_copy(bench.base))
        return state, size

    def ended(measured: tuple[State, int]) -> str:
        experiment.live.record_disk(*measured)
        return "a file was written, loaded back and measured"

    return start(experiment, "disk", "Writing a file", work, ended)


def _scratch_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        raise FileError(
            f"no file can be written: {error}. Expected a folder for temporary files with room in it; free some space, or set "
            "TMPDIR to a folder that can be written to and start the kernel again."
        ) from error


def start(
    experiment: Experiment,
    name: str,
    label: str,
    work: Callable[[], Generator[Any, None, _Result]],
    ended: Callable[[_Result], str],
    *,
    item: Callable[[Any], Task | None] | None = None,
    cancelled: Callable[[], str] = lambda: "cancelled: nothing was changed",
) -> Job:
    """Run ``work`` in the background; only once it is past being cancelled, ``ended`` puts to use what it returned.

    Args:
        work: yields a Task to be told, None, or what ``item`` puts to use, which is done only where it was not cancelled before.
        ended, cancelled: how it ended, in words.
    """
    results: list[_Result] = []

    def tell(task: Task | None) -> None:
        if task is not None:
            experiment.emit(Event("task", task=task))

    def heard(step: Any) -> None:
        tell(step if item is None or step is None else item(step))

    def kept() -> Iterator[Any]:
        results.append((yield from work()))

    def done() -> None:
        tell(Task(name, label, 1.0, ended="done", text=ended(results.pop())))

    def failed(error: BaseException) -> None:
        tell(Task(name, label, ended="failed", text=cancelled().replace("cancelled", "failed", 1)))
        experiment.emit(Event("error", error=error, title=f"{label} failed"))

    running = experiment.jobs.running(_SLOT)
    if running is not None:  # whose progress is on the screen
        return running
    tell(Task(name, label))
    return experiment.jobs.submit(
        _SLOT,
        kept,
        on_item=heard,
        on_done=done,
        on_cancel=lambda: tell(Task(name, label, ended="cancelled", text=cancelled())),
        on_error=failed,
        keep=True,
    )
