"""What happens inside a network: its structure, its weights, what its layers give and for which images."""

from __future__ import annotations

from nnwidgets.engine.inspect._ablate import ablate
from nnwidgets.engine.inspect._attention import Attention, attention, attention_maps
from nnwidgets.engine.inspect._capture import Captured, capture
from nnwidgets.engine.inspect._contrast import contrast
from nnwidgets.engine.inspect._deconvnet import Projection, Projections, deconvnet, projection_steps, projections
from nnwidgets.engine.inspect._filters import Filters, filters
from nnwidgets.engine.inspect._layout import Layout
from nnwidgets.engine.inspect._maps import Maps, as_maps, feature_maps
from nnwidgets.engine.inspect._raster import Raster, colours, grid, pooled, sequential, signed
from nnwidgets.engine.inspect._receptive import ReceptiveField, receptive_field
from nnwidgets.engine.inspect._sites import Site
from nnwidgets.engine.inspect._statistics import default_sites, statistics, statistics_steps
from nnwidgets.engine.inspect._structure import Row, Structure, structure
from nnwidgets.engine.inspect._switching import Switching
from nnwidgets.engine.inspect._top import TopActivations, patch, top_activations, top_patches, top_steps
from nnwidgets.engine.inspect._training import LayerStep, TrainingStep, WatchedTraining, watch_training
from nnwidgets.engine.inspect.statistics_records import Statistics, StatisticsStep, UnitStatistics

__all__ = [
    "Attention",
    "Captured",
    "Filters",
    "LayerStep",
    "Layout",
    "Maps",
    "Projection",
    "Projections",
    "Raster",
    "ReceptiveField",
    "Row",
    "Site",
    "Statistics",
    "StatisticsStep",
    "Structure",
    "Switching",
    "TopActivations",
    "TrainingStep",
    "UnitStatistics",
    "WatchedTraining",
    "ablate",
    "as_maps",
    "attention",
    "attention_maps",
    "capture",
    "colours",
    "contrast",
    "deconvnet",
    "default_sites",
    "feature_maps",
    "filters",
    "grid",
    "patch",
    "pooled",
    "projection_steps",
    "projections",
    "receptive_field",
    "sequential",
    "signed",
    "statistics",
    "statistics_steps",
    "structure",
    "top_activations",
    "top_patches",
    "top_steps",
    "watch_training",
]
