"""Bits of each layer in the lab: by hand in the table, and by what each layer bears."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from front import click, moved
from small_data import dense, lab_on_vectors

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.trace import fingerprint


def shown(**arguments: Any) -> Any:
    return lab_on_vectors(dense(12, 24, 12, 3), 6, **arguments)


@pytest.fixture
def lab() -> Iterator[Any]:
    made = shown()
    yield made
    made.close()
    made.experiment.close()


def clicked(lab: Any, name: str) -> None:
    click(lab, name)
    assert lab.wait(60)


def test_bits_by_hand(lab: Any) -> None:
    """The recipe, the rows and the figures follow; another control keeps them; the slider brings the same bits for all back."""
    exp = lab.experiment
    moved(lab, weight_bits={"0": 3, "2": 8, "4": 32})
    assert exp.recipe == E.Recipe(None, E.Quantization({"0": 3, "2": 8, "4": 32}))
    assert [row["bits"] for row in lab.layer_rows] == [3, 8, 32]
    assert lab.accuracy == E.evaluate(exp.compressed, exp.test).accuracy
    moved(lab, granularity="tensor")
    assert exp.recipe.quantization == E.Quantization({"0": 3, "2": 8, "4": 32}, granularity="tensor")
    lab.sparsity = 0.5
    assert lab.wait(60) and exp.recipe.quantization.bits_of("0") == 3 and "bits by layer" in repr(lab._shown["charts"]["pareto"])
    moved(lab, weight_bits=4)
    assert exp.recipe.quantization == E.Quantization(4, granularity="tensor") and {row["bits"] for row in lab.layer_rows} == {4}
    moved(lab, weight_bits={"0": 32, "2": 32, "4": 32})
    assert exp.recipe.quantization is None


def test_a_recipe_from_code_is_shown_and_kept(lab: Any) -> None:
    """A move of another control does not lose the bits of the layers."""
    bits = {"0": 2, "2": 4, "4": 8}
    lab.experiment.apply(E.Recipe(None, E.Quantization(bits)))
    assert lab.wait(60) and lab.weight_bits == bits
    lab.sparsity = 0.25
    assert lab.wait(60) and lab.experiment.recipe == E.Recipe(E.Pruning(0.25), E.Quantization(bits))
    clicked(lab, "undo")
    clicked(lab, "undo")
    assert lab.weight_bits == 32


@pytest.mark.parametrize(
    "bad", [{"0": 9}, {"0": "4"}, {"0": True}, {"0": 2.5}, {"0": float("nan")}, ["4"], "4", {"0": None}, {}, {"\ud800": 4}]
)
def test_what_is_no_bits_is_refused(lab: Any, bad: Any) -> None:
    """And what was there stays; names that the network does not have are an error that changes nothing."""
    moved(lab, weight_bits={"0": 4})
    moved(lab, weight_bits=bad)
    assert lab.weight_bits == {"0": 4} and lab.experiment.recipe == E.Recipe(None, E.Quantization({"0": 4}))
    moved(lab, weight_bits={"conv9": 4})
    assert "conv9" in lab.error["message"] and lab.experiment.recipe == E.Recipe(None, E.Quantization({"0": 4}))


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_bits_by_what_each_layer_bears(lab: Any, sparsity: float) -> None:
    """As from code, with the settings and the pruning of the lab; a step that Undo takes back."""
    exp = lab.experiment
    before = fingerprint(exp.model)
    with lab.hold_trait_notifications():
        lab.weight_bits, lab.granularity, lab.sparsity = 3, "tensor", sparsity
    assert lab.wait(60)
    recipe, settings = exp.recipe, E.Quantization(3, granularity="tensor")
    clicked(lab, "spread_bits")
    assert lab.error is None and "at most 3 bits a weight on average" in lab.last_task["text"]
    network = E.bake(E.compress(exp.model, E.Recipe(recipe.pruning)))
    scan = E.sensitivity_scan(network, exp.val, (8, 6, 5, 4, 3, 2, 1), "quantization", settings=settings)
    wanted = E.spread_bits(network, scan, 3)
    assert exp.recipe == E.Recipe(recipe.pruning, replace(settings, weight_bits=wanted)) and lab.weight_bits == wanted
    sizes = {"0": 288, "2": 288, "4": 36}
    assert sum(sizes[name] * bits for name, bits in wanted.items()) <= 3 * sum(sizes.values())
    assert lab.accuracy == E.evaluate(exp.compressed, exp.test).accuracy and fingerprint(exp.model) == before
    clicked(lab, "undo")
    assert exp.recipe == recipe and lab.weight_bits == 3


def test_what_cannot_be_spread_is_said(lab: Any) -> None:
    """Without bits for all, and without S_val."""
    clicked(lab, "spread_bits")
    assert "need bits for all first" in lab.error["message"]
    lab.method = "ternary"
    assert lab.wait(60)
    clicked(lab, "spread_bits")
    assert "ternary weights have their own bits" in lab.error["message"] and lab.weight_bits == 2
    other = shown(train=None)
    other.weight_bits = 4
    assert other.wait(60)
    other.spread_bits()
    assert other.wait(60) and "no S_val" in other.error["message"] and other.weight_bits == 4
    other.close()
    other.experiment.close()
