"""What happens inside a network."""

from __future__ import annotations

from nnwidgets.engine.inspect._ablate import Ablated, ablate
from nnwidgets.engine.inspect._maps import Maps, as_maps, feature_maps
from nnwidgets.engine.inspect._sites import Site

__all__ = ["Ablated", "Maps", "Site", "ablate", "as_maps", "feature_maps"]
