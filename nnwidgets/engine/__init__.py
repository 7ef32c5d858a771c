"""The engine: torch, numpy and pandas, no Jupyter. Everything the widgets show can be had here without a screen.

Names load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnwidgets._lazy import lazy_names

if TYPE_CHECKING:
    from nnwidgets.engine.compression import (
        Exported,
        bake,
        calibrate,
        compress,
        correct_bias,
        cost,
        encodings,
        equalize,
        export,
        load_packed,
        materialize,
        save_packed,
    )
    from nnwidgets.engine.costs import Energy, energy, latency, sparse_crossover
    from nnwidgets.engine.diagnosis import (
        Cause,
        Diagnosis,
        Evidence,
        EvidenceTest,
        Remedy,
        Trial,
        diagnose,
        list_remedies,
        try_remedy,
    )
    from nnwidgets.engine.diagnosis.label_errors import suspect_labels
    from nnwidgets.engine.diagnosis.learning_curve import learning_curve
    from nnwidgets.engine.diagnosis.plants import list_faults, plant
    from nnwidgets.engine.diagnosis.practice import PracticeResult, check_practice
    from nnwidgets.engine.diagnosis.rate_test import rate_range_test
    from nnwidgets.engine.diagnosis.shift import shift_tests
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
    from nnwidgets.engine.inspect import (
        Filters,
        Projection,
        ReceptiveField,
        Statistics,
        Structure,
        TopActivations,
        UnitStatistics,
        ablate,
        attention_maps,
        deconvnet,
        feature_maps,
        filters,
        receptive_field,
        statistics,
        structure,
        top_activations,
        watch_training,
    )
    from nnwidgets.engine.integers import Arithmetics, IntegerNetwork, integer, time_arithmetic
    from nnwidgets.engine.jobs import Job, Jobs
    from nnwidgets.engine.scans import compare_remedies, sensitivity_scan, spread_bits
    from nnwidgets.engine.search import SearchPoint, SearchResult, find_smallest
    from nnwidgets.engine.sparse import LotteryResult, compare_bits, compare_criteria, lottery_ticket, prune_and_tune
    from nnwidgets.engine.trace import fingerprint, layers
    from nnwidgets.engine.training import fit, recalibrate_batch_norm
    from nnwidgets.engine.values.front import pareto_front
    from nnwidgets.engine.values.mask import Mask
    from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
    from nnwidgets.engine.values.records import Cost, Estimate, Evaluation, Latency, LayerCost, StepRecord
    from nnwidgets.engine.values.schedule import Schedule
    from nnwidgets.engine.values.setup import TrainingSetup
    from nnwidgets.engine.values.split import Split
    from nnwidgets.engine.zoo import shapes, torchvision_net

__all__ = [
    "Arithmetics",
    "Attempt",
    "Cause",
    "Cost",
    "DataError",
    "Diagnosis",
    "Energy",
    "Estimate",
    "Evaluation",
    "Evidence",
    "EvidenceTest",
    "Experiment",
    "Exported",
    "FileError",
    "Filters",
    "InputError",
    "IntegerNetwork",
    "Job",
    "Jobs",
    "Latency",
    "LayerCost",
    "LotteryResult",
    "Mask",
    "ModelError",
    "NnwError",
    "OutOfMemoryError",
    "PracticeResult",
    "Projection",
    "Pruning",
    "Quantization",
    "ReceptiveField",
    "Recipe",
    "RecipeError",
    "Remedy",
    "Schedule",
    "SearchPoint",
    "SearchResult",
    "Split",
    "State",
    "Statistics",
    "StepRecord",
    "Structure",
    "TopActivations",
    "TrainingSetup",
    "Trial",
    "UnitStatistics",
    "UnsupportedError",
    "ablate",
    "attention_maps",
    "bake",
    "calibrate",
    "check_practice",
    "compare_bits",
    "compare_criteria",
    "compare_remedies",
    "compress",
    "correct_bias",
    "cost",
    "deconvnet",
    "diagnose",
    "encodings",
    "energy",
    "equalize",
    "evaluate",
    "export",
    "feature_maps",
    "filters",
    "find_smallest",
    "fingerprint",
    "fit",
    "integer",
    "latency",
    "layers",
    "learning_curve",
    "list_faults",
    "list_remedies",
    "load_packed",
    "lottery_ticket",
    "materialize",
    "pareto_front",
    "plant",
    "prune_and_tune",
    "rate_range_test",
    "recalibrate_batch_norm",
    "receptive_field",
    "save_packed",
    "sensitivity_scan",
    "shapes",
    "shift_tests",
    "sparse_crossover",
    "spread_bits",
    "statistics",
    "stream_accuracy",
    "structure",
    "suspect_labels",
    "time_arithmetic",
    "top_activations",
    "torchvision_net",
    "try_remedy",
    "watch_training",
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
_COMPRESSION = (
    "Exported",
    "bake",
    "calibrate",
    "compress",
    "correct_bias",
    "cost",
    "encodings",
    "equalize",
    "export",
    "load_packed",
    "materialize",
    "save_packed",
)
_DIAGNOSIS = (
    "Cause",
    "Diagnosis",
    "Evidence",
    "EvidenceTest",
    "Remedy",
    "Trial",
    "diagnose",
    "list_remedies",
    "try_remedy",
)
_INSPECT = (
    "Filters",
    "Projection",
    "ReceptiveField",
    "Statistics",
    "Structure",
    "TopActivations",
    "UnitStatistics",
    "ablate",
    "attention_maps",
    "deconvnet",
    "feature_maps",
    "filters",
    "receptive_field",
    "statistics",
    "structure",
    "top_activations",
    "watch_training",
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
        **dict.fromkeys(_COMPRESSION, ".compression"),
        **dict.fromkeys(("evaluate", "stream_accuracy"), ".evaluation"),
        **dict.fromkeys(("fingerprint", "layers"), ".trace"),
        **dict.fromkeys(_INSPECT, ".inspect"),
        **dict.fromkeys(("SearchPoint", "SearchResult", "find_smallest"), ".search"),
        "pareto_front": ".values.front",
        **dict.fromkeys(_DIAGNOSIS, ".diagnosis"),
        **dict.fromkeys(("PracticeResult", "check_practice"), ".diagnosis.practice"),
        "learning_curve": ".diagnosis.learning_curve",
        "rate_range_test": ".diagnosis.rate_test",
        "shift_tests": ".diagnosis.shift",
        "suspect_labels": ".diagnosis.label_errors",
        **dict.fromkeys(("list_faults", "plant"), ".diagnosis.plants"),
        **dict.fromkeys(("Energy", "energy", "latency", "sparse_crossover"), ".costs"),
        **dict.fromkeys(("Arithmetics", "IntegerNetwork", "integer", "time_arithmetic"), ".integers"),
        **dict.fromkeys(("compare_remedies", "sensitivity_scan", "spread_bits"), ".scans"),
        **dict.fromkeys(("LotteryResult", "compare_bits", "compare_criteria", "lottery_ticket", "prune_and_tune"), ".sparse"),
        **dict.fromkeys(("shapes", "torchvision_net"), ".zoo"),
        "Mask": ".values.mask",
        "Schedule": ".values.schedule",
        "Split": ".values.split",
        "TrainingSetup": ".values.setup",
        **dict.fromkeys(("fit", "recalibrate_batch_norm"), ".training"),
    },
)
