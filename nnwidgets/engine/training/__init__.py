"""Training: a generator of step records that can be stopped between steps and resumed."""

from __future__ import annotations

from nnwidgets.engine.training._fit import Run, fit, steps_an_epoch

__all__ = ["Run", "fit", "steps_an_epoch"]
