"""Pruning and training in rounds in the lab, without a browser: drawn before, followed, a round at a time, undone, refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from front import click
from small_data import vectors
from torch import nn

import nnwidgets as nw
from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.trace import fingerprint
from nnwidgets.figures.schedule_chart import Round, schedule_chart


def experiment(**arguments: Any) -> E.Experiment:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    return E.Experiment(model, **{"train": vectors(160, 0), "test": vectors(90, 1), **arguments})


@pytest.fixture
def lab() -> Iterator[Any]:
    made = nw.CompressionLab(experiment())
    assert made.wait(60)
    yield made
    made.close()
    made.experiment.close()


def drawn(lab: Any) -> dict[str, Any]:
    chart: dict[str, Any] = lab._shown["charts"]["schedule"]
    return chart


def points(lab: Any) -> list[tuple[bool, int]]:
    """(after training?, how many) of the circles that are drawn."""
    series = [each for each in drawn(lab)["series"] if each["type"] == "points"]
    return [(each.get("filled", True), len(each["x"])) for each in series]


def disabled(lab: Any) -> dict[str, str]:
    return {each["value"]: each.get("disabled", "") for each in lab.options["regrowth"]}


def test_it_is_drawn_before_it_runs(lab: Any) -> None:
    """The stairs are those of the engine; nothing is drawn where nothing is removed, and the reason is said."""
    assert "nothing is to be removed yet" in lab.schedule_plan["refused"] and "schedule" not in lab._shown["charts"]
    lab.sparsity, lab.rounds, lab.epochs = 0.8, 4, 3
    assert lab.wait(60)
    assert lab.schedule_plan == {
        "text": "4 rounds, 3 epochs each: 33, 55, 70, 80 % removed",
        "refused": "",
        "can_step": True,
        "begins": "begins with the weights as trained",
    }
    stairs = drawn(lab)["series"][0]
    wanted = E.Schedule("iterative", 4, 3).curve(0.8, 4 * 3 * 5)  # 133 images, 32 in a step: 5 steps an epoch
    assert list(dict.fromkeys(stairs["y"]))[1:] == pytest.approx([share for _, share in wanted[:-1]])
    assert drawn(lab)["x"]["domain"] == [0, 12] and points(lab) == []
    lab.schedule = "cubic"
    assert lab.wait(60) and not lab.schedule_plan["can_step"] and len(drawn(lab)["series"][0]["x"]) > 12
    lab.schedule = "one_shot"
    assert lab.wait(60) and lab.schedule_plan["text"] == "once, 3 epochs: 80 % removed"


def test_regrowth_goes_with_schedule_and_structure(lab: Any) -> None:
    """What does not go together is offered with the reason, and taken off when it no longer goes."""
    assert "three phases" in disabled(lab)["dense_sparse_dense"] and not disabled(lab)["rigl"]
    lab.regrowth = "rigl"
    lab.schedule = "cubic"
    assert lab.regrowth == "none" and "fixed number" in disabled(lab)["rigl"]
    lab.schedule = "one_shot"
    assert not any(disabled(lab).values())
    lab.regrowth = "set"
    lab.sparsity, lab.structure = 0.5, "neuron"
    assert lab.wait(60) and lab.regrowth == "none" and disabled(lab)["set"] == "it is for single weights"
    lab.regrowth = "dense_sparse_dense"
    assert lab.wait(60) and lab.schedule_plan["text"].startswith("3 rounds") and lab.schedule_plan["can_step"]


def test_all_rounds_are_run_drawn_and_undone_one_by_one(lab: Any) -> None:
    """As the engine's own, each a step of the history; the model as it was."""
    exp = lab.experiment
    before = fingerprint(exp.model)
    lab.sparsity, lab.rounds, lab.epochs, lab.learning_rate = 0.8, 3, 1, 0.01
    assert lab.wait(60)
    start = exp.position
    click(lab, "prune_run")
    click(lab, "prune_run")  # a double click is one run
    assert lab.wait(60) and lab.task is None and lab.error is None
    assert exp.position == start + 3 and lab.last_task["text"].startswith("3 rounds in ")
    assert lab.sparsity == 0.8 and points(lab) == [(False, 3), (True, 3)]
    attempt = exp.state.attempt
    twin = experiment()
    twin.apply(E.Recipe(E.Pruning(0.8)))
    records = twin.prune(attempt.schedule, attempt.setup)
    assert exp.state.weights_key == twin.state.weights_key
    filled = next(each for each in drawn(lab)["series"] if each["type"] == "points" and each.get("filled", True))
    assert filled["y"] == [record.accuracy for record in records]
    click(lab, "undo")
    assert lab.wait(60) and lab.sparsity == pytest.approx(1 - 0.2 ** (2 / 3)) and points(lab) == [(False, 2), (True, 2)]
    assert lab.schedule_plan["begins"] == "goes on after round 2 of 3"
    click(lab, "prune_step")
    assert lab.wait(60) and exp.state.weights_key == twin.state.weights_key and points(lab) == [(False, 3), (True, 3)]
    assert "exp.prune(E.Schedule(kind='iterative', rounds=3)" in lab.code
    assert fingerprint(exp.model) == before
    twin.close()


def test_a_round_at_a_time(lab: Any) -> None:
    """One round moves the slider to its share; the next goes on from there."""
    lab.sparsity, lab.rounds, lab.epochs = 0.8, 3, 1
    assert lab.wait(60)
    click(lab, "prune_step")
    assert lab.wait(60) and lab.sparsity == pytest.approx(1 - 0.2 ** (1 / 3)) and lab.last_task["text"].startswith("round 1 of 3")
    assert points(lab) == [(False, 1), (True, 1)] and lab.schedule_plan["begins"] == "goes on after round 1 of 3"
    assert drawn(lab)["description"].startswith("80 % removed after 3 epochs"), "the aim stays"
    click(lab, "prune_run")
    assert lab.wait(60) and lab.sparsity == 0.8 and lab.last_task["text"].startswith("2 rounds")


def test_cancelled_what_is_done_stays(lab: Any) -> None:
    """And the lab says how many rounds that are."""
    lab.sparsity, lab.rounds, lab.epochs = 0.8, 3, 50
    assert lab.wait(60)
    click(lab, "prune_run")
    end = time.monotonic() + 60
    while lab.experiment.state.attempt is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    click(lab, "cancel")
    assert lab.wait(60) and lab.last_task == {"text": "cancelled: 1 round kept", "role": "muted"}
    assert lab.experiment.state.attempt.round == 1 and points(lab) == [(False, 1), (True, 1)]


def test_what_cannot_be_run_is_said_and_changes_nothing(lab: Any) -> None:
    """Nothing removed, shares by sensitivity, no training data, a pattern in rounds."""
    click(lab, "prune_run")
    assert lab.wait(60) and "nothing is to be removed" in lab.error["message"]
    click(lab, "dismiss")
    history = lab.experiment.history
    lab.sparsity = 0.5
    lab.allocation = "sensitivity"
    assert lab.wait(60) and "other weights" in lab.schedule_plan["refused"] and len(lab.experiment.history) > len(history)
    blind = nw.CompressionLab(experiment(train=None))
    blind.sparsity = 0.5
    assert blind.wait(60) and "needs training data" in blind.schedule_plan["refused"]
    blind.close()
    blind.experiment.close()


def test_a_failure_is_told_and_can_be_retried() -> None:
    """What the loss raises; Retry runs it again."""
    broken = [True]

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if broken[0]:
            raise RuntimeError("the loss is broken")
        return nn.functional.cross_entropy(logits, labels)

    lab = nw.CompressionLab(experiment(loss=loss))
    lab.sparsity, lab.rounds, lab.epochs = 0.8, 2, 1
    assert lab.wait(60)
    before = lab.experiment.state
    click(lab, "prune_step")
    assert (
        lab.wait(60) and "the loss is broken" in lab.error["message"] and lab.last_task["text"] == "failed: nothing was changed"
    )
    assert lab.experiment.state == before
    broken[0] = False
    click(lab, "retry")
    assert lab.wait(60) and lab.error is None and lab.experiment.state.attempt.round == 1
    lab.close()
    lab.experiment.close()


def test_the_chart_says_what_it_draws() -> None:
    """Staircase from zero; circles at the beginning and the end of each round; nothing where nothing was measured."""
    chart = schedule_chart([(0, 0.5), (2, 0.75), (4, 0.75)], [Round(2, 0.6, 0.9), Round(4, None, 0.8)], 2, now=3, goal=0.97)
    stairs = chart.series[0]
    assert list(zip(stairs.x, stairs.y, strict=True)) == [  # type: ignore[union-attr]
        (0, 0),
        (0, 0),
        (0, 0.5),
        (2, 0.5),
        (2, 0.75),
        (4, 0.75),
        (4, 0.75),
    ]
    hollow, filled = (each for each in chart.series if each.type == "points")
    assert (list(hollow.x), list(hollow.y)) == ([0], [0.6]) and (list(filled.x), list(filled.y)) == ([2, 4], [0.9, 0.8])  # type: ignore[union-attr]
    assert chart.description == "75 % removed after 4 epochs; 80.0 % right on S_val after round 2"
