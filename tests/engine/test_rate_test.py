"""The learning-rate range test: on losses of a known shape, and on networks whose best rate is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnwidgets.engine.diagnosis.rate_test import RateStep, _Smooth, _told, rate_range_steps, rate_range_test
from nnwidgets.engine.errors import DataError, InputError, ModelError
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split


def clouds(n: int = 300, scale: float = 1.0) -> Split:
    draw = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = (draw.standard_normal((n, 12)) + 3 * np.eye(3, 12)[labels]) * scale
    return Split(images.astype(np.float32), labels.astype(np.int64))


def dense(seed: int, *between: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), *between, nn.Linear(16, 3))


def test_the_suggested_rate_lies_between_the_steepest_and_the_lowest_loss() -> None:
    rates = np.geomspace(1e-5, 1, 101)
    x = np.log10(rates)
    losses = 2.3 - 2 / (1 + np.exp(-6 * (x + 3))) + 5 * np.clip(x + 1, 0, None)
    said = _told(rates, losses[None], 101, 3e-3)
    assert -3.1 < np.log10(said.steepest) < -2.3, "the mean of ten steps lags by half a decade"
    assert said.suggested == pytest.approx((said.steepest * said.lowest / 5) ** 0.5)
    assert said.lowest > said.suggested and said.near and "falls most" in said.rule
    assert [_told(rates, losses[None], 101, rate).near for rate in (1e-5, 3e-1)] == [False, False]


def test_a_loss_that_never_falls_has_no_suggestion() -> None:
    rates = np.geomspace(1e-5, 1, 50)
    said = _told(rates, np.full((2, 50), 2.3), 50, 1e-3)
    assert said.suggested is None and said.near is None and "no rate" in said.rule


def test_a_mean_that_does_not_begin_at_zero() -> None:
    smooth = _Smooth(100)
    assert smooth.add(3.0) == pytest.approx(3.0) and smooth.add(3.0) == pytest.approx(3.0) and smooth.first == 3.0
    assert 2.0 < smooth.add(2.0) < 3.0


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_inputs_ten_times_as_large_want_a_smaller_rate(optimizer: str) -> None:
    setup = TrainingSetup(optimizer=optimizer, batch_size=32)
    found = [rate_range_test(dense, clouds(scale=scale), setup, runs=2, steps=60).suggested for scale in (1.0, 10.0)]
    assert found[0] is not None and found[1] is not None and found[1] < 0.5 * found[0]


def test_the_same_seed_gives_the_same_and_nothing_global_moves() -> None:
    def with_dropout(seed: int) -> nn.Module:
        return dense(seed, nn.Dropout(0.3), nn.BatchNorm1d(16))

    state = torch.get_rng_state()
    first = rate_range_test(with_dropout, clouds(), runs=2, steps=40)
    again = rate_range_test(with_dropout, clouds(), runs=2, steps=40)
    np.testing.assert_array_equal(first.raw, again.raw)
    assert torch.equal(state, torch.get_rng_state())
    assert first.raw.shape == (2, len(first.rates)) and first.losses.shape == first.rates.shape
    other = rate_range_test(with_dropout, clouds(), runs=2, steps=40, seed=7)
    assert other.raw[0, 0] != first.raw[0, 0]


def test_a_run_ends_where_the_network_breaks_up() -> None:
    said = rate_range_test(dense, clouds(), TrainingSetup(optimizer="sgd", batch_size=32), high=1e5)
    assert said.rates[-1] < 1e5 and np.isfinite(said.losses).all() and said.losses[-1] > said.losses.min()


def test_steps_tell_how_far_it_is_and_can_be_left() -> None:
    steps = rate_range_steps(dense, clouds(), steps=20, runs=2)
    told = [step for step in steps if step is not None]
    assert all(isinstance(step, RateStep) for step in told)
    assert [step.share for step in told] == sorted(step.share for step in told) and told[-1].share == pytest.approx(1)
    assert [step.rate for step in told[:20]] == pytest.approx(np.geomspace(1e-6, 1, 20))
    again = rate_range_steps(dense, clouds(), steps=20)
    next(again)
    again.close()


def test_an_own_loss_is_used() -> None:
    calls = []

    def own(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        calls.append(len(labels))
        return nn.functional.cross_entropy(logits, labels)

    rate_range_test(dense, clouds(40), steps=20, runs=1, loss=own)
    assert calls == [40] * 20, "a batch is no larger than the sample"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"steps": 5}, InputError, "steps"),
        ({"runs": 0}, InputError, "runs"),
        ({"low": 0.0}, InputError, "low"),
        ({"low": 2.0}, InputError, "low < high"),
        ({"train": Split(torch.zeros(20, 12))}, DataError, "without labels"),
    ],
)
def test_what_cannot_be_tested_is_said(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rate_range_test(**{"fresh": dense, "train": clouds(), **given})


def test_a_network_that_cannot_be_trained_is_refused() -> None:
    def frozen(seed: int) -> nn.Module:
        return dense(seed).requires_grad_(False)

    with pytest.raises(ModelError, match="nothing to train"):
        rate_range_test(frozen, clouds())

    def broken(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.sum() * float("nan")

    with pytest.raises(ModelError, match="not finite from the beginning"):
        rate_range_test(dense, clouds(), loss=broken)
