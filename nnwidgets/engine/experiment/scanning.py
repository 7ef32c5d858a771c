"""Which layers of an experiment can bear pruning: a scan in the background, on images that nothing is reported on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nnwidgets.engine.compression.knowledge import Drops, drops_of
from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment import tasks
from nnwidgets.engine.experiment.events import Task
from nnwidgets.engine.scans import sensitivity_steps
from nnwidgets.engine.values.split import Split

if TYPE_CHECKING:
    import pandas as pd

    from nnwidgets.engine.experiment._experiment import Experiment
    from nnwidgets.engine.jobs import Job

__all__ = ["AMOUNTS", "Scan", "drops_steps", "sample_for", "start_scan"]

AMOUNTS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
_MOST, _FEWEST = 1000, 200  # images
_MACS = 2e11  # that a scan may cost: some seconds on one core
_LABEL = "Scanning layers"


@dataclass(frozen=True)
class Scan:
    """What `sensitivity_scan` found.

    Attributes:
        table: as it returns. sample: "val" or "test". weights_key: the weights that were scanned, None for those as given.
    """

    table: pd.DataFrame
    sample: str
    weights_key: str | None


def sample_for(experiment: Experiment, seed: int = 0) -> tuple[str, Split]:
    """S_val where there is one, so that nothing is chosen on S_test; of it at most 1,000 images, fewer for a large network.

    At least 200 are taken, where there are as many: fewer would tell layers apart by chance.
    """
    name = "test" if experiment.val is None else "val"
    split = experiment.split(name)
    plan = experiment.bench(None).plan
    an_image = 0.5 * plan.trace.macs * len(plan.layers) * len(AMOUNTS)
    count = min(len(split), _MOST, max(_FEWEST, int(_MACS / max(an_image, 1))))
    if count == len(split):
        return name, split
    return name, split.take(torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:count].sort().values)


def drops_steps(experiment: Experiment, key: str | None) -> Generator[float, None, Drops]:
    """Steps of a scan of a set of weights by which shares are chosen; yields the share that is done.

    Raises:
        DataError: there is no S_val: nothing is chosen on S_test.
    """
    if experiment.val is None:
        raise DataError(
            "allocation='sensitivity' chooses by accuracy, and this experiment has no S_val; nothing is chosen on S_test. Make "
            "it with train=... or val=..., or use 'global', 'uniform' or 'erk'."
        )
    _, split = sample_for(experiment)
    steps = sensitivity_steps(experiment.bench(key).base, split, AMOUNTS)
    while True:
        try:
            yield next(steps).share
        except StopIteration as end:
            return drops_of(end.value)


def start_scan(experiment: Experiment, done: Callable[[Scan], None]) -> Job:
    """Scan the present weights in the background; ``done`` gets the result. A second call while it runs starts nothing."""
    found: list[Scan] = []

    def work() -> Generator[Task, None, None]:
        key = experiment.state.weights_key
        name, split = sample_for(experiment)
        steps = sensitivity_steps(experiment.bench(key).base, split, AMOUNTS)
        left = tasks.TimeLeft()
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                found.append(Scan(end.value, name, key))
                if name == "val":  # shares are chosen by it as well
                    experiment.bench(key).plan.knowledge.note(drops_of(end.value))
                return
            yield Task(
                "scan_layers", _LABEL, progress.share, left.at(progress.share), text=f"{progress.text}, {len(split):,} images"
            )

    def ended(*_: object) -> str:
        scan = found.pop()
        done(scan)
        return f"each layer alone at {len(AMOUNTS)} amounts, on {scan.table.attrs['n']:,} images of S_{scan.sample}"

    return tasks.start(experiment, "scan_layers", _LABEL, work, ended)
