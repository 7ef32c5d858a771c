"""A copy of an experiment's network, trained step by step while its weights are looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from nnwidgets.engine.errors import DataError
from nnwidgets.engine.experiment.tasks import default_setup
from nnwidgets.engine.inspect import watch_training
from nnwidgets.engine.trace import preserved_rng, unvisited_copy
from nnwidgets.engine.values.records import StepRecord

if TYPE_CHECKING:
    from nnwidgets.engine.experiment._experiment import Experiment

__all__ = ["TrainingWatch"]

_KEPT = 5000  # steps remembered


class TrainingWatch:
    """Trains a copy when asked to; the experiment's network stays as it is.

    Args:
        network: it is copied. epochs, rate: of Adam. fresh: begin with new weights, drawn with a fixed seed.

    Attributes:
        network: the copy. records: of the steps so far. ratios: by layer, norm of each update beside that of the weights.

    Raises:
        DataError: the experiment has no training data.
    """

    def __init__(self, experiment: Experiment, network: nn.Module, epochs: int, rate: float, fresh: bool) -> None:
        if experiment.train is None:
            raise DataError("training needs data; make the experiment with train=Split(images, labels) or a torch data set.")
        self.network = unvisited_copy(network)
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
        if fresh:
            _drawn_anew(self.network)
        setup = replace(default_setup(experiment), epochs=epochs, lr=rate, schedule=None)
        self.records: list[StepRecord] = []
        self.ratios: dict[str, list[float]] = {}
        self.fresh = fresh
        self.ended = False
        self._steps = watch_training(self.network, experiment.train, setup, loss=experiment.loss).in_parts()

    def advance(self) -> bool:
        """Do a part of a step. Returns True where a step was finished."""
        try:
            step = next(self._steps)
        except StopIteration:
            self.ended = True
            return False
        if step is None:
            return False
        self.records.append(step.record)
        for layer in step.layers:
            self.ratios.setdefault(layer.name, []).append(layer.ratio)
        if len(self.records) > _KEPT:
            del self.records[0]
            for values in self.ratios.values():
                del values[0]
        return True

    @property
    def share(self) -> float:
        """How much of the run is done."""
        return self.records[-1].step / self.records[-1].steps if self.records else 0.0

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the steps so far."""
        if not self.records:
            return None
        last = self.records[-1]
        return last.seconds / last.step * (last.steps - last.step)

    @property
    def text(self) -> str:
        """Where it is, in words."""
        if not self.records:
            return "starting"
        last = self.records[-1]
        return f"step {last.step:,} of {last.steps:,}, epoch {last.epoch}, loss {last.loss:.3g}"


def _drawn_anew(network: nn.Module, seed: int = 0) -> None:
    with preserved_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
