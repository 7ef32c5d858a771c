"""By what importance is judged: one function for each way of looking, a table of facts, one interface."""

from __future__ import annotations

from nnwidgets.engine.pruning.criteria._base import Facts, Importance
from nnwidgets.engine.pruning.criteria._facts import CRITERIA
from nnwidgets.engine.pruning.criteria._importance import importance, importance_steps, moments_steps
from nnwidgets.engine.pruning.criteria._loss import Loss

__all__ = ["CRITERIA", "Facts", "Importance", "Loss", "importance", "importance_steps", "moments_steps"]
