"""Inputs of layers on few bits in the lab, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from front import moved
from small_data import dense, lab_on_vectors, vectors
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.errors import DataError


@pytest.fixture
def lab() -> Iterator[Any]:
    made = lab_on_vectors(dense(12, 24, 3), epochs=20)
    yield made
    made.close()
    made.experiment.close()


def test_figures_are_the_engines_and_undo_is_the_original(lab: Any) -> None:
    """Every control of it reaches the recipe; accuracy is that of the compressed copy."""
    exp, dense_accuracy = lab.experiment, lab.accuracy
    moved(lab, activation_bits=3, gesture=1)
    assert exp.recipe == E.Recipe(None, E.Quantization(activation_bits=3))
    moved(lab, activation_observer="percentile", percentile=90.0, calibration_images=50, activation_symmetric=True, gesture=2)
    wanted = E.Quantization(
        activation_bits=3, activation_observer="percentile", percentile=90.0, calibration_images=50, activation_symmetric=True
    )
    assert exp.recipe == E.Recipe(None, wanted)
    by_hand = E.compress(exp.model, exp.recipe, exp.train)
    assert lab.accuracy == E.evaluate(by_hand, exp.test).accuracy == E.evaluate(exp.compressed, exp.test).accuracy
    assert lab.accuracy != dense_accuracy
    assert "activations 3 bit range by percentile" in repr(lab._shown["charts"]["pareto"])
    assert "activation_bits=3" in lab.code
    moved(lab, weight_bits=4, sparsity=0.3, gesture=3)
    assert exp.recipe.quantization.weight_bits == 4 and exp.recipe.quantization.activation_bits == 3
    by_hand = E.compress(exp.model, exp.recipe, exp.train)
    assert lab.accuracy == E.evaluate(by_hand, exp.test).accuracy
    while exp.position:
        exp.undo()
    assert lab.wait(60)
    assert lab.accuracy == dense_accuracy and lab.activation_bits == 32 and lab.weight_bits == 32


def test_both_in_eight_bits_takes_integer_energy(lab: Any) -> None:
    """The estimate counts a multiplication as 8-bit where both factors are."""
    lab.merit = "energy"
    moved(lab, weight_bits=8)
    weights_only = lab.experiment.live.visits[-1].energy_uj
    moved(lab, activation_bits=8)
    cost = lab.experiment.live.cost
    both = E.energy(cost, 8, 8)
    assert both.bits == 8 and lab.experiment.live.visits[-1].energy_uj == pytest.approx(both.total_nonzero_uj)
    assert both.total_nonzero_uj < weights_only == pytest.approx(E.energy(cost, 8, 32).total_nonzero_uj)


def test_the_inputs_of_a_layer_step_by_step(lab: Any) -> None:
    """Ranges, shares and steps are those of what was seen; each observer has its row; nothing is rounded before it is asked."""
    moved(lab, rounding_open=True, rounding_of="inputs")
    view = lab.rounding_view
    assert view["layer"] == "0" and "shown as with 8 bits" in view["notes"][0] and "250 images of S_train" in view["notes"][1]
    assert [row["now"] for row in view["rows"]] == [True, False, False, False]
    moved(lab, activation_bits=4, activation_observer="mse", selected_layer="2", followed=1.0)
    exp = lab.experiment
    seen = exp.bench(None).plan.calibration(exp.recipe).inputs["2"]
    report = seen.report(exp.recipe.quantization)
    row = lab.rounding_view["rows"][2]
    assert row["now"] and row["value"] == "mse" and row["sqnr"] == f"{report.sqnr_db:.1f} dB"
    steps = lab.rounding_view["steps"]
    assert steps[0] == f"x = {seen.high:.3g}" and steps[-1].startswith("error x")
    chart = lab._shown["charts"]["ranges"]
    assert "what goes into each layer" in chart["title"] and chart["series"][1]["high"] == [pytest.approx(seen.high)]
    moved(lab, rounding_of="weights")
    assert "channels of 2" in lab._shown["charts"]["ranges"]["title"]


class Functional(nn.Module):
    """Its first weight is used by other code than the layer's own call."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(torch.relu(nn.functional.linear(x, self.first.weight)))
        return found


def test_what_cannot_be_rounded_is_said() -> None:
    """In the card of that layer, and in those of the others."""
    lab = lab_on_vectors(Functional())
    moved(lab, rounding_open=True, rounding_of="inputs", activation_bits=4)
    assert lab.rounding_view["rows"] == [] and "'first' cannot be rounded" in lab.rounding_view["notes"][0]
    moved(lab, selected_layer="last")
    assert len(lab.rounding_view["rows"]) == 4 and "Not rounded" in lab.rounding_view["notes"][-1]
    assert lab.error is None
    lab.close()
    lab.experiment.close()


def test_without_images_there_is_no_slider_and_a_clear_error() -> None:
    """S_test chooses nothing: a recipe from code is refused, and all stays as it was."""
    exp = E.Experiment(dense(12, 24, 3), test=vectors(200, 2, 12, 0.6))
    lab = nw.CompressionLab(exp)
    assert lab.wait(60)
    assert [each["value"] for each in lab.options["activation_bits"]] == [32]
    with pytest.raises(DataError, match="train="):
        exp.apply(E.Recipe(None, E.Quantization(activation_bits=8)))
    assert exp.recipe == E.Recipe() and lab.wait(60)
    moved(lab, rounding_open=True, rounding_of="inputs")
    assert lab.rounding_view["rows"] == [] and "needs images" in lab.rounding_view["notes"][0]
    moved(lab, activation_bits=8)
    assert lab.error is not None and "needs images" in repr(lab.error) and exp.recipe == E.Recipe()
    moved(lab, activation_bits=32, sparsity=0.5)
    assert exp.recipe.pruning.amount == 0.5 and lab.error is None
    lab.close()
    exp.close()


def test_training_with_rounded_inputs_keeps_them(lab: Any) -> None:
    """Fine-tuning sees them rounded, and what it leads to is measured rounded; Undo brings back what was."""
    exp = lab.experiment
    moved(lab, activation_bits=2, weight_bits=3)
    before = lab.accuracy
    exp.fine_tune(E.TrainingSetup(epochs=5, lr=0.01))
    assert lab.wait(60)
    assert exp.state.weights_key is not None and exp.recipe.quantization.activation_bits == 2
    assert lab.accuracy == E.evaluate(exp.compressed, exp.test).accuracy
    assert lab.accuracy >= before - 0.02
    exp.undo()
    assert lab.wait(60) and lab.accuracy == before
