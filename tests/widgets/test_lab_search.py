"""The search for the smallest network in the lab, and figures of merit, without a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from front import click, from_front
from small_data import dense, lab_on_vectors

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.trace import fingerprint


def shown(**arguments: Any) -> Any:
    return lab_on_vectors(dense(12, 24, 3), 8, **{"goal": 0.08, **arguments})


@pytest.fixture
def lab() -> Iterator[Any]:
    made = shown()
    yield made
    made.close()
    made.experiment.close()


def looked(lab: Any) -> list[str]:
    """What is told of each point of the search's path."""
    series = [each for each in lab._shown["charts"]["pareto"]["series"] if each.get("label", "").startswith("looked at")]
    return series[0]["titles"] if series else []


def test_the_smallest_is_found_shown_and_undone(lab: Any) -> None:
    """Its path is drawn; what is found is the present state, measured on S_test as any other."""
    exp = lab.experiment
    before = fingerprint(exp.model)
    click(lab, "search")
    click(lab, "search")  # a double click is one search
    assert lab.wait(120) and lab.error is None and lab.task is None
    wanted = E.find_smallest(exp.model, exp.val, exp.goal, calibration=exp.train, budget_s=60)
    assert exp.recipe == wanted.best.recipe and len(exp.history) == 2
    assert lab.last_task["name"] == "search" and "instead of" in lab.last_task["text"]
    assert len(looked(lab)) == len({point.recipe for point in wanted.path})
    assert all("of S_val" in words for words in looked(lab))
    assert lab.accuracy == E.evaluate(exp.compressed, exp.test).accuracy
    click(lab, "undo")
    assert lab.wait(60) and exp.recipe == E.Recipe() and fingerprint(exp.model) == before
    lab.merit = "energy"
    assert looked(lab) == [], "what was searched by size has no energy"
    lab.merit = "macs"
    assert looked(lab)


def test_cancelled_the_state_stays(lab: Any) -> None:
    """The path so far is kept on the screen."""
    lab.budget = 60
    click(lab, "search")
    end = time.monotonic() + 30
    while not looked(lab):
        assert time.monotonic() < end
        time.sleep(0.002)
    click(lab, "cancel")
    assert lab.wait(30) and lab.experiment.recipe == E.Recipe() and lab.last_task["text"] == "cancelled: nothing was changed"


def test_without_s_val_nothing_is_chosen() -> None:
    """And the reason is said, with what to do."""
    lab = shown(train=None)
    click(lab, "search")
    assert lab.wait(30) and "no S_val" in lab.error["message"] and lab.experiment.recipe == E.Recipe()
    lab.close()
    lab.experiment.close()


def test_budget_and_merit_are_cleaned_and_axes_follow(lab: Any) -> None:
    """What the screen sends is clamped or refused; the chart's axis is that of the merit."""
    from_front(lab, budget=10**9, merit="beauty")
    assert lab.budget == 3600 and lab.merit == "size"
    from_front(lab, budget=20, merit="macs")
    assert lab.budget == 20 and lab._shown["charts"]["pareto"]["x"]["unit"] == "MAC"
    lab.sparsity = 0.5
    assert lab.wait(60) and lab._shown["charts"]["pareto"]["x"]["unit"] == "MAC"


def test_latency_is_drawn_where_it_was_measured(lab: Any) -> None:
    """Zeros gain nothing in dense kernels; a smaller network has a time of its own; rounding has none."""
    lab.merit = "latency"
    assert "measure the latency first" in lab._shown["charts"]["pareto"]["description"]
    lab.sparsity = 0.5
    assert lab.wait(60)
    lab.measure_latency()
    assert lab.wait(60)
    times = lab._view.times
    dense, masked = times[E.State()], times[lab.experiment.state]
    assert dense == masked > 0 and "now" in lab._shown["charts"]["pareto"]["description"]
    lab.structure = "neuron"
    assert lab.wait(60)
    lab.measure_latency()
    assert lab.wait(60) and times[lab.experiment.state] not in (dense, None)
    lab.sparsity = 0.0
    lab.weight_bits = 4
    assert lab.wait(60)
    lab.measure_latency()
    assert lab.wait(60) and lab.experiment.state not in times
