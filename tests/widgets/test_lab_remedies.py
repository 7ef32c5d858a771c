"""What makes up for rounding, in the lab, without a browser."""

from __future__ import annotations

from typing import Any

import pytest
from front import click, from_front
from small_data import dense, vectors

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812


def test_switches_are_part_of_the_recipe(lab: Any) -> None:
    """They wait until weights are rounded; each is a step of its own, and its figures are those of the engine."""
    from_front(lab, rounding="adaptive")
    assert lab.wait(60) and lab.experiment.recipe == E.Recipe() and lab.rounding == "adaptive"
    from_front(lab, weight_bits=2, granularity="tensor")
    assert lab.wait(60)
    exp = lab.experiment
    assert exp.recipe == E.Recipe(None, E.Quantization(2, granularity="tensor", rounding="adaptive"))
    for flag in ("equalize", "bias_correction"):
        from_front(lab, **{flag: True, "gesture": lab.gesture + 1})
        assert lab.wait(60) and lab.error is None
    network = E.compress(exp.model, exp.recipe, exp.train)
    assert lab.accuracy == pytest.approx(E.evaluate(network, exp.test).accuracy)
    assert exp.recipe.quantization.equalize and "rounding='adaptive'" in lab.code and "equalize=True" in lab.code
    click(lab, "undo")
    assert lab.wait(60) and not lab.bias_correction and lab.equalize
    from_front(lab, method="ternary", gesture=lab.gesture + 1)
    assert lab.wait(60) and lab.error is None and lab.rounding == "nearest"


def test_training_takes_them_into_the_weights(lab: Any) -> None:
    """Afterwards the switches are off; undo brings them back."""
    from_front(lab, weight_bits=2, granularity="tensor", equalize=True, bias_correction=True, rounding="adaptive")
    assert lab.wait(60)
    asked = lab.experiment.recipe
    lab.epochs = 1
    click(lab, "fine_tune")
    assert lab.wait(60) and lab.error is None and lab.experiment.state.weights_key is not None
    assert lab.experiment.recipe == E.Recipe(None, E.Quantization(2, granularity="tensor"))
    assert (lab.equalize, lab.bias_correction, lab.rounding) == (False, False, "nearest")
    click(lab, "undo")
    assert lab.wait(60) and lab.experiment.recipe == asked and lab.equalize and lab.rounding == "adaptive"


def test_each_is_measured_and_nothing_changes(lab: Any) -> None:
    """A row for each, on S_val; the chart has all its lines from the start."""
    assert "tried with 4 bits" in lab.remedies_view["plan"] and not lab.remedies_view["drawn"]
    from_front(lab, weight_bits=2, granularity="tensor")
    assert lab.wait(60)
    before = lab.experiment.state
    click(lab, "remedies_run")
    assert lab.wait(60) and lab.error is None and lab.experiment.state == before
    rows = lab._remedies._rows
    assert [row.remedy for row in rows] == ["none", "channel", "mse", "equalize", "bias_correction", "adaptive", "together"]
    best = max(rows[1:], key=lambda row: row.gain)
    words, chart = " ".join(lab.remedies_view["words"]), lab._shown["charts"]["remedies"]
    assert best.low <= 0 or best.label in lab.remedies_view["words"][0]
    assert [tick["text"] for tick in chart["y"]["ticks"]] == [row.label for row in rows[1:]]
    assert "images of S_val" in chart["description"] and "Another state" not in words
    for row in rows:
        network = E.compress(lab.experiment.model, E.Recipe.from_json(row.recipe), lab.experiment.train)
        assert row.accuracy == pytest.approx(E.evaluate(network, lab.experiment.val).accuracy)
    from_front(lab, equalize=True, gesture=lab.gesture + 1)
    assert lab.wait(60) and "Another state" not in " ".join(lab.remedies_view["words"])
    from_front(lab, weight_bits=3, gesture=lab.gesture + 1)
    assert lab.wait(60) and lab.remedies_view["words"][-1] == "Another state is shown by now."


def test_without_images_of_s_train_it_says_what_is_missing() -> None:
    """Switches that look at images are closed; equalizing needs none."""
    bare = nw.CompressionLab(E.Experiment(dense(12, 24, 3), test=vectors(200, 2, 12, 0.6)))
    assert bare.wait(60) and "give train=" in bare.remedies_view["refused"]
    closed = {name: bool(bare.options[name][1].get("disabled")) for name in ("equalize", "bias_correction", "rounding")}
    assert closed == {"equalize": False, "bias_correction": True, "rounding": True}
    click(bare, "remedies_run")
    assert bare.wait(60) and bare.error is not None and "give train=" in repr(bare.error)
    bare.close()
    bare.experiment.close()
