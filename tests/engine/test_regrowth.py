"""Regrowth: exact counts, a slow twin for the choice, gradients of the dense network, nothing remembered of what is new."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_prune_steps import SETUP, SGD, data, net, same_state, weights_of
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.pruning import erdos_renyi
from nnwidgets.engine.sparse import RoundRecord, TuneStep, prune_steps
from nnwidgets.engine.sparse import _prune as prune_module
from nnwidgets.engine.sparse import _regrow as module
from nnwidgets.engine.sparse._places import masked_weights
from nnwidgets.engine.trace import weight_layers
from nnwidgets.engine.values.steps import result_of


def moved_slowly(weight: list[float], keep: list[bool], gain: list[float], share: float) -> list[bool]:
    """One weight after the other."""
    kept = [i for i, k in enumerate(keep) if k]
    count = int(share * len(kept))
    dropped = set(sorted(kept, key=lambda i: (abs(weight[i]), i))[:count])
    left = [i for i in range(len(keep)) if not keep[i] or i in dropped]
    grown = set(sorted(left, key=lambda i: (-gain[i], i))[:count])
    return [(keep[i] and i not in dropped) or i in grown for i in range(len(keep))]


@given(st.data(), st.floats(0.0, 1.0))
def test_the_choice_is_that_of_the_slow_twin(draw: st.DataObject, share: float) -> None:
    n = draw.draw(st.integers(1, 30))
    numbers = st.lists(st.sampled_from([0.0, 0.5, -0.5, 1.0, 2.0, -3.0]), min_size=n, max_size=n)
    weight, gain = draw.draw(numbers), [abs(g) for g in draw.draw(numbers)]
    keep = draw.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    found = module.moved(torch.tensor(weight), torch.tensor(keep), torch.tensor(gain), share)
    assert found.keep.tolist() == moved_slowly(weight, keep, gain, share)
    assert found.grown.tolist() == [after and not before for before, after in zip(keep, found.keep.tolist(), strict=True)]
    assert int(found.keep.sum()) == sum(keep)


def test_gradients_are_those_of_the_dense_network() -> None:
    """Of a plain network that holds the masked weights; batch-norm statistics, masks and flags are as before."""
    network = E.compress(net(), E.Recipe(E.Pruning(0.8)))
    for each in masked_weights(network).values():
        with torch.no_grad():
            each.weight.masked_fill_(~each.keep, 0)
    plain, split = E.bake(network), data()
    before = E.fingerprint(network)
    images, labels = split.inputs(slice(0, 40)), split.labels
    assert labels is not None
    found = result_of(module.dense_gradients(network, masked_weights(network), images, labels[:40], F.cross_entropy, 0))
    assert E.fingerprint(network) == before
    plain.train()
    F.cross_entropy(plain(images), labels[:40]).backward()
    for layer in weight_layers(plain):
        gradient = plain.get_submodule(layer.module_name).weight.grad
        assert isinstance(gradient, Tensor) and torch.equal(found[layer.name], gradient)
        assert bool((found[layer.name][~masked_weights(network)[layer.name].keep] != 0).any())


@pytest.mark.parametrize("how", ["rigl", "set"])
@pytest.mark.parametrize("setup", [SETUP, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("kind", ["one_shot", "iterative"])
def test_counts_are_exact_and_new_weights_start_from_nothing(
    monkeypatch: pytest.MonkeyPatch, how: str, setup: E.TrainingSetup, kind: str
) -> None:
    """At every move: as many kept in each layer as before, new ones zero, nothing in the optimizer of new and dropped ones."""
    moves = []

    def watched(network: nn.Module, run: Any, *rest: Any) -> Iterator[None]:
        before = {name: each.keep.clone() for name, each in masked_weights(network).items()}
        yield from module.regrow(network, run, *rest)
        for name, each in masked_weights(network).items():
            grown = each.keep & ~before[name]
            assert int(each.keep.sum()) == int(before[name].sum())
            changed = grown | ~each.keep
            assert not each.weight[changed].any()
            for value in run._optimizer.state[each.weight].values():
                if isinstance(value, Tensor) and value.shape == each.weight.shape:
                    assert not value[changed].any() and value[each.keep & before[name]].any()
            moves.append(int(grown.sum()))

    monkeypatch.setattr(prune_module, "regrow", watched)
    schedule = E.Schedule(kind, 1 if kind == "one_shot" else 2, 2, regrowth=how, every_steps=2, drop_share=0.5)
    model = net()
    sparsities = set()
    rounds = []
    for told in prune_steps(model, data(), E.Recipe(E.Pruning(0.8)), schedule, setup):
        if isinstance(told, TuneStep):
            sparsities.add((told.round, told.sparsity))
        if isinstance(told, RoundRecord):
            rounds.append(told)
    assert sum(moves) > 20 and len(sparsities) == schedule.rounds
    assert sum(mask.kept for mask in rounds[-1].masks.values()) == 414 - round(0.8 * 414)
    assert rounds[-1].recipe.pruning is not None and same_state(E.bake(rounds[-1].network(model)).state_dict(), rounds[-1].state)


def test_masks_that_moved_are_kept_by_weights_that_are_still_zero() -> None:
    """Weights that grew and were not trained are zero like the removed ones: the recipe then has the masks written out."""
    schedule = E.Schedule(regrowth="set", every_steps=4, until=1.0)
    *_, last = E.prune_and_tune(net(), data(), E.Recipe(E.Pruning(0.8)), schedule, E.TrainingSetup(lr=1e-30, batch_size=32))
    again = {name: each.keep for name, each in masked_weights(last.network(net())).items()}
    assert {name: mask.tolist() for name, mask in again.items()} == {
        name: mask.to_array().tolist() for name, mask in last.masks.items()
    }
    assert last.recipe.pruning is not None and last.recipe.pruning.masks is not None


def test_dense_sparse_dense_gives_weights_back_from_zero() -> None:
    """Han et al. 2017: the third phase trains all weights, those that were removed from zero, at a tenth of the rate."""
    model, train = net(), data()
    recipe = E.Recipe(E.Pruning(0.8))
    dense, sparse, again = E.prune_and_tune(model, train, recipe, E.Schedule(regrowth="dense_sparse_dense"), SETUP)
    assert (dense.sparsity, again.sparsity) == (0.0, 0.0) and sparse.sparsity == pytest.approx(0.8, abs=0.002)
    twin = net()
    twin.load_state_dict(dict(sparse.state))
    assert sum(int((w == 0).sum()) for w in weights_of(twin).values()) == round(0.8 * 414)
    list(E.fit(twin, train, setup=E.TrainingSetup(**{**vars(SETUP), "epochs": 1, "lr": 0.001, "seed": 3 + 2 * 100_003})))
    assert same_state(again.state, twin.state_dict()) and again.recipe.is_dense
    plain = net()
    list(E.fit(plain, train, setup=E.TrainingSetup(**{**vars(SETUP), "epochs": 1})))
    assert same_state(dense.state, plain.state_dict())


def test_sparse_from_the_start_with_erk_and_rigl() -> None:
    """An untrained network, random masks by ERK: each layer keeps its count to the end."""
    model = net()
    shares = erdos_renyi({layer.name: layer.shape for layer in weight_layers(model)}, 0.8)
    recipe = E.Recipe(E.Pruning(0.8, criterion="random", allocation="erk"))
    *_, last = E.prune_and_tune(model, data(), recipe, E.Schedule(epochs_per_round=6, regrowth="rigl", every_steps=3), SETUP)
    for layer in weight_layers(model):
        share = shares[layer.name]
        kept = last.masks[layer.name].kept if layer.name in last.masks else layer.numel
        assert kept == layer.numel - round(share * layer.numel)
    assert E.evaluate(last.network(model), data(90, 1)).error < 0.4
