"""Training: a generator of step records that can be stopped between steps and resumed."""

from __future__ import annotations

from nnwidgets.engine.training._fit import Run, fit

__all__ = ["Run", "fit"]
