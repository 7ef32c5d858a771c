"""Bits for each layer of an experiment's network, chosen on S_val in the background."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from nnwidgets.engine.compression import bake
from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.experiment.scanning import sample_for
from nnwidgets.engine.experiment.state import State
from nnwidgets.engine.scans import sensitivity_steps, spread_bits
from nnwidgets.engine.values.recipe import Quantization, Recipe

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["start_spread"]

_NAME, _LABEL = "spread_bits", "Scanning bits of each layer"
_BITS = (8, 6, 5, 4, 3, 2, 1)


def start_spread(experiment: Experiment, average: int, settings: Quantization) -> Job:
    """Scan the present network, with what is removed of it, and give each layer its bits: at most ``average`` a weight.

    What is found becomes the present state, as a step that can be undone. A second call while a task runs starts nothing.

    Args:
        settings: of the rounding, all but the bits.
    """

    def work() -> Generator[Task, None, tuple[State, int]]:
        if experiment.val is None:
            raise DataError(
                "bits are chosen by accuracy, and this experiment has no S_val; nothing is chosen on S_test. Make it with "
                "train=... or val=...."
            )
        experiment.notice_changes()
        state = experiment.state
        plan, pruned = experiment.bench(state.weights_key).plan, Recipe(state.recipe.pruning)
        for _ in plan.preparing(pruned):
            yield Task(_NAME, _LABEL, text="the criterion looks at images")
        for _ in plan.making(pruned):
            yield Task(_NAME, _LABEL)
        network = bake(plan.compressed(pruned))
        _, split = sample_for(experiment)
        steps, left = sensitivity_steps(network, split, _BITS, "quantization", settings=settings), tasks.TimeLeft()
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                bits = spread_bits(network, end.value, average)
                return replace(state, recipe=Recipe(pruned.pruning, settings.moved(weight_bits=bits))), len(split)
            yield Task(_NAME, _LABEL, progress.share, left.at(progress.share), text=f"{progress.text}, {len(split):,} images")

    def ended(found: tuple[State, int]) -> str:
        state, images = found
        experiment.adopt(state)
        return f"at most {average} bits a weight on average, by what each layer bears alone on {images:,} images of S_val"

    return tasks.start(experiment, _NAME, _LABEL, work, ended)
