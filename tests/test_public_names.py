"""The public surface: other people's code is written against these names. A change here belongs in the changelog."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PUBLIC = {
    "nnwidgets": ["CompressionLab", "ErrorAnalysis", "Experiment", "LayerExplorer", "engine", "list_examples", "load_example"],
    "nnwidgets.engine": [
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
    ],
}
# Traits of LayerExplorer that code may read, link and write.
EXPLORER = ["channel", "compare", "image_index", "layer", "order", "position", "sample", "scale", "view"]
# Traits of CompressionLab that code may read and link, and those of them that code and the screen may write.
READ_ONLY = ["accuracy", "accuracy_high", "accuracy_low", "n_seen", "status"]
WRITABLE = [
    "activation_bits",
    "activation_observer",
    "activation_symmetric",
    "allocation",
    "calibration_images",
    "criterion",
    "epochs",
    "granularity",
    "learning_rate",
    "merit",
    "norm",
    "observer",
    "regrowth",
    "rounds",
    "sample",
    "schedule",
    "selected_layer",
    "sparsity",
    "structure",
    "symmetric",
    "weight_bits",
]


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_these_and_sorted(module: str) -> None:
    """``__all__`` is the list above."""
    names = importlib.import_module(module).__all__
    assert list(names) == PUBLIC[module]
    assert list(names) == sorted(names)


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in PUBLIC.items() for n in names])
def test_a_public_name_loads_is_listed_and_documented(module: str, name: str) -> None:
    """A lazy name answers with the thing itself (never with a module of that name), is in ``dir`` and has a docstring."""
    package = importlib.import_module(module)
    thing = getattr(package, name)
    assert name in dir(package)
    assert (thing.__doc__ or "").strip()
    assert isinstance(thing, type(sys)) == (name == "engine")


@pytest.mark.parametrize("module", PUBLIC)
def test_an_unknown_name_says_what_there_is(module: str) -> None:
    """A misspelt name is an AttributeError that lists the public names."""
    with pytest.raises(AttributeError, match=rf"{module}.*no_such_name.*{PUBLIC[module][0]}"):
        _ = importlib.import_module(module).no_such_name


@pytest.mark.parametrize("trait", READ_ONLY + WRITABLE)
def test_compression_lab_has_the_trait(trait: str) -> None:
    """The name exists as a synchronised trait with a help text or docstring of its meaning."""
    from nnwidgets import CompressionLab

    found = CompressionLab.class_traits(sync=True)
    assert trait in found


@pytest.mark.parametrize("trait", EXPLORER)
def test_layer_explorer_has_the_trait(trait: str) -> None:
    """The name exists as a synchronised trait that can be set, with a help text of its meaning."""
    from nnwidgets import LayerExplorer

    found = LayerExplorer.class_traits(sync=True)[trait]
    assert not found.read_only and found.help


@pytest.mark.parametrize("trait", READ_ONLY)
def test_a_measured_trait_cannot_be_set_from_code(trait: str) -> None:
    """What is measured is read-only."""
    from nnwidgets import CompressionLab

    assert CompressionLab.class_traits()[trait].read_only


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after some code."""
    script = f"import sys\n{code}\nsys.stdout.write('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"torch", "numpy", "pandas", "matplotlib", "ipywidgets", "anywidget", "IPython", "torchvision"}


@pytest.mark.parametrize("code", ["import nnwidgets", "import nnwidgets.engine", "from nnwidgets import engine; dir(engine)"])
def test_the_import_loads_nothing_heavy(code: str) -> None:
    """Neither torch nor a widget is loaded until a name is used."""
    loaded = loaded_by(code)
    assert "nnwidgets" in loaded
    assert loaded & HEAVY == set()


def test_the_engine_runs_without_jupyter_and_matplotlib() -> None:
    """Loading an example and every engine name loads no screen."""
    code = "import nnwidgets as nw\nfor name in nw.engine.__all__: getattr(nw.engine, name)\nnw.load_example('digits')"
    loaded = loaded_by(code)
    assert "torch" in loaded
    assert loaded & {"matplotlib", "ipywidgets", "anywidget", "IPython", "traitlets"} == set()
