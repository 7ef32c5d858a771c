"""What happens inside a network."""

from __future__ import annotations

from nnwidgets.engine.inspect._attention import Attention, attention, attention_maps
from nnwidgets.engine.inspect._filters import Filters, filters
from nnwidgets.engine.inspect._layout import Layout
from nnwidgets.engine.inspect._maps import Maps, as_maps, feature_maps
from nnwidgets.engine.inspect._sites import Site
from nnwidgets.engine.inspect._structure import Row, Structure, structure

__all__ = [
    "Attention",
    "Filters",
    "Layout",
    "Maps",
    "Row",
    "Site",
    "Structure",
    "as_maps",
    "attention",
    "attention_maps",
    "feature_maps",
    "filters",
    "structure",
]
