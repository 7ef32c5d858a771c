"""What happens inside a network."""

from __future__ import annotations

from nnwidgets.engine.inspect._ablate import Ablated, ablate
from nnwidgets.engine.inspect._maps import Maps, as_maps, feature_maps
from nnwidgets.engine.inspect._sites import Site
from nnwidgets.engine.inspect._statistics import statistics, statistics_steps
from nnwidgets.engine.inspect._switching import Switching
from nnwidgets.engine.inspect._training import LayerStep, TrainingStep, WatchedTraining, watch_training
from nnwidgets.engine.inspect.statistics_records import Statistics, StatisticsStep, UnitStatistics

__all__ = [
    "Ablated",
    "LayerStep",
    "Maps",
    "Site",
    "Statistics",
    "StatisticsStep",
    "Switching",
    "TrainingStep",
    "UnitStatistics",
    "WatchedTraining",
    "ablate",
    "as_maps",
    "feature_maps",
    "statistics",
    "statistics_steps",
    "watch_training",
]
