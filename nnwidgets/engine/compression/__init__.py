"""Apply a recipe: simulated copies, plain copies, instant figures, real files."""

from __future__ import annotations

from nnwidgets.engine.compression._calibrate import calibrate
from nnwidgets.engine.compression._compress import bake, compress, latent_state, trained_recipe
from nnwidgets.engine.compression._correct_bias import correct_bias
from nnwidgets.engine.compression._cost import cost
from nnwidgets.engine.compression._encodings import encodings
from nnwidgets.engine.compression._equalize import equalize
from nnwidgets.engine.compression._export import export, export_steps
from nnwidgets.engine.compression._materialize import materialize
from nnwidgets.engine.compression.exported import Exported
from nnwidgets.engine.compression.files import load_packed, save_packed
from nnwidgets.engine.compression.plan import CompressionPlan

__all__ = [
    "CompressionPlan",
    "Exported",
    "bake",
    "calibrate",
    "compress",
    "correct_bias",
    "cost",
    "encodings",
    "equalize",
    "export",
    "export_steps",
    "latent_state",
    "load_packed",
    "materialize",
    "save_packed",
    "trained_recipe",
]
