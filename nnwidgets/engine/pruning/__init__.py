"""What to remove: importance, selection, masks."""

from __future__ import annotations

from nnwidgets.engine.pruning.filters import largest_share, select_filters
from nnwidgets.engine.pruning.parametrization import MaskWeights
from nnwidgets.engine.pruning.scores import filter_matrix, filter_scores, filters_to_weights, n_filters, random_scores
from nnwidgets.engine.pruning.table import MagnitudeTable, Selection

__all__ = [
    "MagnitudeTable",
    "MaskWeights",
    "Selection",
    "filter_matrix",
    "filter_scores",
    "filters_to_weights",
    "largest_share",
    "n_filters",
    "random_scores",
    "select_filters",
]
