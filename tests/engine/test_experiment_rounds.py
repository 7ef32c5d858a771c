"""The standard algorithm on an experiment: each round is a state, undone and gone on with; cancelled, what is done stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment.rounds import schedule_for, start_rounds
from nnwidgets.engine.experiment.state import Attempt

SETUP = E.TrainingSetup(lr=0.01, batch_size=32, seed=3)
THREE = E.Schedule("iterative", 3)


def sample(n: int, seed: int) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.5 * torch.randn(n, 6, generator=draw)
    images[torch.arange(n), labels] += 2.0
    return E.Split(images, labels)


def made(**arguments: Any) -> E.Experiment:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    return E.Experiment(model, **{"train": sample(160, 0), "test": sample(90, 1), **arguments})


@pytest.fixture
def exp() -> Iterator[E.Experiment]:
    found = made()
    yield found
    found.close()


def test_rounds_are_those_of_prune_and_tune_and_become_states(exp: E.Experiment) -> None:
    """Weights, recipe and attempt of each round; the model as it was."""
    before = {name: value.clone() for name, value in exp.model.state_dict().items()}
    aim = E.Recipe(E.Pruning(0.8))
    exp.apply(aim)
    wanted = list(E.prune_and_tune(exp.model, exp.train, aim, THREE, SETUP, exp.val))
    found = exp.prune(THREE, SETUP)
    assert [record.accuracy for record in found] == [record.accuracy for record in wanted] and len(found) == 3
    states = exp.history[-3:]
    for number, (state, record) in enumerate(zip(states, wanted, strict=True), 1):
        assert state.recipe == record.recipe and state.weights_key is not None and state.attempt is not None
        weights = exp.weights.get(state.weights_key)
        assert all(torch.equal(weights[name], value) for name, value in record.state.items())
        assert (state.attempt.kind, state.attempt.round, state.attempt.recipe) == ("prune", number, aim)
        assert Attempt.from_data(state.attempt.to_data()) == state.attempt
    assert all(torch.equal(value, before[name]) for name, value in exp.model.state_dict().items())
    assert exp.recipe.pruning is not None and exp.recipe.pruning.amount == 0.8


def test_a_round_is_undone_and_gone_on_with(exp: E.Experiment) -> None:
    """One round at a time, one taken back and done again: the weights of an uninterrupted run."""
    exp.apply(E.Recipe(E.Pruning(0.8)))
    start = exp.state
    exp.prune(THREE, SETUP)
    whole = [state.weights_key for state in exp.history[-3:]]
    while exp.state != start:
        assert exp.undo()
    assert [len(exp.prune(THREE, SETUP, rounds=1)) for _ in range(2)] == [1, 1]
    assert [state.weights_key for state in exp.history[-2:]] == whole[:2]
    exp.undo()
    assert [record.round for record in exp.prune(THREE, SETUP)] == [2, 3]
    assert [state.weights_key for state in exp.history[-3:]] == whole
    assert [record.round for record in exp.prune(THREE, SETUP, rounds=1)] == [1]  # after the last round another run begins


def test_another_recipe_or_setup_begins_anew(exp: E.Experiment) -> None:
    """What is gone on with is the same schedule with the same setup on the recipe that the round left."""
    exp.apply(E.Recipe(E.Pruning(0.8)))
    exp.prune(THREE, SETUP, rounds=1)
    assert exp.prune(THREE, replace(SETUP, lr=0.02), rounds=1)[0].round == 1
    exp.apply(E.Recipe(E.Pruning(0.9)))
    assert exp.prune(THREE, replace(SETUP, lr=0.02), rounds=1)[0].round == 1


def test_code_reproduces_it(exp: E.Experiment) -> None:
    """What the lab offers to copy, run on a new experiment, ends at the same weights."""
    from nnwidgets.widgets._code import steps_code

    exp.apply(E.Recipe(E.Pruning(0.8)))
    exp.prune(THREE, SETUP, rounds=2)
    again = made()
    exec("\n".join(steps_code(exp, exp.state)), {"exp": again, "E": E})
    assert again.state.weights_key == exp.state.weights_key and again.recipe == exp.recipe
    again.close()


def test_refused_before_anything_changes(exp: E.Experiment) -> None:
    """Each with what to do."""
    with pytest.raises(E.RecipeError, match="nothing is to be removed"):
        exp.prune(THREE, SETUP)
    exp.apply(E.Recipe(E.Pruning(0.8, structure="neuron")))
    history = exp.history
    with pytest.raises(E.UnsupportedError, match="single weights"):
        exp.prune(E.Schedule(regrowth="set"), SETUP)
    with pytest.raises(E.InputError, match="rounds: got 0"):
        exp.prune(THREE, SETUP, rounds=0)
    with pytest.raises(E.RecipeError, match="every_steps"):
        exp.prune(E.Schedule("cubic", 2, every_steps=500), SETUP)
    assert exp.history == history
    blind = made(train=None)
    blind.apply(E.Recipe(E.Pruning(0.8)))
    with pytest.raises(E.DataError, match="needs training data"):
        blind.prune(THREE, SETUP)
    blind.close()


@pytest.mark.parametrize("kind", ["iterative", "cubic"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_masks_that_move_move_about_ten_times(exp: E.Experiment, kind: str, epochs: int) -> None:
    """Whatever the length of the run, and never as rarely as not at all."""
    schedule = schedule_for(exp, kind, 4, epochs, None if kind == "cubic" else "set", SETUP)
    steps = 5 * epochs * (4 if kind == "cubic" else 1)  # 133 images
    assert schedule.every_steps == max(1, int(0.75 * steps) // 10)
    schedule.check(steps)


def test_in_the_background_it_is_cancelled_within_a_round(exp: E.Experiment) -> None:
    """The rounds that are done stay; the words say how many; progress only grows."""
    exp.apply(E.Recipe(E.Pruning(0.8)))
    told: list[Any] = []
    exp.subscribe(lambda event: told.append(event.task) if event.kind == "task" else None)
    slow, seen = E.Schedule("iterative", 3, epochs_per_round=400), list[Any]()

    def watch(step: Any) -> None:
        seen.append(step)
        if getattr(step, "round", 0) == 2:
            exp.jobs.cancel("task")

    before = len(exp.history)
    start_rounds(exp, slow, SETUP, None, watch)
    end = time.monotonic() + 60
    while not (told and told[-1].ended):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert exp.wait(60)
    assert told[-1].ended == "cancelled" and told[-1].text == "cancelled: 1 round kept"
    assert len(exp.history) == before + 1 and exp.state.attempt is not None and exp.state.attempt.round == 1
    shares = [task.progress for task in told[:-1]]
    assert shares == sorted(shares) and 0.3 < shares[-1] < 0.4


def test_in_the_background_it_ends_as_when_called(exp: E.Experiment) -> None:
    """The same weights, the news of each round once, and an end in words."""
    exp.apply(E.Recipe(E.Pruning(0.8)))
    twin = made()
    twin.apply(E.Recipe(E.Pruning(0.8)))
    twin.prune(THREE, SETUP)
    told: list[Any] = []
    exp.subscribe(lambda event: told.append(event.task) if event.kind == "task" else None)
    seen: list[Any] = []
    start_rounds(exp, THREE, SETUP, None, seen.append)
    start_rounds(exp, THREE, SETUP, None, seen.append)  # a double click
    assert exp.wait(60)
    assert exp.state.weights_key == twin.state.weights_key
    assert [step.round for step in seen if not hasattr(step, "step")] == [1, 2, 3]
    assert told[-1].ended == "done" and told[-1].text.startswith("3 rounds in ")
    assert told[-2].progress == pytest.approx(1.0)
    twin.close()
