"""Batch-norm statistics of the present state, measured anew: no labels and no training."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING

from torch import nn

from nnwidgets.engine.compression import latent_state, trained_recipe
from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.state import Attempt, State
from nnwidgets.engine.training import check_statistics, recalibration
from nnwidgets.engine.values.split import Split
from nnwidgets.engine.values.steps import result_of

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["recalibrate", "start_recalibration"]

_NAME, _LABEL = "recalibrate", "Measuring batch-norm again"
_IMAGES, _BATCH = 1024, 128
_MACS, _A_BATCH = 2e11, 4e9  # multiply-accumulates of all images and of a batch: some seconds, and a tenth of one
_Measured = tuple[Attempt, nn.Module]


def recalibrate(experiment: Experiment, images: int | None = None) -> None:
    """Do it and make the result the present state; see `Experiment.recalibrate`."""
    _commit(experiment, result_of(_steps(experiment, images)))


def start_recalibration(experiment: Experiment) -> Job:
    """Do it in the background; a second call while it runs starts nothing."""

    def ended(measured: _Measured) -> str:
        _commit(experiment, measured)
        attempt = measured[0]
        return f"batch-norm measured again on {attempt.images:,} images in {attempt.seconds:.1f} s; Undo takes it back"

    return tasks.start(
        experiment, _NAME, _LABEL, lambda: _steps(experiment, None), ended, item=lambda share: Task(_NAME, _LABEL, share)
    )


def _commit(experiment: Experiment, measured: _Measured) -> None:
    attempt, network = measured
    experiment.adopt(State(attempt.result, experiment.weights.put(latent_state(network)), attempt))


def _steps(experiment: Experiment, images: int | None) -> Generator[float, None, _Measured]:
    experiment.notice_changes()
    state, split = experiment.state, _split(experiment)
    bench = experiment.bench(state.weights_key)
    check_statistics(bench.base)
    for _ in bench.plan.preparing(state.recipe):
        yield 0.0
    for _ in bench.plan.making(state.recipe):
        yield 0.0
    network = bench.plan.compressed(state.recipe)
    yield 0.0
    macs, began = max(bench.trace.macs, 1), time.perf_counter()
    count = min(_IMAGES, max(_BATCH, int(_MACS / macs))) if images is None else images
    batch = max(16, min(_BATCH, int(_A_BATCH / macs)))
    yield from recalibration(network, split, images=count, batch_size=batch)
    seconds = time.perf_counter() - began
    left = trained_recipe(network, state.recipe)
    left_other = None if left == state.recipe else left
    return Attempt(_NAME, state.recipe, state.weights_key, None, seconds, left=left_other, images=min(count, len(split))), network


def _split(experiment: Experiment) -> Split:
    split = experiment.train if experiment.train is not None else experiment.val
    if split is None:
        raise DataError(
            "batch-norm is measured on images that are not of S_test, and this experiment has none. Make it with train=... or "
            "val=...; labels are not needed."
        )
    return split
