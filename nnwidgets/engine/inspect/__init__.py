"""What happens inside a network."""

from __future__ import annotations

from nnwidgets.engine.inspect._contrast import contrast
from nnwidgets.engine.inspect._deconvnet import Projection, Projections, deconvnet, projection_steps, projections
from nnwidgets.engine.inspect._maps import Maps, as_maps, feature_maps
from nnwidgets.engine.inspect._receptive import ReceptiveField, receptive_field
from nnwidgets.engine.inspect._sites import Site

__all__ = [
    "Maps",
    "Projection",
    "Projections",
    "ReceptiveField",
    "Site",
    "as_maps",
    "contrast",
    "deconvnet",
    "feature_maps",
    "projection_steps",
    "projections",
    "receptive_field",
]
