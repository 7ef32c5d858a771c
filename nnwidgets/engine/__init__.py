"""The engine: torch, numpy and pandas, no Jupyter. Everything the widgets show can be had here without a screen.

Names load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnwidgets._lazy import lazy_names

if TYPE_CHECKING:
    from nnwidgets.engine.compression import bake, compress, cost, load_packed, save_packed
    from nnwidgets.engine.costs import latency
    from nnwidgets.engine.errors import (
        DataError,
        FileError,
        InputError,
        ModelError,
        NnwError,
        OutOfMemoryError,
        RecipeError,
        UnsupportedError,
    )
    from nnwidgets.engine.evaluation import evaluate, stream_accuracy
    from nnwidgets.engine.experiment import Attempt, Experiment, State
    from nnwidgets.engine.jobs import Job, Jobs
    from nnwidgets.engine.scans import sensitivity_scan
    from nnwidgets.engine.trace import fingerprint, layers
    from nnwidgets.engine.training import fit
    from nnwidgets.engine.values.mask import Mask
    from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
    from nnwidgets.engine.values.records import Cost, Estimate, Evaluation, Latency, LayerCost, StepRecord
    from nnwidgets.engine.values.setup import TrainingSetup
    from nnwidgets.engine.values.split import Split
    from nnwidgets.engine.zoo import shapes, torchvision_net

__all__ = [
    "Attempt",
    "Cost",
    "DataError",
    "Estimate",
    "Evaluation",
    "Experiment",
    "FileError",
    "InputError",
    "Job",
    "Jobs",
    "Latency",
    "LayerCost",
    "Mask",
    "ModelError",
    "NnwError",
    "OutOfMemoryError",
    "Pruning",
    "Quantization",
    "Recipe",
    "RecipeError",
    "Split",
    "State",
    "StepRecord",
    "TrainingSetup",
    "UnsupportedError",
    "bake",
    "compress",
    "cost",
    "evaluate",
    "fingerprint",
    "fit",
    "latency",
    "layers",
    "load_packed",
    "save_packed",
    "sensitivity_scan",
    "shapes",
    "stream_accuracy",
    "torchvision_net",
]

_ERRORS = (
    "DataError",
    "FileError",
    "InputError",
    "ModelError",
    "NnwError",
    "OutOfMemoryError",
    "RecipeError",
    "UnsupportedError",
)
_RECORDS = ("Cost", "Estimate", "Evaluation", "Latency", "LayerCost", "StepRecord")

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(_ERRORS, ".errors"),
        **dict.fromkeys(_RECORDS, ".values.records"),
        **dict.fromkeys(("Attempt", "Experiment", "State"), ".experiment"),
        **dict.fromkeys(("Job", "Jobs"), ".jobs"),
        **dict.fromkeys(("Pruning", "Quantization", "Recipe"), ".values.recipe"),
        **dict.fromkeys(("bake", "compress", "cost", "load_packed", "save_packed"), ".compression"),
        **dict.fromkeys(("evaluate", "stream_accuracy"), ".evaluation"),
        **dict.fromkeys(("fingerprint", "layers"), ".trace"),
        "latency": ".costs",
        "sensitivity_scan": ".scans",
        **dict.fromkeys(("shapes", "torchvision_net"), ".zoo"),
        "Mask": ".values.mask",
        "Split": ".values.split",
        "TrainingSetup": ".values.setup",
        "fit": ".training",
    },
)
