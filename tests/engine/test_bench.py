"""The copies that an experiment works on: made when they are needed, and not where they would not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.experiment import Experiment, bench


def experiment(model: nn.Module | None = None) -> Experiment:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return Experiment(model or net, test=E.Split(torch.rand(20, 1, 8, 8), torch.arange(20) % 3))


def test_who_only_looks_into_a_network_pays_for_no_plan_and_no_quick_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("made without need")

    exp = experiment()
    with monkeypatch.context() as patched:
        patched.setattr(bench, "CompressionPlan", refused)
        patched.setattr(bench, "Prepared", refused)
        made = exp.bench(None)
        assert made.trace.macs > 0 and len(made.base(torch.zeros(2, 1, 8, 8))) == 2
    assert made.plan is made.plan and made.quick is made.quick and made.plan.trace is made.trace
    exp.close()


def test_a_small_network_is_copied_with_its_numbers() -> None:
    exp = experiment()
    own, base = (next(net.parameters()) for net in (exp.model, exp.bench(None).base))
    assert own.data_ptr() != base.data_ptr()
    exp.close()


def test_the_numbers_of_a_large_network_are_shared_and_flags_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_LARGE", 0)
    exp = experiment()
    before = E.fingerprint(exp.model)
    base = exp.bench(None).base
    for own, twin in zip(exp.model.parameters(), base.parameters(), strict=True):
        assert own is not twin and own.data_ptr() == twin.data_ptr()
        twin.requires_grad_(False)
        assert own.requires_grad
    for own, twin in zip(exp.model.buffers(), base.buffers(), strict=True):
        assert own.data_ptr() != twin.data_ptr()
    quick = exp.bench(None).load(E.Recipe(E.Pruning(0.9))).network
    assert {p.data_ptr() for p in quick.parameters()}.isdisjoint(p.data_ptr() for p in exp.model.parameters())
    exp.apply(E.Recipe(E.Pruning(0.9)))
    assert exp.wait(30) and E.fingerprint(exp.model) == before
    exp.close()


def test_a_large_network_that_is_changed_from_outside_is_noticed_and_planned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_LARGE", 0)
    exp = experiment()
    dense = exp.bench(None)
    zeros = dense.plan.figures(E.Recipe()).nonzero
    with torch.no_grad():
        exp.model[0].weight[0] = 0  # type: ignore[operator, index, union-attr]
    exp.notice_changes()
    assert exp.bench(None) is not dense and "model_changed" in exp.notices
    assert exp.bench(None).plan.figures(E.Recipe()).nonzero == zeros - 9
    exp.close()


def test_trained_weights_of_a_large_network_do_not_reach_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_LARGE", 0)
    exp = experiment()
    before = E.fingerprint(exp.model)
    key = exp.weights.put({name: value + 1 for name, value in exp.model.state_dict().items()})
    trained = exp.bench(key).base
    assert E.fingerprint(exp.model) == before
    assert torch.equal(next(trained.parameters()), next(exp.model.parameters()) + 1)
    exp.close()
