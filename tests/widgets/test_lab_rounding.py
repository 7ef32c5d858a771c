"""Rounding one layer step by step in the lab, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from front import moved
from small_data import dense, lab_on_vectors

from nnwidgets import engine as E  # noqa: N812


@pytest.fixture
def lab() -> Iterator[Any]:
    model = dense(12, 24, 3)
    with torch.no_grad():
        model[0].weight[5, 2] = 4.0  # type: ignore[index,operator]  # an outlier
    made = lab_on_vectors(model)
    yield made
    made.close()
    made.experiment.close()


def test_nothing_is_worked_out_before_it_is_opened(lab: Any) -> None:
    """Then it is shown as with 8 bits, and says so, as long as nothing is rounded."""
    assert lab.rounding_view == {} and "occupancy" not in lab._shown["charts"]
    lab.sparsity = 0.3
    assert lab.wait(60) and lab.rounding_view == {}
    moved(lab, rounding_open=True)
    view = lab.rounding_view
    assert view["layer"] == "0" and "shown as with 8 bits" in view["notes"][0]
    assert [row["value"] for row in view["rows"]] == ["minmax", "percentile", "mse", "kl"]
    assert [row["now"] for row in view["rows"]] == [True, False, False, False]
    assert {"occupancy", "ranges"} <= set(lab._shown["charts"])


def test_it_follows_bits_layer_range_and_the_chosen_weight(lab: Any) -> None:
    """Figures are the engine's; the outlier is told; the steps are those of one weight."""
    lab.rounding_open, lab.weight_bits, lab.granularity = True, 4, "tensor"
    assert lab.wait(60)
    plan = lab.experiment.bench(None).plan
    report = plan.rounding(lab.experiment.recipe, "0")
    row = lab.rounding_view["rows"][0]
    assert row["sqnr"] == f"{report.sqnr_db:.1f} dB" and row["clipped"] == "0"
    assert "times the next one: without it the steps there could be that much finer" in lab.rounding_view["notes"][0]
    least = plan.rounding(E.Recipe(None, E.Quantization(4, granularity="tensor", observer="mse")), "0")
    assert lab.rounding_view["rows"][2]["sqnr"] == f"{least.sqnr_db:.1f} dB" and least.sqnr_db > report.sqnr_db + 1
    moved(lab, observer="mse", followed=1.0)
    steps = lab.rounding_view["steps"]
    assert lab.experiment.recipe.quantization.observer == "mse" and lab.rounding_view["rows"][2]["now"]
    assert steps[0] == "w = 4" and steps[-1].endswith("clipped, it lies beyond the last level") and len(steps) == 5
    marked = lab._shown["charts"]["occupancy"]["series"][0]["roles"]
    assert marked.index("alt") == 14 and marked.count("alt") == 1
    moved(lab, selected_layer="2", granularity="channel")
    assert lab.rounding_view["layer"] == "2" and ", in channel " in lab.rounding_view["steps"][0]
    lab.weight_bits = 1
    assert lab.wait(60) and "q = sign(w)" in lab.rounding_view["steps"][2]
    lab.symmetric, lab.weight_bits = False, 3
    assert lab.wait(60) and " + " in lab.rounding_view["steps"][2]
    assert "1 bit range by least squares" in repr(lab._shown["charts"]["pareto"])


def test_a_method_brings_its_bits_and_other_bits_bring_even_steps_back(lab: Any) -> None:
    """Also in the card, where one rule is told instead of four ranges; Undo shows what was."""
    moved(lab, method="ternary", rounding_open=True)
    assert (lab.weight_bits, lab.symmetric) == (2, True)
    assert lab.experiment.recipe.quantization == E.Quantization(2, method="ternary")
    assert [row["label"] for row in lab.rounding_view["rows"]] == ["ternary"] and lab.rounding_view["rows"][0]["now"]
    assert lab.rounding_view["steps"][1].startswith("s = mean of |w| above D")
    moved(lab, method="binary")
    assert lab.weight_bits == 1 and lab.rounding_view["rows"][0]["label"] == "binary"
    moved(lab, weight_bits=5)
    assert lab.method == "affine" and lab.experiment.recipe.quantization == E.Quantization(5)
    lab.method = "ternary"
    assert lab.wait(60)
    lab.symmetric = False
    assert lab.wait(60) and (lab.method, lab.weight_bits) == ("affine", 2) and len(lab.rounding_view["rows"]) == 4
    lab.experiment.undo()
    assert lab.wait(60) and lab.method == "ternary" and lab.symmetric is True
    lab.experiment.reset()
    assert lab.wait(60) and (lab.method, lab.weight_bits) == ("affine", 32)


def test_what_the_screen_sends_is_cleaned(lab: Any) -> None:
    """Out of range is clamped, no number is refused."""
    moved(lab, followed=7, rounding_open=True)
    assert lab.followed == 1.0 and lab.rounding_view["steps"]
    moved(lab, followed=float("nan"))
    assert lab.followed == 1.0
    moved(lab, percentile=20, observer="percentile", weight_bits=4)
    assert lab.percentile == 50.1 and lab.experiment.recipe.quantization.percentile == 50.1


def test_the_range_is_drawn_in_by_hand(lab: Any) -> None:
    """The slider is the recipe's; the card has a row for it as long as it is chosen; Undo brings the whole range back."""
    moved(lab, rounding_open=True, weight_bits=3, granularity="tensor", gesture=1)
    whole = lab.rounding_view["rows"][0]
    moved(lab, observer="hand", gesture=2)
    moved(lab, range_share=0.25, gesture=3)
    settings = lab.experiment.recipe.quantization
    assert (settings.observer, settings.range_share) == ("hand", 0.25)
    rows = lab.rounding_view["rows"]
    assert [row["value"] for row in rows][-1] == "hand" and rows[-1]["now"] and rows[-1]["clipped"] != "0"
    assert rows[0] == {**whole, "now": False}
    assert lab.accuracy == E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy
    assert "25 % of the range" in repr(lab._shown["charts"]["pareto"])
    lab.experiment.undo()
    lab.experiment.undo()
    assert lab.wait(60) and lab.observer == "minmax" and len(lab.rounding_view["rows"]) == 4
