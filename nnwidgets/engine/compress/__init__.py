"""Apply a recipe: simulated copies, plain copies, instant figures, real files."""

from __future__ import annotations

from nnwidgets.engine.compress._compress import bake, compress, latent_state
from nnwidgets.engine.compress._cost import cost
from nnwidgets.engine.compress.files import load_packed, save_packed
from nnwidgets.engine.compress.plan import CompressionPlan

__all__ = ["CompressionPlan", "bake", "compress", "cost", "latent_state", "load_packed", "save_packed"]
