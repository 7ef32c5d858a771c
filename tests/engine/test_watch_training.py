"""Watching a training run: the run is that of ``fit``, and norms are those of weights kept before and after each step."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nnwidgets.engine as engine
from nnwidgets.engine.errors import InputError, ModelError
from nnwidgets.engine.inspect import TrainingStep, watch_training
from nnwidgets.engine.trace import weight_layers, weight_of
from nnwidgets.engine.training import fit
from nnwidgets.engine.values.recipe import Pruning, Quantization, Recipe
from nnwidgets.engine.values.setup import TrainingSetup
from nnwidgets.engine.values.split import Split

SGD = TrainingSetup(optimizer="sgd", lr=0.1, epochs=3, batch_size=16)
ADAM = TrainingSetup(lr=1e-2, epochs=3, batch_size=16, seed=5)


def net(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 5),
            nn.Linear(5, 3),
        )  # fmt: skip


@pytest.fixture
def split() -> Split:
    draw = torch.Generator().manual_seed(1)
    return Split(torch.randn(70, 1, 8, 8, generator=draw), torch.randint(0, 3, (70,), generator=draw))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {layer.name: weight_of(model, layer).detach().clone() for layer in weight_layers(model)}


@pytest.mark.parametrize("setup", [SGD, ADAM])
def test_the_run_is_that_of_fit_and_norms_are_those_of_a_twin_that_keeps_all_weights(split: Split, setup: TrainingSetup) -> None:
    watched, twin = net(), net()
    plain = fit(twin, split, split, setup)
    before = weights(twin)
    for step in watch_training(watched, split, setup, show="5", test=split):
        record = next(plain)
        after = weights(twin)
        assert (step.record.loss, step.record.step, step.record.test_error) == (record.loss, record.step, record.test_error)
        assert [layer.name for layer in step.layers] == ["0", "5", "6"]
        for layer in step.layers:
            size = before[layer.name].double().norm().item()
            update = (after[layer.name].double() - before[layer.name].double()).norm().item()
            assert math.isclose(layer.weight_norm, size, rel_tol=1e-5)
            assert math.isclose(layer.update_norm, update, rel_tol=1e-3)
            assert math.isclose(layer.ratio, update / size, rel_tol=1e-3)
            assert layer.gradient_norm is not None
            if setup is SGD:  # update = rate * gradient
                assert math.isclose(layer.gradient_norm, update / 0.1, rel_tol=1e-3)
        assert step.shown == "5" and step.weight is not None and torch.equal(step.weight, after["5"])
        before = after
    assert next(plain, None) is None
    assert all(torch.equal(a, b) for a, b in zip(watched.state_dict().values(), twin.state_dict().values(), strict=True))
    assert all(parameter.grad is None for parameter in watched.parameters())


def test_gradients_are_those_of_the_batch(split: Split) -> None:
    """All images in one batch, so that the batch is known."""
    model = net().eval()
    model[3].p = 0.0
    twin = copy.deepcopy(model).train()
    nn.functional.cross_entropy(twin(split.images), split.labels).backward()
    step = next(watch_training(model, split, TrainingSetup(epochs=1, batch_size=70)))
    for layer, weight in zip(step.layers, (twin[0].weight, twin[5].weight, twin[6].weight), strict=True):
        assert layer.gradient_norm is not None and weight.grad is not None
        assert math.isclose(layer.gradient_norm, weight.grad.norm().item(), rel_tol=1e-4)


def test_a_weight_is_copied_in_the_first_each_nth_and_the_last_step(split: Split) -> None:
    model = net()
    steps = list(watch_training(model, split, SGD, layers=["6", "0"], show="0", every=4))
    assert [step.record.step for step in steps if step.weight is not None] == [1, 4, 8, 12, 15]
    assert len(steps) == 15 and all([layer.name for layer in step.layers] == ["0", "6"] for step in steps)
    last = steps[-1].weight
    assert last is not None and torch.equal(last, model[0].weight) and last.data_ptr() != model[0].weight.data_ptr()
    before = steps[11].weight
    assert before is not None and not torch.equal(last, before), "copies do not follow the weight"
    assert steps[0].of("6") is steps[0].layers[1]
    assert all(step.weight is None and step.shown is None for step in watch_training(net(), split, SGD, layers="0"))


def test_in_parts_paused_closed_and_resumed_it_learns_what_it_had_learned(split: Split) -> None:
    wanted, model = net(), net()
    every = list(watch_training(wanted, split, ADAM))
    run = watch_training(model, split, ADAM)
    parts = run.in_parts()
    seen: list[TrainingStep] = []
    idle = 0
    while len(seen) < 4:
        part = next(parts)
        if part is None:
            idle += 1
        else:
            seen.append(part)
    assert idle == 12 and run.steps == 15
    seen.append(next(run))
    state, kept = run.state(), weights(model)
    next(parts)
    next(parts)
    run.close()
    assert all(torch.equal(weight, kept[name]) for name, weight in weights(model).items()), "as the last whole step left it"
    assert next(run, None) is None
    seen += watch_training(net(3), split, ADAM, resume=state)
    assert [(step.record.loss, step.layers) for step in seen] == [(step.record.loss, step.layers) for step in every]
    never = watch_training(net(), split, ADAM)
    never.close()
    assert next(never, None) is None


def test_masks_frozen_and_tied_weights(split: Split) -> None:
    model = engine.compress(net(), Recipe(Pruning(0.5), Quantization({"5": 4})), calibration=split)
    frozen = model.get_submodule("6")
    frozen.requires_grad_(False)
    for step in watch_training(model, split, SGD, show="0"):
        assert step.weight is not None and (step.weight == 0).float().mean() > 0.1
        assert step.of("6").gradient_norm is None and step.of("6").update_norm == 0 and (step.of("0").gradient_norm or 0) > 0
    tied = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3))
    tied[3].weight = tied[2].weight
    assert [layer.name for layer in next(watch_training(tied, split, SGD)).layers] == ["1", "2", "4"]
    with torch.no_grad():
        tied[4].weight.zero_()
    assert next(watch_training(tied, split, SGD)).of("4").ratio == 0


def test_flags_random_states_and_hooks_are_the_users_between_steps(split: Split) -> None:
    def everything() -> tuple[Any, ...]:
        hooks = [[len(getattr(module, name)) for name in vars(module) if name.endswith("_hooks")] for module in model.modules()]
        return [module.training for module in model.modules()], hooks, torch.get_rng_state().tolist(), torch.is_grad_enabled()

    model = net().eval()
    model[3].train()
    before = everything()
    for part in watch_training(model, split, SGD, show="0").in_parts():
        assert everything() == before
        if part is not None and part.record.step == 4:
            break


def test_a_loss_that_is_no_number_ends_the_run_with_the_network_as_the_step_before_left_it(split: Split) -> None:
    model = net()
    run = watch_training(model, split, SGD, loss=lambda logits, labels: logits.sum() * (math.nan if run_ends() else 1.0))
    left = [3]

    def run_ends() -> bool:
        left[0] -= 1
        return left[0] < 0

    kept = weights(model)
    with pytest.raises(ModelError, match="the loss became nan at step"):
        for _ in run:
            kept = weights(model)
    assert all(torch.equal(weight, kept[name]) for name, weight in weights(model).items())
    assert next(run, None) is None


def test_what_does_not_fit_is_told(split: Split) -> None:
    for call, words in (
        (lambda: watch_training(net(), split, SGD, layers=["0", "1"]), "there is no weight layer '1'; there are: 0, 5, 6"),
        (lambda: watch_training(net(), split, SGD, show="bn"), "there is no weight layer 'bn'"),
        (lambda: watch_training(net(), split, SGD, every=0), "every: got 0, expected a whole number"),
        (lambda: next(watch_training(net(), split, SGD, layers=["0"])).of("5"), "'5' is not watched; there are: 0"),
    ):
        with pytest.raises(InputError, match=words):
            call()
