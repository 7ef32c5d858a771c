"""Training: deterministic, resumable bit for bit, stoppable; the random state of others is left alone."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnwidgets import engine as E  # noqa: N812
from nnwidgets.engine.training._optimizers import optimizer_for
from nnwidgets.engine.training.augment import augment


def net(dropout: float = 0.0, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(256, 3)
        ).eval()


def data(n: int = 150, seed: int = 0) -> E.Split:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=draw)
    images = 0.5 * torch.randn(n, 1, 8, 8, generator=draw)
    images[torch.arange(n), 0, labels] += 2.0
    return E.Split(images, labels)


def weights(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


SETUPS = [
    E.TrainingSetup(epochs=3, batch_size=32, lr=0.01),
    E.TrainingSetup("sgd", 0.05, 3, 40, 1e-4, 0.9, "cosine", "shift+flip", 7),
    E.TrainingSetup("adamw", 0.01, 2, 64, 0.01, 0.0, "step", "shift", 1),
]


@pytest.mark.parametrize("setup", SETUPS)
def test_it_learns_and_each_step_is_told(setup: E.TrainingSetup) -> None:
    model = net()
    records = list(E.fit(model, data(), test=data(90, 1), setup=setup))
    batches = math.ceil(150 / setup.batch_size)
    assert [record.step for record in records] == list(range(1, batches * setup.epochs + 1))
    assert records[-1].steps == len(records) and records[-1].epoch == setup.epochs
    assert sum(record.loss for record in records[-batches:]) < sum(record.loss for record in records[:batches])
    assert [record.test_error is not None for record in records] == [record.step % batches == 0 for record in records]
    assert records[-1].test_error == E.evaluate(model, data(90, 1)).error
    assert setup.augmentation is not None or E.evaluate(model, data(90, 1)).error < 0.3
    assert records[0].lr == setup.lr and all(a.seconds <= b.seconds for a, b in pairwise(records))


@pytest.mark.parametrize("setup", SETUPS)
def test_a_seed_decides_and_the_global_random_state_is_left_alone(setup: E.TrainingSetup) -> None:
    first, second = net(0.3), net(0.3)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    list(E.fit(first, data(), setup=setup))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    list(E.fit(second, data(), setup=setup))
    assert same(weights(first), weights(second))
    third = net(0.3)
    list(E.fit(third, data(), setup=E.TrainingSetup(**{**setup.__dict__, "seed": setup.seed + 1})))
    assert not same(weights(first), weights(third))


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_resuming_goes_on_bit_for_bit(setup: E.TrainingSetup, stop: int) -> None:
    whole, parts, target = net(0.3), net(0.3), net(0.3, seed=5)
    expected = list(E.fit(whole, data(), setup=setup))
    run = E.fit(parts, data(), setup=setup)
    for _ in range(stop):
        next(run)
    state = run.state()
    next(run)  # what happens afterwards does not change the state that was taken
    rest = list(E.fit(target, data(), setup=setup, resume=state))
    assert [r.loss for r in rest] == [r.loss for r in expected[stop:]] and rest[0].step == stop + 1
    assert same(weights(target), weights(whole))


def test_a_state_can_be_saved_and_read_without_running_code(tmp_path: Path) -> None:
    whole, target = net(0.3), net(0.3, seed=5)
    run = E.fit(whole, data(), setup=SETUPS[1])
    for _ in range(5):
        next(run)
    torch.save(run.state(), tmp_path / "run.pt")
    list(run)
    list(E.fit(target, data(), setup=SETUPS[1], resume=torch.load(tmp_path / "run.pt", weights_only=True)))
    assert same(weights(target), weights(whole))


@pytest.mark.parametrize(("n", "steps"), [(65, 1), (66, 2), (129, 2), (64, 1), (2, 1)])
def test_one_image_left_over_joins_the_batch_before_so_that_batch_norm_works(n: int, steps: int) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    seen: list[int] = []
    model[0].register_forward_hook(lambda module, given, answer: seen.append(len(answer)) if model.training else None)
    assert len(list(E.fit(model, data(n), setup=E.TrainingSetup(epochs=2)))) == 2 * steps
    assert sum(seen) == 2 * n and min(seen) >= 2


def test_a_batch_of_one_image_is_explained_where_batch_norm_cannot_learn() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    before = weights(model)
    with pytest.raises(E.ModelError, match="batch of one image"):
        next(E.fit(model, data(1)))
    assert same(weights(model), before) and not model.training


def test_dropout_follows_the_seed_and_changes_from_step_to_step() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))
    kept: list[Tensor] = []
    model[1].register_forward_hook(lambda module, given, answer: kept.append(answer == 0) if model.training else None)
    setup = E.TrainingSetup(epochs=1, batch_size=10)
    list(E.fit(model, data(60), setup=setup))
    first, kept[:] = list(kept), []
    list(E.fit(model, data(60), setup=setup))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))
    assert not any(torch.equal(first[0], other) for other in first[1:])


def test_a_run_can_be_left_between_steps() -> None:
    model = net().eval()
    run = E.fit(model, data(), setup=SETUPS[0])
    next(run)
    assert not any(module.training for module in model.modules()), "between steps the flags are the user's"
    run.close()
    before = weights(model)
    assert list(run) == [] and same(weights(model), before)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("setup", SETUPS)
def test_a_run_in_parts_is_the_same_run_whatever_is_drawn_in_between(setup: E.TrainingSetup, dropout: float) -> None:
    whole, parted = net(dropout), net(dropout)
    expected = list(E.fit(whole, data(), setup=setup))
    found: list[Any] = []
    parts = 0
    torch.manual_seed(3)
    twin = torch.Generator().manual_seed(3)
    for record in E.fit(parted, data(), setup=setup).in_parts():
        parts += 1
        found += [] if record is None else [record]
        assert torch.equal(torch.rand(3), torch.rand(3, generator=twin)), "what the user draws is the user's"
        assert not parted.training and torch.is_grad_enabled()
    assert parts == 4 * len(expected)
    assert same(weights(parted), weights(whole))
    assert [replace(record, seconds=0.0) for record in found] == [replace(record, seconds=0.0) for record in expected]


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 6, 7])
def test_a_run_that_is_left_within_a_step_undoes_that_step_and_is_over(parts: int) -> None:
    model, twin = net(0.3), net(0.3)
    run = E.fit(model, data(), setup=SETUPS[1])
    stepping = run.in_parts()
    for _ in range(parts):
        next(stepping)
    stepping.close()
    done = E.fit(twin, data(), setup=SETUPS[1])
    for _ in range(parts // 4):
        next(done)
    assert same(weights(model), weights(twin)) and all(parameter.grad is None for parameter in model.parameters())
    assert list(run) == []


class _Watched(nn.Module):
    """Draws nothing, but whoever is called in its forward pass may."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.net, self.meanwhile = net(), meanwhile

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.net(x)
        if self.training:
            self.meanwhile()
        return answer


def test_what_others_draw_while_a_quiet_network_is_trained_is_not_taken_back() -> None:
    """As another thread would, in the middle of a step: the first step finds out that the network itself draws nothing."""
    drawn: dict[int, Tensor] = {}
    steps = 0

    def meanwhile() -> None:
        if steps and steps not in drawn:
            drawn[steps] = torch.rand(2)

    model, quiet = _Watched(meanwhile), _Watched(lambda: None)
    torch.manual_seed(5)
    twin = torch.Generator().manual_seed(5)
    for record in E.fit(model, data(), setup=SETUPS[0]):
        steps = record.step
    list(E.fit(quiet, data(), setup=SETUPS[0]))
    assert list(drawn) == list(range(1, steps))
    assert all(torch.equal(value, torch.rand(2, generator=twin)) for value in drawn.values())
    assert same(weights(model), weights(quiet))


def test_a_network_that_begins_to_draw_later_follows_the_seed_all_the_same() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.calls += 1
            answer: Tensor = self.net(x)
            return nn.functional.dropout(answer, 0.3, training=self.training and int(self.calls) > 3)

    first, second = Late(), Late()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    list(E.fit(first, data(), setup=SETUPS[0]))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    list(E.fit(second, data(), setup=SETUPS[0]))
    assert same(weights(first), weights(second))


def test_frozen_parameters_stay_and_a_net_without_free_ones_is_refused() -> None:
    model = net()
    model[0].weight.requires_grad_(False)  # type: ignore[union-attr]
    before = model[0].weight.clone()  # type: ignore[union-attr,operator]
    list(E.fit(model, data(), setup=SETUPS[0]))
    assert torch.equal(model[0].weight, before)  # type: ignore[union-attr,arg-type]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(E.ModelError, match="requires_grad"):
        E.fit(model, data())


def test_masks_and_levels_hold_in_every_step() -> None:
    recipe = E.Recipe(E.Pruning(0.7), E.Quantization(weight_bits=3))
    small = E.compress(net(), recipe)
    zero = {
        name: value == 0
        for name, value in E.bake(E.compress(net(), E.Recipe(E.Pruning(0.7)))).state_dict().items()
        if value.dim() > 1
    }
    start = weights(small)
    for _ in E.fit(small, data(), setup=SETUPS[0]):
        baked = E.bake(small).state_dict()
        assert all(bool((baked[name][where] == 0).all()) for name, where in zero.items())
        assert all(len(row.unique()) <= 7 for row in baked["5.weight"])
    assert not same(weights(small), start)


def test_a_loss_of_ones_own() -> None:
    seen: list[tuple[int, ...]] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append((*logits.shape, *labels.shape))
        return nn.functional.multi_margin_loss(logits, labels)

    records = list(E.fit(net(), data(), setup=SETUPS[0], loss=loss))
    assert seen[0] == (32, 3, 32) and records[-1].loss < records[0].loss


def test_a_run_that_diverges_says_at_which_step_and_rate() -> None:
    run = E.fit(net(), data(), setup=E.TrainingSetup("sgd", lr=1e30, epochs=5))
    with pytest.raises(E.ModelError, match=r"step \d+ .*1e\+30"):
        list(run)


def test_a_step_that_fails_leaves_the_network_as_the_step_before_did() -> None:
    model = net()
    run = E.fit(model, data(), setup=SETUPS[0], loss=lambda logits, labels: logits.sum() * (math.nan if len(losses) else 1.0))
    losses: list[float] = []
    losses.extend([next(run).loss])
    before = weights(model)
    with pytest.raises(E.ModelError, match="step 2"):
        next(run)
    assert same(weights(model), before) and all(parameter.grad is None for parameter in model.parameters())


def test_bad_input_is_refused_before_anything_is_trained() -> None:
    model = net()
    before = weights(model)
    with pytest.raises(E.DataError, match="labels"):
        E.fit(model, E.Split(torch.zeros(3, 1, 8, 8)))
    with pytest.raises(E.InputError, match="another run"):
        E.fit(model, data(), resume={"format": "else"})
    with pytest.raises(E.DataError, match="3 output"):
        E.fit(model, E.Split(torch.zeros(4, 1, 8, 8), torch.arange(4)))
    with pytest.raises(E.ModelError, match="failed on images of shape"):
        E.fit(model, E.Split(torch.zeros(4, 1, 9, 9), torch.zeros(4, dtype=torch.int64)))
    state = E.fit(model, data(), setup=SETUPS[0]).state()
    with pytest.raises(E.InputError, match="another run"):
        E.fit(model, data(), setup=SETUPS[1], resume=state)
    assert same(weights(model), before)


@pytest.mark.parametrize(
    "bad",
    [
        {"optimizer": "lion"},
        {"lr": 0},
        {"lr": math.nan},
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": True},
        {"momentum": 1.0},
        {"schedule": "x"},
        {"seed": -1},
    ],
)
def test_a_setup_refuses_bad_values_at_birth(bad: dict[str, Any]) -> None:
    with pytest.raises(E.InputError, match=next(iter(bad))):
        E.TrainingSetup(**bad)


def test_shifts_and_flips_move_pixels_and_nothing_else() -> None:
    batch = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    draw = torch.Generator().manual_seed(3)
    shifted = augment(batch, "shift", draw)
    padded = nn.functional.pad(batch, (2, 2, 2, 2), mode="replicate")
    windows = [padded[:, :, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
    for i in range(2):
        assert any(torch.equal(shifted[i], window[i]) for window in windows)
    flipped = augment(batch.repeat(20, 1, 1, 1), "flip", draw)
    kinds = {torch.equal(image, batch[i % 2]) for i, image in enumerate(flipped)}
    assert kinds == {True, False}
    assert all(torch.equal(image, batch[i % 2]) or torch.equal(image, batch[i % 2].flip(2)) for i, image in enumerate(flipped))
    with pytest.raises(E.DataError, match="images"):
        augment(torch.zeros(2, 5), "shift", draw)
    assert augment(batch, None, draw) is batch


def test_training_a_copy_leaves_the_original() -> None:
    model = net()
    before, twin = weights(model), copy.deepcopy(model)
    list(E.fit(twin, data(), setup=SETUPS[0]))
    assert same(weights(model), before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_optimizers_step_as_those_of_torch_do_bit_for_bit(optimizer: str) -> None:
    """They are the same functions without the wrappers that load torch's compiler."""
    setup = E.TrainingSetup(optimizer=optimizer, lr=0.01, weight_decay=0.01, momentum=0.9 if optimizer == "sgd" else 0.0)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    more = {"momentum": 0.9} if optimizer == "sgd" else {}
    ours, theirs = (nn.Linear(5, 4) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    ours_optimizer = optimizer_for(list(ours.parameters()), setup)
    theirs_optimizer = kinds[optimizer](theirs.parameters(), lr=0.01, weight_decay=0.01, **more)
    for step in range(6):
        images = torch.randn(7, 5, generator=torch.Generator().manual_seed(step))
        for net, stepper in ((ours, ours_optimizer), (theirs, theirs_optimizer)):
            stepper.zero_grad()
            net(images).square().sum().backward()
            stepper.step()
        if step == 3:  # and a state of theirs goes on in ours
            ours_optimizer = optimizer_for(list(ours.parameters()), setup)
            ours_optimizer.load_state_dict(copy.deepcopy(theirs_optimizer.state_dict()))
        assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


LIGHT = """
import sys, torch
from nnwidgets import engine as E
for optimizer in ("sgd", "adam", "adamw"):
    run = E.fit(torch.nn.Linear(5, 3), E.Split(torch.rand(9, 5), torch.arange(9) % 3), setup=E.TrainingSetup(optimizer=optimizer))
    next(run)
    E.fit(torch.nn.Linear(5, 3), run._train, setup=E.TrainingSetup(optimizer=optimizer), resume=run.state())
print("sympy" in sys.modules, "torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_training_does_not_load_the_compiler_of_torch() -> None:
    """150 MB, and seconds before the first step."""
    ran = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2]
    )
    assert ran.stdout.split() == ["False", "False"], ran.stdout + ran.stderr
