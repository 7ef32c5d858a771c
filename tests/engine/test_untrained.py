"""New random weights as a state: drawn by the seed, undone, pruned and trained from there; nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import Attempt


def vectors(n: int, seed: int) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    return E.Split(torch.nn.functional.one_hot(labels, 12).float() + 0.4 * torch.randn(n, 12, generator=draw), labels)


def net(width: float = 1.0) -> nn.Module:
    size = int(24 * width)
    return nn.Sequential(nn.Linear(12, size), nn.BatchNorm1d(size), nn.ReLU(), nn.Linear(size, 3))


def experiment(**given: Any) -> E.Experiment:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = net()
    for _ in E.fit(model, vectors(200, 0), setup=E.TrainingSetup(lr=0.01, epochs=5)):
        pass
    return E.Experiment(model.eval(), train=vectors(200, 0), test=vectors(200, 1), **given)


@pytest.mark.parametrize("build", [None, net])
def test_weights_are_those_of_the_seed(build: Any) -> None:
    """By the factory, or by ``reset_parameters``; the global random state and the network stay."""
    exp = experiment(build=build)
    before, drawn = E.fingerprint(exp.model), torch.get_rng_state()
    state = exp.start_untrained(seed=4)
    assert torch.equal(drawn, torch.get_rng_state()) and E.fingerprint(exp.model) == before
    torch.manual_seed(4)
    fresh = net()
    torch.set_rng_state(drawn)
    assert all(torch.equal(a, b) for a, b in zip(exp.compressed.parameters(), fresh.parameters(), strict=True))
    assert state.attempt is not None and Attempt.from_data(state.attempt.to_data()) == state.attempt
    other = exp.start_untrained(seed=5)
    assert other.weights_key != state.weights_key
    exp.undo()
    exp.undo()
    assert E.evaluate(exp.compressed, exp.test).error == E.evaluate(exp.model, exp.test).error


def test_pruned_at_the_start_and_trained() -> None:
    """SNIP looks at the new weights; what it removes stays away while the rest is trained."""
    exp = experiment(build=net)
    exp.start_untrained()
    exp.apply(E.Recipe(E.Pruning(0.5, criterion="snip")))
    untrained = E.evaluate(exp.compressed, exp.test).error
    masks = [value == 0 for value in E.bake(exp.compressed).parameters() if value.dim() > 1]
    exp.fine_tune(E.TrainingSetup(lr=0.01, epochs=8))
    after = [value == 0 for value in E.bake(exp.compressed).parameters() if value.dim() > 1]
    assert all(torch.equal(a, b) for a, b in zip(masks, after, strict=True))
    assert untrained > 0.4 and E.evaluate(exp.compressed, exp.test).error < 0.15


def test_what_cannot_be_made_anew_is_said() -> None:
    """And the present state stays."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(12, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    exp = E.Experiment(Own(), train=vectors(50, 0), test=vectors(50, 1))
    with pytest.raises(E.ModelError, match="reset_parameters"):
        exp.start_untrained()
    wider = experiment(build=lambda width: net(2 * width))
    with pytest.raises(E.ModelError, match="makes another network"):
        wider.start_untrained()
    with pytest.raises(E.InputError, match="seed"):
        wider.start_untrained(seed="a")  # type: ignore[arg-type]
    assert len(exp.history) == len(wider.history) == 1
