"""What happens inside a network."""

from __future__ import annotations

from nnwidgets.engine.inspect._contrast import contrast
from nnwidgets.engine.inspect._deconvnet import Projection, Projections, deconvnet, projection_steps, projections
from nnwidgets.engine.inspect._maps import Maps, as_maps, feature_maps
from nnwidgets.engine.inspect._over import Progress
from nnwidgets.engine.inspect._receptive import ReceptiveField, receptive_field
from nnwidgets.engine.inspect._sites import Site
from nnwidgets.engine.inspect._top import TopActivations, patch, top_activations, top_patches, top_steps

__all__ = [
    "Maps",
    "Progress",
    "Projection",
    "Projections",
    "ReceptiveField",
    "Site",
    "TopActivations",
    "as_maps",
    "contrast",
    "deconvnet",
    "feature_maps",
    "patch",
    "projection_steps",
    "projections",
    "receptive_field",
    "top_activations",
    "top_patches",
    "top_steps",
]
