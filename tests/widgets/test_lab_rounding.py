"""Rounding one layer step by step in the lab, without a browser."""

from __future__ import annotations

import math
import re
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
    ends = lab._shown["charts"]["observers"]
    lines = [each for each in ends["series"] if each["type"] == "line"]
    words = [each["text"] for each in ends["series"] if each["type"] == "text"]
    assert words == ["min-max", "percentile", "least squares", "KL divergence"] and [each["dash"] for each in lines] == [
        1,
        1,
        0,
        1,
    ]
    assert lines[0]["x"][-1] == pytest.approx(report.levels_end()[1]) and lines[2]["x"][-1] == pytest.approx(
        least.levels_end()[1]
    )
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


def test_a_weight_that_is_not_rounded_to_the_nearest_level_is_told_so(lab: Any) -> None:
    """The line with its code is right for each of many weights, whichever way they went."""
    moved(lab, rounding_open=True, weight_bits=2, granularity="tensor", rounding="adaptive", selected_layer="2")
    assert lab.rounding_view["notes"][0].startswith("The weights are rounded together now")
    ways = set()
    for share in range(0, 100, 7):
        moved(lab, followed=share / 100)
        step = next(each for each in lab.rounding_view["steps"] if each.startswith("q = "))
        said = re.fullmatch(
            r"q = clamp\((round|floor|ceil)\((.*?)\), (.*?), (.*?)\) = (.*?)(, chosen together with the others)?", step
        )
        assert said is not None, step
        way, *figures = said.groups()[:5]
        ratio, low, high, code = (float(each.replace("−", "-")) for each in figures)
        whole = {"round": round, "floor": math.floor, "ceil": math.ceil}[way](ratio)
        assert min(max(whole, low), high) == code and (way == "round") == (said[6] is None)
        ways.add(way)
    assert "round" in ways and len(ways) > 1


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


def test_a_codebook_is_told_as_values_and_a_weight_is_looked_up(lab: Any) -> None:
    """Its values stand where they are, with what each has; what it does not have is said; it goes with all bits but no shifts."""
    moved(lab, power_of_two=True, weight_bits=4, rounding_open=True, sparsity=0.5)
    moved(lab, method="codebook")
    recipe = E.Recipe(E.Pruning(0.5), E.Quantization(4, method="codebook"))
    assert lab.experiment.recipe == recipe and lab.power_of_two is False and lab.error is None
    report = lab.experiment.bench(None).plan.rounding(recipe, "0")
    values, view = report.quantized.codebook, lab.rounding_view
    (row,) = view["rows"]
    assert (row["label"], row["step"], row["clipped"], row["now"]) == ("codebook", "none", "none", True)
    assert row["sqnr"] == f"{report.sqnr_db:.1f} dB"
    (note,) = view["notes"]
    assert note.startswith("One list of 16 values for the layer, one of them zero for what is removed: no step, no zero point")
    one = report.follow(lab.followed)
    assert [step.split(" = ")[0] for step in view["steps"]] == ["w", "q", "w′", "error w′ − w"]
    assert "argmin |w − c[k]| over what is not zero" in view["steps"][1] and view["steps"][1].endswith(f" = {one.code}")
    assert view["steps"][2].endswith(f"shared by {int(report.counts[one.code])} weights")
    bars, marks = lab._shown["charts"]["occupancy"]["series"]
    used = [code for code in range(16) if report.counts[code]]
    assert marks["at"] == report.quantized.levels().tolist() and len(bars["x0"]) == len(used)
    assert all(left <= values[code] <= right for code, left, right in zip(used, bars["x0"], bars["x1"], strict=True))
    assert bars["y1"] == [int(report.counts[code]) / report.n for code in used] and bars["roles"].index("alt") == used.index(
        one.code
    )
    histogram = lab._shown["charts"]["histogram"]
    assert f"{len(marks['at'])} values of a codebook" in repr(histogram) and marks["at"] == histogram["series"][-1]["at"]
    assert "4 bit codebook" in repr(lab._shown["charts"]["pareto"])
    assert "E.Quantization(weight_bits=4, method='codebook')" in lab.code
    for bits in range(1, 9):
        moved(lab, weight_bits=bits)
        assert lab.experiment.recipe == E.Recipe(E.Pruning(0.5), E.Quantization(bits, method="codebook"))
        assert lab.accuracy == E.evaluate(lab.experiment.compressed, lab.experiment.test).accuracy
    lab.power_of_two = True
    assert lab.wait(60) and lab.method == "affine" and lab.experiment.recipe.quantization == E.Quantization(8, power_of_two=True)
    lab.experiment.undo()
    assert lab.wait(60) and (lab.method, lab.power_of_two) == ("codebook", False)


def test_a_codebook_of_what_is_not_rounded_yet(lab: Any) -> None:
    """Choosing it brings 5 bits; at 32 the card shows it as with 8."""
    moved(lab, method="codebook", rounding_open=True)
    assert lab.weight_bits == 5 and "none" in lab.rounding_view["rows"][0]["step"]
    assert lab.rounding_view["notes"][0].startswith("One list of 32 values for the layer: no step")
    moved(lab, weight_bits=32)
    assert lab.experiment.recipe == E.Recipe() and lab.method == "codebook"
    assert "shown as with 8 bits" in lab.rounding_view["notes"][0] and "256 values" in lab.rounding_view["notes"][1]


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
