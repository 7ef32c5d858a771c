"""What to remove: importance, selection, masks."""

from __future__ import annotations

from nnwidgets.engine.pruning.allocation import erdos_renyi, tolerated
from nnwidgets.engine.pruning.filters import largest_share, select_filters
from nnwidgets.engine.pruning.n_of_m import fits, keep_n_of_m, parsed
from nnwidgets.engine.pruning.parametrization import MaskWeights
from nnwidgets.engine.pruning.scores import random_scores
from nnwidgets.engine.pruning.table import MagnitudeTable, Selection
from nnwidgets.engine.pruning.units import unit_scores

__all__ = [
    "MagnitudeTable",
    "MaskWeights",
    "Selection",
    "erdos_renyi",
    "fits",
    "keep_n_of_m",
    "largest_share",
    "parsed",
    "random_scores",
    "select_filters",
    "tolerated",
    "unit_scores",
]
