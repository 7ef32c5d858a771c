"""Score, remove, train, repeat: held against a slow twin; monotone masks; the given network stays as it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.sparse import RoundRecord, TuneStep, prune_steps
from nnwidgets.engine.sparse._held import held
from nnwidgets.engine.sparse._places import parts_of
from nnwidgets.engine.trace import weight_layers, weight_of

SETUP = E.TrainingSetup(lr=0.01, batch_size=32, weight_decay=1e-3, seed=3)
LEARNED = E.Quantization(3, observer="learned")
SGD = E.TrainingSetup("sgd", 0.05, batch_size=40, momentum=0.9, weight_decay=1e-3, augmentation="shift", schedule="cosine")


def net(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(54, 3),
        ).eval()


def data(n: int = 150, seed: int = 0) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.5 * torch.randn(n, 1, 8, 8, generator=draw)
    images[torch.arange(n), 0, labels] += 2.0
    return E.Split(images, labels)


def smallest_go(weights: dict[str, Tensor], amount: float) -> dict[str, Tensor]:
    """Keep masks for the round(amount * N) smallest of all, by sorting them."""
    every = sorted((abs(float(w)), name, i) for name, each in weights.items() for i, w in enumerate(each.reshape(-1).tolist()))
    keep = {name: torch.ones(each.numel(), dtype=torch.bool) for name, each in weights.items()}
    for _, name, i in every[: round(amount * len(every))]:
        keep[name][i] = False
    return {name: mask.reshape(weights[name].shape) for name, mask in keep.items()}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {layer.name: weight_of(model, layer).detach().clone() for layer in weight_layers(model)}


def same_state(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("setup", [SETUP, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("schedule", [E.Schedule(epochs_per_round=2), E.Schedule("iterative", 3)], ids=["one_shot", "iterative"])
def test_it_does_what_the_slow_twin_does(setup: E.TrainingSetup, schedule: E.Schedule) -> None:
    """The twin sorts all weights, and holds masks on a plain network by its gradients: the same bits in every round."""
    model, twin = net(), net()
    train, val = data(), data(60, 1)
    found = list(E.prune_and_tune(model, train, E.Recipe(E.Pruning(0.8)), schedule, setup, val))
    for number, (record, amount) in enumerate(zip(found, schedule.amounts(0.8), strict=True)):
        keep = smallest_go(weights_of(twin), amount)
        with held(twin, keep):
            before = E.evaluate(twin, val).accuracy
            seed = setup.seed + 100_003 * number
            losses = [step.loss for step in E.fit(twin, train, setup=replace(setup, epochs=schedule.epochs_per_round, seed=seed))]
        assert {name: torch.from_numpy(mask.to_array()).tolist() for name, mask in record.masks.items()} == {
            name: mask.tolist() for name, mask in keep.items()
        }
        assert same_state(record.state, twin.state_dict())
        assert record.before == before and record.accuracy == E.evaluate(twin, val).accuracy
        assert record.loss == pytest.approx(losses[-1]) and record.amount == amount and record.round == number + 1


def test_cubic_does_what_the_slow_twin_does() -> None:
    """Masks change after the steps that the curve names; moments of what goes are forgotten."""
    model, twin, train = net(), net(), data()
    schedule = E.Schedule("cubic", 2, 2, every_steps=3)
    found = list(E.prune_and_tune(model, train, E.Recipe(E.Pruning(0.8)), schedule, SETUP))
    run = E.fit(twin, train, setup=replace(SETUP, epochs=4))
    drawn = dict(schedule.curve(0.8, run.steps))
    keep = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights_of(twin).items()}
    parameters = {layer.name: weight_of(twin, layer) for layer in weight_layers(twin)}
    for parameter, mask in zip(parameters.values(), keep.values(), strict=True):
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
    for step in run:
        if step.step in drawn:
            for name, mask in smallest_go(weights_of(twin), drawn[step.step]).items():
                keep[name].copy_(mask)
                with torch.no_grad():
                    parameters[name].mul_(mask)
                run.forget(parameters[name], ~mask)
        if step.step in (10, 20):
            assert same_state(found[step.step // 10 - 1].state, twin.state_dict())
    assert found[-1].sparsity == sum(int((~mask).sum()) for mask in keep.values()) / sum(m.numel() for m in keep.values())
    assert found[-1].amount == 0.8 and found[0].amount == drawn[9]


SCHEDULES = [
    E.Schedule(),
    E.Schedule("iterative", 3),
    E.Schedule("cubic", 2, every_steps=2),
    E.Schedule(regrowth="rigl", every_steps=2),
    E.Schedule("iterative", 2, regrowth="set", every_steps=2),
    E.Schedule(regrowth="dense_sparse_dense"),
]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_given_network_and_the_random_state_are_left_alone_and_seeds_decide(schedule: E.Schedule) -> None:
    model, train = net(dropout=0.3), data(100)
    before = E.fingerprint(model)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    recipe = E.Recipe(E.Pruning(0.7))
    first = list(E.prune_and_tune(model, train, recipe, schedule, SETUP))
    assert torch.equal(torch.get_rng_state(), state) and E.fingerprint(model) == before
    torch.manual_seed(2)
    second = list(E.prune_and_tune(model, train, recipe, schedule, SETUP))
    third = list(E.prune_and_tune(model, train, recipe, schedule, replace(SETUP, seed=4)))
    assert all(same_state(a.state, b.state) and a.masks == b.masks for a, b in zip(first, second, strict=True))
    assert not same_state(first[-1].state, third[-1].state)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_closing_at_any_time_changes_nothing(schedule: E.Schedule) -> None:
    model, train = net(), data(70)
    before = E.fingerprint(model)
    recipe = E.Recipe(E.Pruning(0.7))
    long = sum(1 for _ in prune_steps(model, train, recipe, schedule, SETUP))
    for stop in (1, 2, long // 2, long - 1):
        steps = prune_steps(model, train, recipe, schedule, SETUP)
        for _ in range(stop):
            next(steps)
        steps.close()
        assert E.fingerprint(model) == before


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("quantization", [None, E.Quantization(4), LEARNED], ids=["plain", "quantized", "learned"])
def test_any_round_can_be_gone_back_to(schedule: E.Schedule, quantization: E.Quantization | None) -> None:
    """Weights and recipe of a record give the network that was measured, with its masks."""
    model, train, val = net(), data(), data(80, 1)
    steps = prune_steps(model, train, E.Recipe(E.Pruning(0.7), quantization), schedule, SETUP, val)
    told: list[object] = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            rounds = end.value
            break
    assert [each for each in told if isinstance(each, RoundRecord)] == list(rounds)
    assert sum(isinstance(each, TuneStep) for each in told) == rounds[-1].rounds * 5
    for record in rounds:
        again = record.network(model)
        assert E.evaluate(again, val).accuracy == record.accuracy
        masks = {place: part.keep for place, (part, _) in parts_of(again).items()}
        assert sum(int((~mask).sum()) for mask in masks.values()) == round(record.sparsity * 414)
        assert (record.recipe.quantization is None) == (quantization is None)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["weight", "filter"])
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("allocation", ["global", "uniform"])
@pytest.mark.parametrize("kind", ["iterative", "cubic"])
def test_what_was_removed_stays_removed(structure: str, criterion: str, allocation: str, kind: str) -> None:
    recipe = E.Recipe(E.Pruning(0.5, structure=structure, criterion=criterion, allocation=allocation))
    model = net()
    found = list(E.prune_and_tune(model, data(100), recipe, E.Schedule(kind, 3, every_steps=2), SETUP))
    for before, after in pairwise(found):
        for name, mask in before.masks.items():
            assert not (after.masks[name].to_array() & ~mask.to_array()).any()
    assert found[-1].sparsity > found[0].sparsity > 0 and found[-1].recipe == recipe
    assert same_state(E.bake(found[-1].network(model)).state_dict(), found[-1].state)
    for name, mask in found[-1].masks.items():
        assert not found[-1].state[f"{name}.weight"][~torch.from_numpy(mask.to_array())].any()


def test_weights_that_are_zero_by_chance_do_not_bring_removed_ones_back() -> None:
    model = net()
    with torch.no_grad():
        for layer in weight_layers(model):
            weight_of(model, layer).view(-1)[::2] = 0
    found = list(E.prune_and_tune(model, data(), E.Recipe(E.Pruning(0.4)), E.Schedule("iterative", 3), replace(SETUP, lr=1e-9)))
    gone = [round(record.sparsity * 414) for record in found]
    assert [round(amount * 414) for amount in E.Schedule("iterative", 3).amounts(0.4)] == gone
    for before, after in pairwise(found):
        for name, mask in before.masks.items():
            assert not (after.masks[name].to_array() & ~mask.to_array()).any()


def test_layers_by_hand_reach_their_own_amounts() -> None:
    recipe = E.Recipe(E.Pruning(0.5, allocation={"0": 0.0, "3": 0.9}))
    found = list(E.prune_and_tune(net(), data(), recipe, E.Schedule("iterative", 2), SETUP))
    last = found[-1].masks
    assert "0" not in last and last["3"].kept == 216 - round(0.9 * 216) and last["7"].kept == 81


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 3)
        self.again.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.again(self.first(images.flatten(1)).relu()).relu())


@pytest.mark.parametrize("schedule", SCHEDULES[:5], ids=str)
def test_tied_weights_have_one_mask(schedule: E.Schedule) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Tied().eval()
    *_, last = E.prune_and_tune(model, data(100), E.Recipe(E.Pruning(0.7)), schedule, SETUP)
    assert set(last.masks) == {"first", "last"} and torch.equal(last.state["first.weight"], last.state["again.weight"])
    total = 64 * 64 + 3 * 64
    assert sum(mask.kept for mask in last.masks.values()) == total - round(0.7 * total)
    again = last.network(model)
    masks = {place: part.keep for place, (part, _) in parts_of(again).items()}
    assert torch.equal(masks["first", "weight"], masks["again", "weight"])
    assert same_state(E.bake(again).state_dict(), last.state)


@pytest.mark.parametrize("criterion", ["taylor", "obd", "wanda", "grasp", "movement"])
def test_criteria_look_again_before_each_removal(criterion: str) -> None:
    """What a round removes is what ``compress`` removes of the weights of the round before; removed weights stay removed."""
    model, train = net(), data()
    recipe = E.Recipe(E.Pruning(0.6, criterion=criterion))
    first, second = E.prune_and_tune(model, train, recipe, E.Schedule("iterative", 2), SETUP)
    before = model
    for record in (first, second):
        asked = E.Recipe(E.Pruning(record.amount, criterion=criterion))
        pruned = E.bake(E.compress(before, asked, train))
        for name, weight in weights_of(pruned).items():
            assert torch.equal(torch.from_numpy(record.masks[name].to_array()), weight != 0), name
        before = net()
        before.load_state_dict(dict(record.state))
    assert all((second.masks[name].to_array() <= first.masks[name].to_array()).all() for name in second.masks)


def test_kept_weights_make_up_in_each_round() -> None:
    """By OBS: without a step of training in between, the weights are those that ``compress`` leaves."""
    model, train = net(), data()
    recipe = E.Recipe(E.Pruning(0.5, criterion="obs"))
    (only,) = E.prune_and_tune(model, train, recipe, E.Schedule(), replace(SETUP, lr=1e-12, weight_decay=0.0))
    wanted = E.bake(E.compress(model, recipe, train))
    for name, weight in weights_of(wanted).items():
        assert torch.allclose(only.state[f"{name}.weight"], weight, atol=1e-6) and not torch.equal(
            weight, weights_of(model)[name]
        )


@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
def test_filters_go_in_rounds_and_can_then_be_left_out(criterion: str) -> None:
    """The last round's recipe still speaks of filters, so that the network can be made really smaller."""
    model, train = net(), data()
    recipe = E.Recipe(E.Pruning(0.5, "filter", criterion, "uniform"))
    *_, last = E.prune_and_tune(model, train, recipe, E.Schedule("iterative", 2), SETUP)
    assert last.recipe == recipe
    plain = net()
    plain.load_state_dict(dict(last.state))
    small = E.materialize(plain, last.recipe, (1, 8, 8), train)
    assert small[0].out_channels == 2 and small[3].out_channels == 3
    assert torch.allclose(small(train.images), last.network(model, train)(train.images), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"recipe": E.Recipe()}, E.RecipeError, "says what is to be removed"),
        ({"schedule": E.Schedule("cubic")}, E.RecipeError, "every_steps is 100"),
        ({"schedule": E.Schedule("iterative", 2, initial=0.8)}, E.RecipeError, "smaller than initial"),
        ({"schedule": 3}, E.InputError, "expected Schedule"),
        ({"train": E.Split(torch.zeros(4, 1, 8, 8))}, E.DataError, "with labels"),
        ({"val": E.Split(torch.zeros(4, 1, 8, 8))}, E.DataError, "val"),
        ({"model": E.compress(net(), E.Recipe(E.Pruning(0.5)))}, E.ModelError, "masks or grids"),
        (
            {"recipe": E.Recipe(E.Pruning(0.5, structure="filter")), "schedule": E.Schedule(regrowth="set", every_steps=1)},
            E.UnsupportedError,
            "single weights",
        ),
        ({"recipe": E.Recipe(E.Pruning(0.5, "2:4")), "schedule": E.Schedule("iterative", 2)}, E.RecipeError, "one share"),
        ({"recipe": E.Recipe(E.Pruning(0.5, allocation="sensitivity"))}, E.RecipeError, "measured on other weights"),
        ({"recipe": E.Recipe(E.Pruning(0.9, "filter", allocation="uniform"))}, E.RecipeError, "would leave none"),
        ({"recipe": E.Recipe(E.Pruning(0.5, "head"))}, E.RecipeError, "no attention heads"),
        (
            {"recipe": E.Recipe(E.Pruning(0.5, masks={"7": torch.ones(3, 54)})), "schedule": E.Schedule("iterative", 2)},
            E.RecipeError,
            "one_shot",
        ),
    ],
)
def test_what_cannot_be_is_said_at_the_call(change: dict[str, Any], error: type[Exception], said: str) -> None:
    given: dict[str, Any] = {"model": net(), "train": data(), "recipe": E.Recipe(E.Pruning(0.5)), "setup": SETUP, **change}
    with pytest.raises(error, match=said):
        E.prune_and_tune(**given)


@pytest.mark.parametrize("quantization", [None, E.Quantization(4), LEARNED], ids=["full precision", "4 bit", "learned"])
@pytest.mark.parametrize(
    ("schedule", "criterion"),
    [
        (E.Schedule("iterative", 3), "magnitude"),
        (E.Schedule("iterative", 3), "taylor"),
        (E.Schedule("iterative", 3, regrowth="set", every_steps=2), "magnitude"),
        (E.Schedule(regrowth="dense_sparse_dense"), "magnitude"),
    ],
    ids=["magnitude", "taylor", "regrowth", "dense_sparse_dense"],
)
def test_rounds_after_a_break_are_those_without(
    schedule: E.Schedule, criterion: str, quantization: E.Quantization | None
) -> None:
    """Each round gone on with from the record of the one before: the same bits, masks and figures."""
    model, train, val = net(), data(), data(60, 1)
    recipe = E.Recipe(E.Pruning(0.8, criterion=criterion), quantization)
    whole = list(E.prune_and_tune(model, train, recipe, schedule, SETUP, val))
    for number in range(1, schedule.phases):
        before = whole[number - 1]
        steps = prune_steps(before.network(model, train), train, recipe, schedule, SETUP, val, done=number)
        record = next(each for each in steps if isinstance(each, RoundRecord))
        steps.close()
        assert same_state(record.state, whole[number].state) and record.recipe == whole[number].recipe
        assert (record.round, record.before, record.accuracy) == (number + 1, whole[number].before, whole[number].accuracy)


@pytest.mark.parametrize(
    ("schedule", "done", "said"),
    [
        (E.Schedule("iterative", 3), 3, "expected 0 to 2 rounds"),
        (E.Schedule("iterative", 3), -1, "expected 0 to 2 rounds"),
        (E.Schedule("iterative", 3), True, "expected 0 to 2 rounds"),
        (E.Schedule("cubic", 3, 9, every_steps=2), 1, "no round to go on from"),
    ],
)
def test_rounds_that_are_not_there_are_refused(schedule: E.Schedule, done: Any, said: str) -> None:
    """Before anything is done."""
    with pytest.raises(E.InputError, match=said):
        prune_steps(net(), data(), E.Recipe(E.Pruning(0.8)), schedule, SETUP, done=done)
