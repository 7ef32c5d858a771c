"""Steps of the lab that train nothing: batch-norm measured again, and new random weights to prune at the start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from front import click
from small_data import dense, lab_on_vectors, vectors
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.trace import fingerprint


def shown(model: nn.Module | None = None, **arguments: Any) -> Any:
    """With batch-norm, if no other network is given."""
    if model is None:
        model = dense(12, 24, 3)
        model.insert(1, nn.BatchNorm1d(24))
    return lab_on_vectors(model, 4, **{"goal": 0.08, **arguments})


@pytest.fixture
def lab() -> Iterator[Any]:
    made = shown()
    yield made
    made.close()
    made.experiment.close()


def test_it_is_a_step_that_can_be_undone(lab: Any) -> None:
    """The network as given is untouched; accuracy, chart, code and text are those of the new statistics."""
    exp = lab.experiment
    before = fingerprint(exp.model)
    assert lab.about["batch_norm"] is True
    with lab.hold_trait_notifications():
        lab.structure, lab.sparsity = "neuron", 0.5
    assert lab.wait(60)
    recipe = exp.recipe
    click(lab, "recalibrate")
    click(lab, "recalibrate")  # a double click is one
    assert lab.wait(60) and lab.error is None and lab.task is None
    wanted = E.recalibrate_batch_norm(E.compress(exp.model, recipe), exp.train)
    assert E.fingerprint(E.bake(exp.compressed)) == E.fingerprint(E.bake(wanted)) and exp.recipe == recipe
    assert lab.accuracy == E.evaluate(exp.compressed, exp.test).accuracy
    assert lab.last_task["text"].startswith("batch-norm measured again on 250 images") and "Undo" in lab.last_task["text"]
    series = lab._shown["charts"]["pareto"]["series"]
    assert any(each.get("label") == "units removed, batch-norm measured again" for each in series)
    assert "exp.recalibrate(250)" in lab.code
    again = E.Experiment.from_json(exp.to_json(), exp.model, train=exp.train, val=exp.val, test=exp.test)
    assert again.history[-1] == exp.state
    names = {"model": exp.model, "train": vectors(300, 0, 12, 0.6), "test": exp.test}
    exec(lab.code, names)  # it is what the lab tells its user to run
    assert names["exp"].state.weights_key == exp.state.weights_key  # type: ignore[attr-defined]
    click(lab, "undo")
    assert lab.wait(60) and exp.state.weights_key is None and exp.recipe == recipe and fingerprint(exp.model) == before


def test_what_cannot_be_measured_is_said() -> None:
    """Without images besides S_test, and without batch-norm; nothing is changed."""
    plain = dense(12, 24, 3)
    for model, given, words in ((None, {"train": None}, "not of S_test"), (plain, {}, "no batch-norm layer")):
        lab = shown(model, **given)
        assert lab.about["batch_norm"] is (model is None)
        lab.recalibrate()
        assert lab.wait(60) and words in lab.error["message"] and len(lab.experiment.history) == 1
        lab.close()
        lab.experiment.close()


def test_untrained_weights_are_a_step(lab: Any) -> None:
    """SNIP on them, the setup of a training from the start, code that leads there, and Undo."""
    exp = lab.experiment
    with lab.hold_trait_notifications():
        lab.criterion, lab.sparsity = "snip", 0.5
    assert lab.wait(60)
    recipe = exp.recipe
    click(lab, "start_untrained")
    assert lab.wait(60) and lab.error is None and exp.recipe == recipe
    assert (lab.epochs, lab.learning_rate) == (10, 1e-3)
    assert "new random weights, seed 0" in lab.last_task["text"] and "exp.start_untrained(0)" in lab.code
    assert lab.accuracy == E.evaluate(exp.compressed, exp.test).accuracy < 0.8
    series = lab._shown["charts"]["pareto"]["series"]
    assert any(each.get("label") == "weights removed, not trained" for each in series)
    names = {"model": exp.model, "train": vectors(300, 0, 12, 0.6), "test": exp.test}
    exec(lab.code, names)  # it is what the lab tells its user to run
    assert names["exp"].state == exp.state.__class__(recipe, exp.state.weights_key, names["exp"].state.attempt)  # type: ignore[attr-defined]
    untrained, lab.epochs, lab.learning_rate = lab.accuracy, 40, 0.01
    click(lab, "fine_tune")
    assert lab.wait(60) and lab.accuracy > untrained + 0.2
    click(lab, "undo")
    click(lab, "undo")
    assert lab.wait(60) and exp.state.weights_key is None
