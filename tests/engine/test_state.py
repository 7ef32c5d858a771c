"""What `preserved` gives back, whatever happens in its block."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from oracle_trace import everything
from torch import nn

from nnwidgets.engine.trace import preserved, preserved_rng


def net() -> nn.Sequential:
    """Modules with different flags, a frozen parameter and gradients."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout()).train()
    model[2].eval()
    model(torch.rand(5, 4)).sum().backward()
    model[0].bias.requires_grad_(False)
    return model


def test_flags_gradients_and_statistics_come_back() -> None:
    """Each module its own training flag, each parameter its requires_grad and the same .grad object."""
    model = net()
    before, gradients = everything(model), [p.grad for p in model.parameters()]
    with preserved(model) as same:
        assert same is model
        model.eval()
        model.train()
        model(torch.rand(5, 4))  # moves the statistics of batch-norm
        model.requires_grad_(False)
        model.zero_grad(set_to_none=True)
    assert everything(model) == before
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert not model[0].bias.requires_grad and model[0].weight.requires_grad


def test_they_come_back_after_an_exception() -> None:
    """Row 29 of the faults; the exception goes on."""
    model = net()
    before = everything(model)
    with pytest.raises(ZeroDivisionError), preserved(model):
        model.eval()
        model.requires_grad_(False)
        raise ZeroDivisionError
    assert everything(model) == before


def test_they_come_back_when_a_generator_is_closed_early() -> None:
    """Cancelled work ends through `close`."""
    model = net()
    before = everything(model)

    def work() -> Iterator[int]:
        with preserved(model):
            model.eval()
            yield 1
            yield 2

    running = work()
    next(running)
    assert not model.training
    running.close()  # type: ignore[attr-defined]
    assert everything(model) == before


def test_replaced_buffer_comes_back_as_the_same_tensor() -> None:
    """``self.mean = new`` in a forward pass."""
    model = net()
    mean = model[1].running_mean
    with preserved(model):
        model[1].running_mean = torch.full((3,), 7.0)
    assert model[1].running_mean is mean


def test_buffers_made_in_inference_mode_come_back() -> None:
    """Torch counts no writes on them, so their numbers are compared."""
    with torch.inference_mode():
        model = nn.BatchNorm1d(3)
    with preserved(model), torch.inference_mode():
        model.running_mean.add_(1)
    assert model.running_mean.tolist() == [0.0, 0.0, 0.0]


def test_unused_buffer_and_meta_network_are_no_trouble() -> None:
    """A buffer may be None or without numbers."""
    model = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.BatchNorm1d(3, device="meta")).train()
    with preserved(model):
        model.eval()
    assert model.training


def test_random_states_come_back() -> None:
    """Torch, numpy and Python draw the same numbers as if the block had not been there."""

    def draw() -> tuple[float, float, float]:
        return float(torch.rand(1)), float(np.random.rand()), random.random()

    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    with preserved_rng():
        first = draw()
    assert draw() == first
    with pytest.raises(ZeroDivisionError), preserved(net()):
        second = draw()
        raise ZeroDivisionError
    assert draw() == second


def test_random_state_is_not_rewound_where_the_block_drew_nothing() -> None:
    """So that another thread's draws are not repeated: the state is only set where it has changed."""
    calls: list[object] = []
    original = torch.set_rng_state
    try:
        torch.set_rng_state = lambda state: calls.append(state)  # type: ignore[assignment]
        with preserved_rng():
            pass
        assert calls == []
        with preserved_rng():
            torch.rand(1)
        assert len(calls) == 1
    finally:
        torch.set_rng_state = original
