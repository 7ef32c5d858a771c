"""The search on an experiment: one step that can be undone, cancelled without a trace, never on S_test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment.searching import start_search
from nnwidgets.engine.trace import fingerprint


def sample(n: int, seed: int) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.6 * torch.randn(n, 12, generator=draw)
    images[torch.arange(n), labels] += 2.0
    return E.Split(images, labels)


def experiment(**arguments: Any) -> E.Experiment:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 3))
    for _ in E.fit(model, sample(300, 0), setup=E.TrainingSetup(lr=0.01, epochs=8, batch_size=50)):
        pass
    return E.Experiment(model.eval(), **{"train": sample(300, 0), "test": sample(200, 2), "goal": 0.08, **arguments})


@pytest.fixture
def exp() -> Iterator[E.Experiment]:
    made = experiment()
    yield made
    made.close()


def run(exp: E.Experiment, merit: str = "size", budget_s: float = 60.0) -> tuple[list[Any], list[Any], list[Any]]:
    """What was told of tasks, the points, the result."""
    told: list[Any] = []
    points: list[Any] = []
    results: list[Any] = []
    exp.subscribe(lambda event: told.append(event.task) if event.kind == "task" else None)
    exp.subscribe(lambda event: told.append(event.error) if event.kind == "error" else None)
    start_search(exp, merit, budget_s, points.append, results.append)
    assert exp.wait(120)
    return told, points, results


def test_what_is_found_is_one_step_and_what_the_engine_finds(exp: E.Experiment) -> None:
    """The recipe of `find_smallest` on the same weights and S_val."""
    before = fingerprint(exp.model)
    assert exp.val is not None
    wanted = E.find_smallest(exp.model, exp.val, exp.goal, calibration=exp.train, budget_s=60)
    told, points, (result,) = run(exp)
    assert exp.recipe == wanted.best.recipe == result.best.recipe and len(exp.history) == 2
    assert {point.recipe for point in points} == {point.recipe for point in result.path}
    assert told[-1].ended == "done" and told[-1].text == result.text
    assert exp.undo() and exp.recipe == E.Recipe() and fingerprint(exp.model) == before


def test_it_goes_on_from_trained_weights(exp: E.Experiment) -> None:
    """The weights stay those of the present state."""
    exp.fine_tune(E.TrainingSetup(lr=0.005, epochs=1))
    key = exp.state.weights_key
    run(exp)
    assert exp.state.weights_key == key is not None and exp.recipe != E.Recipe() and exp.state.attempt is not None


def test_cancelled_nothing_changes(exp: E.Experiment) -> None:
    """And the worker is free at once."""
    points: list[Any] = []
    exp.subscribe(lambda _: None)
    job = start_search(exp, "size", 60.0, points.append, lambda _: None)
    end = time.monotonic() + 30
    while not points:
        assert time.monotonic() < end
        time.sleep(0.002)
    exp.jobs.cancel("task")
    assert exp.wait(30) and job.status == "cancelled" and len(exp.history) == 1


def test_it_never_chooses_on_the_test_images() -> None:
    """Without S_val it says what to do."""
    exp = experiment(train=None)
    told, points, results = run(exp)
    assert not points and not results and exp.recipe == E.Recipe()
    assert any(isinstance(each, E.DataError) and "no S_val" in str(each) for each in told)
    exp.close()


def test_where_nothing_smaller_meets_the_goal_the_state_stays() -> None:
    """A goal that the network itself misses."""
    some = sample(200, 3)
    assert some.labels is not None
    wrong = E.Split(some.images, (some.labels + (torch.arange(200) % 10 == 0)) % 3)
    exp = experiment(val=wrong, goal=0.05)
    told, _, (result,) = run(exp)
    assert result.best is result.dense and len(exp.history) == 1 and "misses the goal" in told[-1].text
    exp.close()


def test_what_is_there_already_has_to_be_beaten(exp: E.Experiment) -> None:
    """A second search keeps what the first one found; a recipe that misses the goal is replaced."""
    run(exp)
    state = exp.state
    told, points, (result,) = run(exp)
    assert exp.state == state and len(exp.history) == 2 and result.best.family == "as given"
    assert "recipe to begin with" in told[-1].text and points[1].recipe == state.recipe
    exp.apply(E.Recipe(E.Pruning(0.99)))
    run(exp)
    assert exp.recipe == state.recipe


def test_a_recipe_that_executes_no_less_does_not_count_for_macs(exp: E.Experiment) -> None:
    """Zeros in full tensors are named as what they are."""
    exp.apply(E.Recipe(E.Pruning(0.5)))
    _, _, (result,) = run(exp, "macs")
    assert "multiplied like any other number" in result.refused["as given"]
    assert exp.recipe.pruning is not None and exp.recipe.pruning.structure == "neuron"
