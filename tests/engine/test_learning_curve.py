"""Learning curves: the fit on known power laws, its intervals, and the runs that measure one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnwidgets.engine.diagnosis._power_law import laws_of
from nnwidgets.engine.diagnosis.learning_curve import LearningCurve, _order, learning_curve, learning_curve_steps, setup_for
from nnwidgets.engine.errors import DataError, InputError
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

SIZES = (62, 125, 250, 500, 1000)


def measured(a: float, b: float, c: float, seed: int, validation: int = 1000, runs: int = 3) -> tuple[LearningCurve, float]:
    """A curve with the noise of S_val, common to all, and of networks; and E at four times the largest size."""
    draw = np.random.default_rng(seed)

    def true(n: float) -> float:
        return a + b * n**-c

    common = draw.standard_normal() / math.sqrt(validation)
    errors = np.array([[true(n) + common * math.sqrt(true(n) * (1 - true(n)))] * runs for n in SIZES])
    return LearningCurve(SIZES, errors * np.exp(draw.normal(0, 0.05, errors.shape)), validation), true(4000)


def test_a_law_without_noise_is_found_again() -> None:
    sizes = np.array(SIZES, np.float64)
    errors = (0.02 + 2 * sizes**-0.5)[:, None] * np.array([[0.999, 1.001]])
    curve = LearningCurve(SIZES, errors, 10**6)
    for n in (1000, 4000):
        assert curve.predict(n).value == pytest.approx(0.02 + 2 * n**-0.5, rel=0.08)
    laws = laws_of(sizes, errors, 10**6)
    assert (laws.a >= 0).all() and (laws.b > 0).all() and laws.a.max() < errors.min()


def test_intervals_hold_what_they_should() -> None:
    """At four times the largest size, over many laws and draws."""
    inside, needed = [], []
    for seed in range(120):
        draw = np.random.default_rng([seed, 1])
        a, c = float(draw.choice([0.0, 0.03])), float(draw.uniform(0.25, 0.8))
        curve, true = measured(a, 0.3 * 62**c, c, seed)
        said = curve.predict(4000)
        inside.append(said.low <= true <= said.high)
        need = curve.needed(true)
        needed.append(need.low <= 4000 <= need.high)
    assert np.mean(inside) >= 0.9 and np.mean(needed) >= 0.85


def test_the_interval_grows_with_the_distance_and_shrinks_with_s_val() -> None:
    curve = measured(0.02, 2.0, 0.5, 0)[0]
    widths = [(said.high - said.low) / said.value for said in map(curve.predict, (1000, 2000, 8000))]
    assert widths == sorted(widths) and widths[0] < widths[-1]
    few, many = (measured(0.02, 2.0, 0.5, 0, validation)[0].predict(1000) for validation in (100, 10**5))
    assert few.high - few.low > many.high - many.low


def test_the_images_that_a_goal_needs() -> None:
    curve, true = measured(0.0, 3.0, 0.5, 1, validation=10**5)
    near = curve.needed(true)
    assert near.low <= 4000 <= near.high and near.value == pytest.approx(4000, rel=0.6)
    assert curve.needed(0.3).high < 1000, "met already"
    flat = LearningCurve(SIZES, np.full((5, 3), 0.2) + np.array([[0.001, 0.0, -0.001]]), 5000)
    never = flat.needed(0.01)
    assert math.isinf(never.value) and math.isinf(never.high) and never.never > 0.5
    assert [curve.needed(goal).value for goal in (0.3, 0.1, 0.05)] == sorted(
        curve.needed(goal).value for goal in (0.3, 0.1, 0.05)
    )


def test_a_curve_without_a_single_mistake_is_no_failure() -> None:
    curve = LearningCurve(SIZES, np.zeros((5, 3)), 200)
    said = curve.predict(2000)
    assert 0 <= said.low <= said.value <= said.high < 0.05 and curve.needed(0.05).value <= 1000


@pytest.mark.parametrize("n", [0, -5, 1.5, True, "10"])
def test_what_is_no_size_or_goal_is_refused(n: Any) -> None:
    curve = measured(0.0, 3.0, 0.5, 1)[0]
    with pytest.raises(InputError, match="n: got"):
        curve.predict(n)
    for goal in (0, 1, float("nan"), True, "0.1"):
        with pytest.raises(InputError, match="goal"):
            curve.needed(goal)  # type: ignore[arg-type]


# --- measuring ----------------------------------------------------------------------------------------------------------


def dense(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(12, 3)


def clouds(n: int, seed: int) -> Split:
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return Split((draw.standard_normal((n, 12)) + np.eye(3, 12)[labels] * 2).astype(np.float32), labels.astype(np.int64))


def test_networks_are_trained_on_nested_parts() -> None:
    train, val = clouds(320, 0), clouds(300, 1)
    state, shares, told = torch.get_rng_state(), [], 0
    steps = learning_curve_steps(dense, train, val, TrainingSetup(lr=0.02, epochs=3, batch_size=16), seeds=2)
    while True:
        try:
            now = next(steps)
            shares.append(now.share)
            assert len(now.measured) >= told
            told = len(now.measured)
        except StopIteration as end:
            curve = end.value
            break
    assert curve.sizes == (20, 40, 80, 160, 320) and curve.errors.shape == (5, 2) and curve.validation == 300
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1) and torch.equal(torch.get_rng_state(), state)
    assert curve.errors[0].mean() > curve.errors[-1].mean()
    again = learning_curve(dense, train, val, TrainingSetup(lr=0.02, epochs=3, batch_size=16), seeds=2)
    np.testing.assert_array_equal(again.errors, curve.errors)


def test_each_part_holds_each_class_alike() -> None:
    labels = torch.tensor([0] * 160 + [1] * 80 + [2] * 80)
    order = _order(labels, 5)
    assert sorted(order.tolist()) == list(range(320))
    for size in (20, 40, 80, 160):
        counts = labels[order[:size]].bincount(minlength=3)
        assert abs(int(counts[0]) - size // 2) <= 1 and abs(int(counts[1]) - size // 4) <= 1
    assert not torch.equal(order, _order(labels, 6))


def test_small_parts_get_more_epochs() -> None:
    setup = TrainingSetup(epochs=10)
    assert [setup_for(setup, 1000, n).epochs for n in (62, 250, 1000, 4000)] == [40, 20, 10, 5]


def test_what_makes_no_curve_is_said() -> None:
    with pytest.raises(DataError, match="at least 160"):
        next(learning_curve_steps(dense, clouds(100, 0), clouds(30, 1)))
    with pytest.raises(DataError, match="without labels"):
        next(learning_curve_steps(dense, Split(torch.zeros(200, 12)), clouds(30, 1)))
    with pytest.raises(InputError, match="seeds"):
        next(learning_curve_steps(dense, clouds(200, 0), clouds(30, 1), seeds=1))
