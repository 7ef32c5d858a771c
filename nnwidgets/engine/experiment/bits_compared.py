"""How few bits an experiment's network needs, static and trained with rounding, in the background. Nothing of it changes."""

from __future__ import annotations

from collections.abc import Callable, Generator, MutableMapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nnwidgets.engine.compression import bake
from nnwidgets.engine.compression.choose import UNITS
from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.sparse import BitsCell, compare_bits_steps
from nnwidgets.engine.values.mask import Mask
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.records import StepRecord
from nnwidgets.engine.values.setup import TrainingSetup

if TYPE_CHECKING:
    import pandas as pd

    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["BITS", "BitsAsked", "bits_setup", "start_bits", "why_no_bits"]

BITS = (8, 4, 3, 2, 1)
_NAME, _LABEL = "bits", "Rounding to fewer bits"
Kept = MutableMapping[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class BitsAsked:
    """What is asked for: see `compare_bits`. Pruning is that of the present state."""

    settings: Quantization
    setup: TrainingSetup
    seeds: int = 1


def bits_setup(experiment: Experiment, epochs: int, rate: float) -> TrainingSetup:
    """As fine-tuning, for so many epochs."""
    return replace(tasks.default_setup(experiment), epochs=epochs, lr=rate)


def why_no_bits(experiment: Experiment) -> str:
    """What the experiment lacks; "" where bits can be compared."""
    if experiment.train is None or experiment.val is None:
        return "it trains on S_train and measures on S_val: give train="
    return ""


def start_bits(
    experiment: Experiment, asked: BitsAsked, kept: Kept, seen: Callable[[BitsCell], None], done: Callable[[float], None]
) -> Job:
    """Round the present network to each of `BITS`, without training and with it. A second call while a task runs starts nothing.

    Cancelled, the bit widths that are done stay in ``kept``.

    Args:
        kept: as ``resume`` of `compare_bits`. seen: is told of each bit width that has ended. done: gets the accuracy of the
            network as it is on S_val.
    """

    def work() -> Generator[Task | BitsCell, None, pd.DataFrame]:
        if why := why_no_bits(experiment):
            raise DataError(f"bits cannot be compared: {why}.")
        assert experiment.train is not None and experiment.val is not None
        experiment.notice_changes()
        state = experiment.state
        plan = experiment.bench(state.weights_key).plan
        pruned = Recipe(state.recipe.pruning)
        for _ in plan.preparing(pruned):
            yield Task(_NAME, _LABEL, text="the criterion looks at images")
        yield from (Task(_NAME, _LABEL) for _ in plan.making(pruned))
        pruning, network = state.recipe.pruning, experiment.bench(state.weights_key).base
        if pruning is not None and pruning.structure not in UNITS:  # exactly these weights, however they were chosen
            pruning = Pruning(pruning.amount, masks={name: Mask.from_array(keep) for name, keep in plan.masks(pruned).items()})
            network = bake(plan.compressed(pruned))
        steps = compare_bits_steps(
            network,
            experiment.train,
            experiment.val,
            BITS,
            asked.settings,
            asked.setup,
            range(asked.seeds),
            kept,
            pruning=pruning,
            loss=experiment.loss,
        )
        left = tasks.TimeLeft(0.01)
        records: tuple[StepRecord, ...] = ()
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                table: pd.DataFrame = end.value
                return table
            if step.cell is not None:
                yield step.cell
            records = step.records or records  # drawn until the next training has some
            yield Task(_NAME, _LABEL, step.share, left.at(step.share), text=step.text, records=records)

    def item(step: Task | BitsCell) -> Task | None:
        if isinstance(step, Task):
            return step
        seen(step)
        return None

    def ended(table: pd.DataFrame) -> str:
        done(float(table.attrs["dense"]))
        return f"{len(table)} trainings with rounding; the network and its state are as they were"

    return tasks.start(
        experiment,
        _NAME,
        _LABEL,
        work,
        ended,
        item=item,
        cancelled=lambda: "cancelled: bit widths that were done are kept, and not run again",
    )
