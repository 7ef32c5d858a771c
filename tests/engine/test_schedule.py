"""Schedules: the published formulas, drawn before anything runs; what does not go together is refused."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnwidgets.engine import RecipeError, Schedule


def test_cubic_gives_the_published_figures() -> None:
    """Zhu & Gupta 2017: 0 to 0.9 in quarters of T."""
    wanted = [0.0, 0.520312, 0.7875, 0.885938, 0.9]
    drawn = Schedule("cubic", until=1.0, every_steps=25).curve(0.9, 100)
    assert [step for step, _ in drawn] == [0, 25, 50, 75, 100]
    assert [share for _, share in drawn] == pytest.approx(wanted, abs=1e-6)
    assert Schedule("cubic", 4, until=1.0).amounts(0.9) == pytest.approx(wanted[1:], abs=1e-6)


def test_cubic_from_a_start_and_with_training_after_the_last_removal() -> None:
    drawn = Schedule("cubic", 2, initial=0.2, until=0.5, every_steps=3).curve(0.8, 20)
    assert drawn == [(t, pytest.approx(0.8 - 0.6 * (1 - t / 10) ** 3)) for t in (0, 3, 6, 9, 10)] + [(20, 0.8)]


def test_rigl_gives_the_published_drop_shares_and_set_a_constant_one() -> None:
    """Evci et al. 2020, a = 0.3."""
    rigl, evolved = Schedule(regrowth="rigl", until=1.0), Schedule(regrowth="set", until=0.5, drop_share=0.2)
    found = [rigl.share_dropped(step, 4) for step in range(5)]
    assert found == pytest.approx([0.3, 0.256066, 0.15, 0.043934, 0.0], abs=1e-6)
    assert [evolved.share_dropped(step, 4) for step in range(5)] == [0.2, 0.2, 0.0, 0.0, 0.0]
    assert Schedule().share_dropped(1, 10) == 0.0


@given(st.floats(0.01, 0.99), st.floats(0.0, 0.9), st.integers(1, 20))
def test_each_round_removes_the_same_share_of_what_is_left(final: float, initial: float, rounds: int) -> None:
    if final < initial:
        return
    amounts = Schedule("iterative", rounds, initial=initial).amounts(final)
    left = [1 - initial, *(1 - amount for amount in amounts)]
    assert amounts[-1] == final and len(amounts) == rounds
    ratios = [after / before for before, after in pairwise(left)]
    assert ratios == pytest.approx([((1 - final) / (1 - initial)) ** (1 / rounds)] * rounds)


def test_one_shot_and_dense_sparse_dense() -> None:
    assert Schedule().amounts(0.9) == (0.9,) and Schedule().curve(0.9, 10) == [(0, 0.9), (10, 0.9)]
    phases = Schedule(regrowth="dense_sparse_dense")
    assert phases.amounts(0.9) == (0.0, 0.9, 0.0) and phases.phases == 3
    assert phases.curve(0.9, 30) == [(0, 0.0), (10, 0.9), (20, 0.0), (30, 0.0)]


@pytest.mark.parametrize("kind", ["one_shot", "iterative", "cubic"])
def test_a_curve_never_falls_and_ends_at_the_aim(kind: str) -> None:
    drawn = Schedule(kind, 1 if kind == "one_shot" else 7, every_steps=9).curve(0.93, 140)
    steps, shares = zip(*drawn, strict=True)
    assert list(steps) == sorted(set(steps)) and steps[0] == 0 and steps[-1] == 140
    assert list(shares) == sorted(shares) and math.isclose(shares[-1], 0.93)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "cubik"}, "did you mean 'cubic'"),
        ({"regrowth": "regl"}, "rigl"),
        ({"rounds": 2}, "one_shot; expected 1"),
        ({"kind": "iterative", "rounds": 0}, "at least 1"),
        ({"kind": "iterative", "rounds": 2.5}, "whole number"),
        ({"epochs_per_round": 0}, "at least 1"),
        ({"every_steps": True}, "whole number"),
        ({"initial": 0.2}, "removes all at once"),
        ({"kind": "cubic", "initial": 1.0}, "below 1"),
        ({"drop_share": 0}, "above 0"),
        ({"until": 1.1}, "up to 1"),
        ({"kind": "cubic", "regrowth": "rigl"}, "fixed number of weights"),
        ({"kind": "iterative", "regrowth": "dense_sparse_dense"}, "three phases"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        Schedule(**settings)


@pytest.mark.parametrize(
    ("schedule", "final", "steps", "said"),
    [
        (Schedule(), 0.5, 0, "0 steps of training a round"),
        (Schedule("iterative", 5), 0.5, 4, "0 steps of training a round"),
        (Schedule("cubic"), 0.5, 100, "every_steps is 100, but masks may change in the first 75 of 100 steps"),
        (Schedule("cubic", initial=0.6, every_steps=1), 0.5, 100, "smaller than initial"),
        (Schedule(), 1.0, 10, "below 1"),
    ],
)
def test_a_schedule_that_is_too_short_says_so(schedule: Schedule, final: float, steps: int, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        schedule.curve(final, steps)


def test_it_is_written_and_read() -> None:
    for schedule in (Schedule(), Schedule("cubic", 3, 2, every_steps=7, initial=0.1), Schedule(regrowth="set", drop_share=0.1)):
        assert Schedule.from_json(schedule.to_json()) == schedule
    data = json.loads(Schedule().to_json())
    for changed, said in (
        ({**data, "round": 1}, "did you mean 'rounds'"),
        ({**data, "version": 2}, "version 2"),
        ({**data, "format": "x"}, "not a schedule"),
    ):
        with pytest.raises(RecipeError, match=said):
            Schedule.from_json(json.dumps(changed))
    for text in ("{", "[]", "3"):
        with pytest.raises(RecipeError, match="not a schedule"):
            Schedule.from_json(text)
