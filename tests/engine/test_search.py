"""The smallest network that meets a goal: against a grid, within a budget, verified on all images, nothing changed."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.search import search_steps
from nnwidgets.engine.search._families import families_for
from nnwidgets.engine.trace import fingerprint


def sample(n: int, seed: int) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.6 * torch.randn(n, 12, generator=draw)
    images[torch.arange(n), labels] += 2.0
    return E.Split(images, labels)


TRAIN, VAL = sample(300, 0), sample(400, 1)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 3))
    for _ in E.fit(made, TRAIN, setup=E.TrainingSetup(lr=0.01, epochs=12, batch_size=50)):
        pass
    return made.eval()


def cheapest(model: nn.Module, goal: float, bits: int) -> tuple[int, float]:
    """Bytes of the smallest recipe by magnitude over a grid of amounts, all measured exactly, up to the first that misses."""
    rounding = None if bits == 32 else E.Quantization(weight_bits=bits)
    best, found = 10**9, 0.0
    for step in range(100):
        recipe = E.Recipe(E.Pruning(step / 100) if step else None, rounding)
        if 1 - E.evaluate(E.compress(model, recipe), VAL).accuracy > goal + 1e-9:
            break
        size = E.cost(model, (12,), recipe).bytes_encoded
        if size < best:
            best, found = size, step / 100
    return best, found


@pytest.mark.slow
@pytest.mark.parametrize("goal", [0.04, 0.1])
def test_it_is_as_small_as_an_exhaustive_grid_by_magnitude_or_smaller(model: nn.Module, goal: float) -> None:
    """And what it found holds: its size is that of the cost, its accuracy that of a full pass."""
    before = fingerprint(model)
    found = E.find_smallest(model, VAL, goal, calibration=TRAIN, budget_s=60)
    assert found.stopped == "done" and fingerprint(model) == before
    wanted = min(cheapest(model, goal, bits)[0] for bits in (32, 8, 6, 5, 4, 3, 2))
    assert found.best.merit <= wanted
    best = found.best
    assert best.merit == best.bytes_encoded == E.cost(model, (12,), best.recipe, calibration=TRAIN).bytes_encoded
    network = E.compress(model, best.recipe, TRAIN)
    assert best.estimate.final and best.estimate.accuracy == pytest.approx(E.evaluate(network, VAL).accuracy)
    assert best.verdict == "meets" and 1 - best.estimate.accuracy <= goal + 1e-9
    assert "instead of" in found.text


@pytest.mark.slow
def test_each_point_is_told_and_verdicts_are_right(model: nn.Module) -> None:
    """What meets or misses the goal does so on all images, but for the five in a hundred that an interval may be wrong in."""
    steps = search_steps(model, VAL, 0.06, calibration=TRAIN, budget_s=60)
    told = []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: E.SearchResult = end.value
            break
        assert 0 <= step.share <= 1
        if step.point is not None:
            told.append(step.point)
    assert {point.recipe for point in told} == {point.recipe for point in result.path} and result.path[0] is result.dense
    wrong = 0
    for point in result.path:
        exact = E.evaluate(E.compress(model, point.recipe, TRAIN), VAL).accuracy
        wrong += (exact >= 0.94 - 1e-9) != (point.verdict == "meets")
        assert not point.estimate.final or point.estimate.accuracy == pytest.approx(exact)
    assert wrong <= max(1, 0.1 * len(result.path))
    frame = result.to_frame()
    assert len(frame) == len(result.path) and frame["is_best"].sum() == 1
    front = result.front()
    assert [point.merit for point in front] == sorted(point.merit for point in front)


@pytest.mark.parametrize("merit", ["macs", "energy"])
def test_other_merits_are_made_small_and_what_cannot_help_is_named(model: nn.Module, merit: str) -> None:
    """MACs of a really smaller network fall by units only."""
    found = E.find_smallest(model, VAL, 0.06, merit=merit, calibration=TRAIN, budget_s=60)
    assert found.best.merit < found.dense.merit and found.merit == merit
    if merit == "macs":
        assert found.best.recipe.pruning is not None and found.best.recipe.pruning.structure == "neuron"
        assert found.best.merit == E.cost(model, (12,), found.best.recipe, calibration=TRAIN).macs_nonzero
        assert "multiplied like any other number" in found.refused["single weights"]
    assert any("filter" in what for what in found.refused), "a network without convolutions has none"


def test_latency_is_measured(model: nn.Module) -> None:
    """In turns with the dense network; nothing is claimed but that it ends within its time."""
    began = time.monotonic()
    found = E.find_smallest(model, VAL, 0.06, merit="latency", calibration=TRAIN, budget_s=0.5)
    assert found.best.merit > 0 and time.monotonic() - began < 5


def test_the_same_seed_gives_the_same_path(model: nn.Module) -> None:
    """Where time does not end it."""
    one, other = (E.find_smallest(model, VAL, 0.06, calibration=TRAIN, budget_s=60, seed=3) for _ in range(2))
    assert [(p.recipe, p.merit, p.estimate, p.verdict) for p in one.path] == [
        (p.recipe, p.merit, p.estimate, p.verdict) for p in other.path
    ]


def test_time_that_is_over_ends_it_with_what_was_verified(model: nn.Module) -> None:
    """A budget of next to nothing gives the dense network."""
    found = E.find_smallest(model, VAL, 0.06, calibration=TRAIN, budget_s=1e-6)
    assert found.stopped == "budget" and found.best is found.dense
    steps = search_steps(model, VAL, 0.06, calibration=TRAIN, budget_s=60)
    for _ in range(5):
        next(steps)
    steps.close()  # nothing to tidy up


def test_a_network_that_misses_the_goal_is_told_so(model: nn.Module) -> None:
    """Nothing is searched."""
    found = E.find_smallest(model, VAL, 1e-4, calibration=TRAIN)
    assert found.best is found.dense and len(found.path) == 1 and "misses the goal" in found.text


def test_without_images_to_look_at_criteria_of_the_weights_are_tried(model: nn.Module) -> None:
    """The others are named with the reason."""
    found = E.find_smallest(model, VAL, 0.06, budget_s=60)
    criteria = {point.recipe.pruning.criterion for point in found.path if point.recipe.pruning is not None}
    assert criteria == {"magnitude"} and any("Taylor" in what or "taylor" in what for what in found.refused)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"goal": 0.0}, E.InputError, "goal: got 0.0"),
        ({"goal": 1.5}, E.InputError, "goal: got 1.5"),
        ({"merit": "beauty"}, E.InputError, "merit: got 'beauty'"),
        ({"budget_s": 0}, E.InputError, "budget_s: got 0"),
        ({"budget_s": float("inf")}, E.InputError, "budget_s: got inf"),
        ({"seed": -1}, E.InputError, "seed: got -1"),
        ({"start": 0.5}, E.InputError, "start: got float"),
        ({"val": E.Split(VAL.images)}, E.DataError, "without labels"),
        ({"val": "images"}, E.DataError, "val: got str"),
        ({"calibration": 3}, E.DataError, "calibration: got int"),
        ({"model": 3}, E.ModelError, "model: got int"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(model: nn.Module, arguments: Any, error: type[Exception], said: str) -> None:
    """At the call of the generator's function."""
    with pytest.raises(error, match=said):
        search_steps(**{"model": model, "val": VAL, "goal": 0.06, "calibration": TRAIN, **arguments})


def test_families_are_all_different() -> None:
    """And each has a smallest step that changes something."""
    for merit in ("size", "macs", "latency", "energy"):
        families = families_for(merit)
        assert len(set(families)) == len(families) > 5
        assert all(family.recipe(family.fewest) != E.Recipe() for family in families)
