"""Static rounding against training with it, in the lab without a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from front import click
from small_data import dense, lab_on_vectors

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment.bits_compared import BITS
from nnwidgets.engine.experiment.tasks import default_setup
from nnwidgets.engine.trace import fingerprint


def shown(**arguments: Any) -> Any:
    return lab_on_vectors(dense(12, 24, 3), 6, **arguments)


@pytest.fixture
def lab() -> Iterator[Any]:
    made = shown()
    yield made
    made.close()
    made.experiment.close()


def setup_of(lab: Any) -> E.TrainingSetup:
    return replace(default_setup(lab.experiment), epochs=lab.bits_epochs, lr=lab.learning_rate)


@pytest.mark.parametrize("removed", [{}, {"sparsity": 0.5}, {"structure": "neuron", "sparsity": 0.25}])
def test_the_table_is_drawn_and_nothing_changes(lab: Any, removed: dict[str, Any]) -> None:
    """The same cells as from code, with what is removed; state, history and network stay; a second run runs nothing again."""
    exp = lab.experiment
    with lab.hold_trait_notifications():
        for name, value in removed.items():
            setattr(lab, name, value)
    assert lab.wait(60)
    before, state = fingerprint(exp.model), exp.state
    assert lab.bits_view["words"] == [] and "12 trainings" in lab.bits_view["plan"] and not lab.bits_view["drawn"]
    lab.granularity, lab.learning_rate = "tensor", 0.005
    assert "rate 0.005" in lab.bits_view["plan"]
    click(lab, "bits_run")
    click(lab, "bits_run")  # a double click is one run
    assert lab.wait(120) and lab.error is None and exp.state == state and fingerprint(exp.model) == before
    grid = E.Quantization(granularity="tensor")
    wanted = E.compare_bits(exp.model, exp.train, exp.val, BITS, grid, setup_of(lab), range(2), pruning=state.recipe.pruning)
    found = {(cell.bits, cell.seed): (cell.static, cell.tuned, cell.aware) for cell in lab._bits._cells}
    assert found == {(row.bits, row.seed): (row.static, row.tuned, row.aware) for row in wanted.itertuples()}
    chart = lab._shown["charts"]["bits"]
    assert [tick["text"] for tick in chart["x"]["ticks"]] == ["8", "4", "3", "2", "1"]
    assert lab.bits_view["words"][0].startswith("Trained with rounding") and "2 paired seeds" in lab.bits_view["words"][1]
    assert lab.last_task["name"] == "bits" and "as they were" in lab.last_task["text"]
    began = time.monotonic()
    lab.compare_bits()
    assert lab.wait(60) and time.monotonic() - began < 2.0 and len(lab._bits._cells) == 10


def test_cancelled_it_goes_on_where_it_was(lab: Any) -> None:
    """Bit widths that are done are kept, also when another number of seeds is asked for."""
    lab.bits_epochs = 20
    click(lab, "bits_run")
    end = time.monotonic() + 60
    while not lab._bits._cells:
        assert time.monotonic() < end
        time.sleep(0.002)
    click(lab, "cancel")
    assert lab.wait(30) and "are kept" in lab.last_task["text"] and lab.bits_view["drawn"]
    done = list(lab._bits._cells)
    assert 1 <= len(done) < 10
    lab.bits_seeds = 1
    lab.compare_bits()
    assert lab.wait(120) and len(lab._bits._cells) == 5
    assert {cell for cell in done if cell.seed == 0} <= set(lab._bits._cells)
    assert "one seed cannot tell" in lab.bits_view["words"][1]


def test_what_is_lacking_is_said_and_controls_are_cleaned() -> None:
    """Without S_train there is no training; numbers are clamped."""
    lab = shown(train=None)
    assert "give train=" in lab.bits_view["refused"]
    lab.compare_bits()
    assert lab.wait(30) and "bits cannot be compared" in lab.error["message"]
    data = {"method": "update", "state": {"bits_seeds": 99, "bits_epochs": 0}, "buffer_paths": []}
    lab._handle_msg({"content": {"data": data}, "buffers": []})
    assert (lab.bits_seeds, lab.bits_epochs) == (10, 1)
    lab.close()
    lab.experiment.close()
