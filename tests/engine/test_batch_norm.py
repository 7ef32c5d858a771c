"""Batch-norm statistics measured again: against sums by hand, nothing else changes, and what it gives back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import Attempt, load_example
from nnwidgets.engine.training import recalibration


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(216, 8), nn.BatchNorm1d(8)
        ).eval()


def data(n: int = 101) -> E.Split:
    draw = torch.Generator().manual_seed(5)
    return E.Split(torch.randn(n, 1, 8, 8, generator=draw) + 1, torch.randint(0, 8, (n,), generator=draw))


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if "running" in name or "tracked" in name}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_statistics_are_the_means_over_the_batches() -> None:
    """By hand: each batch normalises by itself; 50 and 51 images, as one that is left joins the batch before; no dropout."""
    model, split = net(), data()
    before, drawn = E.fingerprint(model), torch.get_rng_state()
    measured = E.recalibrate_batch_norm(model, split, batch_size=50)
    assert E.fingerprint(model) == before and torch.equal(drawn, torch.get_rng_state())
    order = torch.randperm(101, generator=torch.Generator().manual_seed(0))
    found: dict[str, list[Tensor]] = {"1.mean": [], "1.var": [], "6.mean": [], "6.var": []}
    for part in (order[:50], order[50:]):
        maps = model[0](split.images[part])
        found["1.mean"].append(maps.mean((0, 2, 3)))
        found["1.var"].append(maps.var((0, 2, 3)))
        normal = (maps - maps.mean((0, 2, 3), keepdim=True)) / (maps.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
        out = model[5](normal.relu().flatten(1))
        found["6.mean"].append(out.mean(0))
        found["6.var"].append(out.var(0))
    for name, values in found.items():
        layer, kind = name.split(".")
        got = measured.get_buffer(f"{layer}.running_{kind}")
        torch.testing.assert_close(got, torch.stack(values).mean(0), rtol=1e-4, atol=1e-5)
    assert not measured.training and measured[1].momentum == model[1].momentum == 0.1  # type: ignore[index]
    for name, value in model.named_parameters():
        assert torch.equal(value, measured.get_parameter(name))


def test_masks_and_grids_stay() -> None:
    """Statistics are those of the network with masks and grids, whose parametrizations are left on."""
    recipe = E.Recipe(E.Pruning(0.5), E.Quantization(weight_bits=4))
    small = E.compress(net(), recipe)
    measured = E.recalibrate_batch_norm(small, data())
    assert not same(statistics(small), statistics(measured))
    plain, baked = E.recalibrate_batch_norm(E.bake(small), data()), E.bake(measured)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), baked.state_dict().values(), strict=True))
    assert torch.equal(baked[5].weight, E.bake(small)[5].weight)  # type: ignore[index]


def test_left_early_or_failed_it_is_as_before() -> None:
    """In place: closed between two batches, and where NaN comes up in the second one."""
    model = net()
    before = statistics(model)
    steps = recalibration(model, data(), batch_size=20)
    assert 0 < next(steps) < 1 and not same(before, statistics(model))
    steps.close()
    assert same(before, statistics(model))
    bad = E.Split(data().images, data().labels)
    with torch.no_grad():
        model[0].bias[2] = float("inf")  # type: ignore[index,union-attr]
    with pytest.raises(E.ModelError):
        list(recalibration(model, bad, batch_size=20))
    assert same(before, statistics(model)) and not model.training


def test_a_layer_that_the_network_does_not_use_keeps_its_numbers() -> None:
    """It sees nothing, so it learns nothing."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.unused = net(), nn.BatchNorm2d(6)
            self.unused.running_mean.fill_(7)  # type: ignore[union-attr]

        def forward(self, x: Tensor) -> Any:
            return self.body(x)

    measured = E.recalibrate_batch_norm(Odd().eval(), data())
    assert measured.unused.running_mean.tolist() == [7.0] * 6  # type: ignore[union-attr,operator]
    assert measured.unused.num_batches_tracked == 0  # type: ignore[union-attr]


def test_what_cannot_be_measured_is_refused() -> None:
    """In words, before anything is changed."""
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    with pytest.raises(E.UnsupportedError, match="no batch-norm layer that keeps statistics"):
        E.recalibrate_batch_norm(plain, data())
    with pytest.raises(E.UnsupportedError, match="no batch-norm layer"):
        E.recalibrate_batch_norm(nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), plain), data())
    for images in (1, 0, True, 2.5):
        with pytest.raises(E.InputError, match="images: got"):
            E.recalibrate_batch_norm(net(), data(), images=images)  # type: ignore[arg-type]
    with pytest.raises(E.DataError, match="at least two"):
        E.recalibrate_batch_norm(net(), data(1))
    with pytest.raises(E.ModelError, match="failed on images of shape"):
        E.recalibrate_batch_norm(net(), E.Split(torch.zeros(9, 3, 8, 8)))


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_most_of_what_filters_cost_comes_back(criterion: str) -> None:
    """Small VGG, 40 % of the filters, no labels and no training."""
    exp = load_example("shapes")
    exp.apply(E.Recipe(E.Pruning(0.4, "filter", criterion, "uniform")))
    was = E.evaluate(exp.compressed, exp.test).accuracy
    state = exp.recalibrate()
    now = E.evaluate(exp.compressed, exp.test).accuracy
    assert now > was + 0.35 and state.attempt is not None
    assert (state.attempt.kind, state.attempt.images, state.attempt.setup) == ("recalibrate", 1024, None)
    assert Attempt.from_data(state.attempt.to_data()) == state.attempt
