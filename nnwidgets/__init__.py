"""Live widgets for a neural network in Jupyter: why is it not good enough, what happens inside, how small can it become.

Importing this package loads neither torch nor a widget; each public name loads what it needs when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnwidgets._lazy import lazy_names

if TYPE_CHECKING:
    from nnwidgets import engine
    from nnwidgets.engine.experiment import Experiment, list_examples, load_example
    from nnwidgets.widgets.compression_lab import CompressionLab
    from nnwidgets.widgets.error_analysis import ErrorAnalysis
    from nnwidgets.widgets.layer_explorer import LayerExplorer

__version__ = "0.1.0"

__all__ = ["CompressionLab", "ErrorAnalysis", "Experiment", "LayerExplorer", "engine", "list_examples", "load_example"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CompressionLab": ".widgets.compression_lab",
        "ErrorAnalysis": ".widgets.error_analysis",
        "Experiment": ".engine.experiment",
        "LayerExplorer": ".widgets.layer_explorer",
        "engine": ".engine.",
        "list_examples": ".engine.experiment",
        "load_example": ".engine.experiment",
    },
)
