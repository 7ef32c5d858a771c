"""Training: a generator of step records that can be stopped between steps and resumed."""

from __future__ import annotations

from nnwidgets.engine.training._batch_norm import check_statistics, recalibrate_batch_norm, recalibration, statistics_layers
from nnwidgets.engine.training._fit import Run, fit, steps_an_epoch

__all__ = ["Run", "check_statistics", "fit", "recalibrate_batch_norm", "recalibration", "statistics_layers", "steps_an_epoch"]
